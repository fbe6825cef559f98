"""A storm while two replicas are killed at random: every problem is notified, in the digest or by itself, and no limit is exceeded."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.integration.notifier.factories import BOTH, MARK, Kit, MakeKit, a_problem, many, notifier
from tests.support.servers import eventually

pytestmark = pytest.mark.chaos
EVENTS, PAGES = 1500, 4


async def notified(kit: Kit) -> list[dict[str, Any]]:
    """Wait until every event was taken in and every delivery is at its end; return the deliveries."""

    async def probe() -> list[dict[str, Any]]:
        [taken] = await kit.fetch("SELECT count(*) AS n FROM inbox")
        assert taken["n"] >= EVENTS + PAGES
        rows = await kit.fetch("SELECT * FROM deliveries")
        assert {row["state"] for row in rows} == {"sent"}
        assert not await kit.fetch("SELECT 1 FROM posts WHERE wanted > shown")
        return rows

    return await eventually(probe, within=150, every=0.5)


@pytest.mark.timeout(280)
async def test_a_storm_through_replicas_that_are_killed(make_kit: MakeKit) -> None:
    kit = await make_kit(replicas=0, routes=BOTH, call_deadline=1.0, storm_above=5, storm_quiet=3.0)
    await kit.sandbox.fault("telegram", mode="slow", share=0.3, delay_s=0.2)
    await kit.sandbox.fault("slack", mode="lost_response", share=0.05, delay_s=2)
    chance = random.Random(11)  # noqa: S311 - when to kill
    done = asyncio.Event()

    async def replica() -> None:
        """Live a while, be killed, thrice; then live."""
        for _ in range(3):
            async with notifier(kit):
                await asyncio.sleep(chance.uniform(5, 9))
        async with notifier(kit):
            await done.wait()

    async def blow() -> None:
        """Problems at an even pace, and now and then a critical one of a new group."""
        for index, problem in enumerate(many(EVENTS)):
            await kit.publish(problem)
            if index % (EVENTS // PAGES) == 100:
                page = a_problem(f"page:{index}", kind=f"stuck_{index}", severity="critical", summary=f"PAGE-{index}-")
                await kit.publish(page)

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(replica())
        await blow()
        rows = await notified(kit)
        done.set()

    assert len(rows) == 2 * (EVENTS + PAGES)
    telegram, slack = await kit.sandbox.log("telegram"), await kit.sandbox.log("slack")
    assert 429 not in {entry["status"] for entry in (*telegram, *slack)}
    for log, calls in ((telegram, "sendMessage"), (slack, "chat.postMessage")):
        posts = [str(entry["request"]) for entry in log if entry["operation"] == calls and entry["effect"]]
        for index in range(100, EVENTS, EVENTS // PAGES):
            pages = [post for post in posts if f"PAGE-{index}-" in post and "🌪" not in post]
            assert pages, f"nobody was paged for {index}"
            assert all(MARK in page for page in pages[1:])
        digests = [post for post in posts if "🌪" in post]
        assert digests
    assert len([entry for entry in telegram if entry["effect"]]) < 80
