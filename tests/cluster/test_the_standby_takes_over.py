"""The primary dies, hangs, or is relieved in order under load: what was committed is on its standby, and every order goes on there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import pytest

from tests.cluster.conftest import Stand
from tests.cluster.page import Section
from tests.cluster.trials import Trials
from tests.support.database_pair import DatabasePair

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]


def dies(databases: DatabasePair) -> None:
    """The primary's machine is gone."""
    databases.lose_primary()


def hangs(databases: DatabasePair) -> None:
    """The primary answers nobody, and is fenced before another takes its place."""
    databases.lose_primary(frozen_first=True)


def is_relieved(databases: DatabasePair) -> None:
    """A planned switch-over."""
    databases.stop_primary()


@pytest.mark.parametrize("fault", [dies, hangs, is_relieved], ids=lambda fault: fault.__name__)
async def test_nothing_is_lost_or_done_twice_when_the_primary(
    fault: Callable[[DatabasePair], None], stand: Stand, trials: Trials, since: datetime
) -> None:
    name = fault.__name__.replace("_", " ")
    services = trials.suite.description["services"]
    before = {name: trials.pids(name) for name in services}

    async def twice(section: Section) -> None:
        for _ in range(2):  # there and back
            await asyncio.sleep(3)
            with section.fails(f"the primary {name}, its standby is promoted"):
                await asyncio.to_thread(fault, stand.databases)
                await asyncio.to_thread(stand.databases.promote)
            await asyncio.sleep(5)
            with section.fails("and until it has a standby"):
                await asyncio.to_thread(stand.databases.join)

    await trials.withstands(f"The primary {name}, there and back", twice, since, seed=92)
    assert {name: trials.pids(name) for name in services} == before, "nobody exits"
