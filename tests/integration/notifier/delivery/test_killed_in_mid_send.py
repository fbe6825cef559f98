"""`python -m notifier serve` as processes that are killed: every notice comes once, or says that it may be a repeat."""

from __future__ import annotations

import asyncio
import random
import re
import signal
from typing import Any

import pytest

from tests.integration.notifier.factories import (
    MARK,
    ONE_CHAT,
    ONE_GROUP,
    PICKERS,
    Kit,
    MakeKit,
    a_problem,
    an_order,
    created,
    ended,
    notifier,
)
from tests.support.servers import eventually
from tests.support.slack_texts import as_read

EVERYWHERE = {
    "destinations": {
        "all": {"channel": "telegram", "address": str(PICKERS)},
        "team": {"channel": "slack", "address": "#orders-notifications"},
        "owner": {"channel": "mail", "address": "owner@example.org"},
    },
    "routes": [{"name": "everywhere", "to": ["all", "team", "owner"]}],
}


async def calls(kit: Kit, system: str, count: int) -> list[dict[str, Any]]:
    """Wait until a provider was called so often."""

    async def probe() -> list[dict[str, Any]]:
        log = await kit.sandbox.log(system)
        assert len(log) >= count
        return log

    return await eventually(probe)


@pytest.mark.chaos  # test_dies_at_every_step.py dies before and after the call in every run
async def test_killed_while_providers_are_silent_each_notice_is_sent_again_and_says_so(make_kit: MakeKit) -> None:
    kit = await make_kit(replicas=0, routes=EVERYWHERE, call_deadline=8.0)
    async with notifier(kit) as victim:
        await kit.publish(created("H0"))
        await ended(kit, 3, within=120)  # every client is imported and connected
        await kit.sandbox.fault("telegram", mode="lost_response", count=1, delay_s=20)  # arrived, nobody will know
        await kit.sandbox.fault("slack", mode="timeout", count=1, delay_s=20)  # never arrived
        await kit.sandbox.fault("mail", mode="slow", count=1, delay_s=20)  # arrived, the answer comes too late
        await kit.publish(created())
        for system in ("telegram", "slack", "mail"):
            await calls(kit, system, 2)
        victim.kill()
        await victim.wait()
    rows = await kit.fetch("SELECT state, attempts FROM deliveries WHERE id > 3")
    assert [(row["state"], row["attempts"]) for row in rows] == [("sending", 1)] * 3
    async with notifier(kit):
        rows = (await ended(kit, 6))[3:]
    assert [(row["state"], row["attempts"], row["possibly_repeated"]) for row in rows] == [("sent", 2, True)] * 3

    _, first, second = await kit.texts(PICKERS)
    assert (MARK in first, second) == (False, f"<i>{MARK}</i>\n{first}")
    [_, post] = [entry for entry in await kit.sandbox.log("slack") if entry["effect"]]
    assert as_read(post["request"]["blocks"][0]).startswith(f"_{MARK}_\n")
    _, lost, again = [entry["request"] for entry in await kit.sandbox.log("mail") if entry["effect"]]
    assert (again["subject"], again["message_id"]) == (f"{MARK}: {lost['subject']}", lost["message_id"])


@pytest.mark.chaos
async def test_killed_between_the_lists_of_a_storm_each_comes_once_or_says_so(make_kit: MakeKit) -> None:
    kit = await make_kit(replicas=0, routes=ONE_CHAT, storm_above=3, call_deadline=6.0)
    numbers = [f"SBR-{each:05}" for each in range(800)]

    async def lists(count: int) -> list[str]:
        found = [text for text in await kit.texts(PICKERS) if "номера заказов" in text]
        assert len(found) >= count
        return found

    async with notifier(kit) as victim:
        await kit.publish(*(a_problem(f"o:{number}", order_number=number) for number in numbers))
        await eventually(lambda: lists(1))
        await kit.sandbox.fault("telegram", mode="lost_response", count=1, match="sendMessage", delay_s=20)
        await eventually(lambda: lists(2))  # it arrived, nobody will know
        victim.kill()
        await victim.wait()
    async with notifier(kit):

        async def over() -> bool:
            [left] = await kit.fetch("SELECT count(*) AS n FROM deliveries WHERE state <> 'sent'")
            [named] = await kit.fetch("SELECT count(*) AS n FROM deliveries WHERE subject LIKE 'incident:%'")
            assert (left["n"], named["n"]) == (0, 800)
            return True

        await eventually(over)
    found = await lists(4)
    assert [MARK in text for text in found] == [False, False, True, *[False] * (len(found) - 3)]
    assert found[1] in found[2]
    listed = [number for text in (*found[:2], *found[3:]) for number in re.findall(r"SBR-\d{5}", text)]
    assert listed == sorted(set(listed))
    standing = (await kit.sandbox.control("GET", f"/sandbox/telegram/messages?chat_id={PICKERS}"))["items"]
    text = "\n".join(item["text"] for item in standing)
    assert [number for number in numbers if number not in text] == []


@pytest.mark.chaos
async def test_killed_before_and_after_the_call_each_notice_comes_once_and_unmarked(make_kit: MakeKit) -> None:
    kit = await make_kit(replicas=0, routes=ONE_GROUP)
    await kit.sandbox.fault("telegram", mode="rate_limit", count=1, delay_s=2)
    async with notifier(kit):
        await kit.publish(created())
        await calls(kit, "telegram", 1)

        async def waits() -> bool:
            return bool(await kit.fetch("SELECT 1 FROM deliveries WHERE state = 'pending' AND attempts = 1"))

        await eventually(waits)
    async with notifier(kit):
        [row] = await ended(kit, 1)
    assert (row["state"], row["attempts"], row["possibly_repeated"]) == ("sent", 2, False)
    async with notifier(kit):

        async def journaled() -> list[dict[str, Any]]:
            entries = await kit.journal()
            assert entries
            return entries

        await eventually(journaled)
        await kit.publish(created("H124"))
        await ended(kit, 2)
    assert [text.splitlines()[0] for text in await kit.texts(PICKERS)] == [
        "<b>🆕 Новый заказ H123</b>",
        "<b>🆕 Новый заказ H124</b>",
    ]


async def test_sigterm_in_mid_send_waits_for_the_answer_and_writes_it_down(make_kit: MakeKit) -> None:
    kit = await make_kit(replicas=0, routes=ONE_GROUP, call_deadline=5.0, drain_seconds=8.0)
    await kit.sandbox.fault("telegram", mode="slow", count=1, delay_s=2)
    async with notifier(kit) as process:
        await kit.publish(created())
        await calls(kit, "telegram", 1)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
    [row] = await kit.fetch("SELECT state, attempts, possibly_repeated FROM deliveries")
    assert row == {"state": "sent", "attempts": 1, "possibly_repeated": False}
    assert len(await kit.journal()) == 1
    assert await kit.fetch("SELECT 1 FROM outbox") == []


@pytest.mark.chaos
async def test_two_replicas_killed_at_random_lose_nothing_and_repeat_nothing_silently(
    make_kit: MakeKit,
) -> None:
    kit = await make_kit(replicas=0, call_deadline=1.0)
    await kit.sandbox.fault("telegram", mode="slow", share=0.5, delay_s=0.3)
    numbers = [f"K{index}" for index in range(40)]
    chance = random.Random(7)  # noqa: S311 - when to kill

    async def replica() -> None:
        """Start, live a while, be killed, twice; then live."""
        for _ in range(2):
            async with notifier(kit):
                await asyncio.sleep(chance.uniform(3, 5))
        async with notifier(kit):
            await done.wait()

    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(replica())
        for number in numbers:
            await kit.publish(created(number))
            await asyncio.sleep(0.2)
        await ended(kit, 80, within=80)
        done.set()
    log = await kit.sandbox.log("telegram")
    assert {entry["status"] for entry in log} <= {200, None}  # no limit was exceeded
    for chat in {entry["request"]["chat_id"] for entry in log}:
        texts = [entry["request"]["text"] for entry in log if entry["request"]["chat_id"] == chat and entry["effect"]]
        for number in numbers:
            came = [part for text in texts for part in text.split("\n\n") if an_order(number).number in part]
            assert came
            assert all(part.startswith(f"<i>{MARK}</i>\n") for part in came[1:])
