"""The primary dies, hangs, or is relieved in order under load: what was committed is on its standby, and every order goes on there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import pytest

from tests.chaos.conftest import Faults
from tests.cluster.conftest import Stand
from tests.support.database_pair import DatabasePair

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


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
    fault: Callable[[DatabasePair], None], stand: Stand, faults: Faults, since: datetime
) -> None:
    services = faults.suite.description["services"]
    before = {name: faults.pids(name) for name in services}

    async def twice() -> None:
        for _ in range(2):  # there and back
            await asyncio.sleep(3)
            await asyncio.to_thread(fault, stand.databases)
            await asyncio.to_thread(stand.databases.promote)
            await asyncio.sleep(5)
            await asyncio.to_thread(stand.databases.join)

    report = await faults.play_during(twice(), seed=92)
    await faults.everybody_ready()
    assert {name: faults.pids(name) for name in services} == before, "nobody exits"
    assert set(report["summary"]["answers"]) <= {"200", "503"}
    await faults.all_is_right(report, since)
