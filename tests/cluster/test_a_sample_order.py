"""The demo's order on the cluster: all of its life, and whoever has to hear of it."""

from __future__ import annotations

import asyncio

import pytest

from suite_local import story
from tests.cluster.conftest import Stand
from tests.cluster.trials import Trials

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


async def test_every_step_of_an_order_is_seen(stand: Stand, trials: Trials) -> None:
    _, steps = await asyncio.to_thread(story.play, stand.suite.description)
    assert [step for step in steps if not step.seen] == []
    with trials.page.section("The demo's order") as section:
        section.verdict = "\n".join(f"seen: {step.name}" for step in steps)
