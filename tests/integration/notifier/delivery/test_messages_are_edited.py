"""A message about a problem says how the problem stands, in every chat that has it, whatever happens in between."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.notifier.factories import BOTH, ONE_CHAT, Kit, MakeKit, a_problem, act, ended
from tests.support.servers import eventually
from tests.support.slack_texts import as_read


async def shown(kit: Kit) -> dict[str, list[str]]:
    """What stands in the chats now: the first line of each message that was not deleted."""
    telegram = (await kit.sandbox.control("GET", "/sandbox/telegram/messages"))["items"]
    slack = (await kit.sandbox.control("GET", "/sandbox/slack/messages"))["items"]
    return {
        "telegram": [message["text"].splitlines()[0] for message in telegram if not message["deleted"]],
        "slack": [as_read(post["blocks"][0]).splitlines()[0] for post in slack if not post["deleted"]],
    }


async def show(kit: Kit, **wanted: list[str]) -> dict[str, list[str]]:
    """Wait until the messages begin with these words."""

    async def probe() -> dict[str, list[str]]:
        lines = await shown(kit)
        for channel, words in wanted.items():
            assert len(lines[channel]) == len(words), lines
            assert all(line.startswith(word) for line, word in zip(lines[channel], words, strict=True)), lines
        return lines

    return await eventually(probe)


async def test_every_chat_learns_who_took_a_problem_and_that_it_is_over(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=BOTH, replicas=2)
    await kit.publish(a_problem())
    await ended(kit, 2)
    await act(kit, "ack")
    await show(kit, telegram=["✋ Занимается: oleg"], slack=["_✋ Занимается: oleg"])
    await act(kit, "resolve")
    lines = await show(kit, telegram=["✅ Решено: oleg", "✅ [production] Решено"], slack=["_✅ Решено: oleg", "*✅"])
    assert len(lines["telegram"]) == 2
    assert {entry["status"] for entry in await kit.sandbox.log("telegram")} == {200}


async def test_changes_that_come_before_the_edit_are_one_edit(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    await kit.publish(a_problem())
    await ended(kit, 1)
    await kit.sandbox.fault("telegram", mode="rate_limit", count=1, delay_s=2)
    await act(kit, "ack")
    for _ in range(5):
        await kit.fetch("UPDATE posts SET wanted = wanted + 1 RETURNING 1")
    await show(kit, telegram=["✋ Занимается: oleg"])

    async def quiet() -> bool:
        return not await kit.fetch("SELECT 1 FROM posts WHERE wanted > shown")

    await eventually(quiet)
    edits = [entry for entry in await kit.sandbox.log("telegram") if entry["operation"] == "editMessageText"]
    assert [entry["status"] for entry in edits if entry["effect"]] == [200]
    assert len(edits) <= 3  # one was throttled, one more may have found nothing to change


@pytest.mark.parametrize("channel", ["telegram", "slack"])
async def test_a_message_that_somebody_deleted_is_posted_anew_while_the_problem_lasts(
    make_kit: MakeKit, channel: str
) -> None:
    only = {"telegram": "all", "slack": "team"}[channel]
    kit = await make_kit(routes={**BOTH, "routes": [{"name": "r", "to": [only]}]})
    await kit.publish(a_problem())
    await ended(kit, 1)
    world = kit.sandbox.world
    messages: list[Any] = list(
        world.telegram.state.messages.values() if channel == "telegram" else world.slack.workspace.posts.values()
    )
    messages[0].deleted = True
    await act(kit, "ack")
    await show(kit, **{channel: [{"telegram": "✋ Занимается", "slack": "_✋ Занимается"}[channel]]})

    async def recorded() -> bool:
        return not await kit.fetch("SELECT 1 FROM posts WHERE wanted > shown OR message_id IS NULL")

    await eventually(recorded)


async def test_a_deleted_message_about_a_problem_that_is_over_is_not_missed(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT)
    await kit.publish(a_problem())
    await ended(kit, 1)
    next(iter(kit.sandbox.world.telegram.state.messages.values())).deleted = True
    await act(kit, "resolve")
    await ended(kit, 2)

    async def forgotten() -> bool:
        return not await kit.fetch("SELECT 1 FROM posts")

    await eventually(forgotten)
    await show(kit, telegram=["✅ [production] Решено"])


async def test_an_edit_whose_answer_was_lost_is_made_again_and_nobody_sees_it_twice(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, call_deadline=3.0)
    await kit.publish(a_problem())
    await ended(kit, 1)
    await kit.sandbox.fault("telegram", mode="lost_response", count=1, delay_s=30)
    await act(kit, "ack")

    async def done() -> bool:
        return not await kit.fetch("SELECT 1 FROM posts WHERE wanted > shown")

    await eventually(done)
    [line] = (await shown(kit))["telegram"]
    assert line.startswith("✋ Занимается: oleg")  # no "possibly repeated"


async def test_several_problems_in_one_message_each_have_their_own_standing(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_CHAT, combine_above=1)
    await kit.sandbox.fault("telegram", mode="rate_limit", count=1, delay_s=1)
    await kit.publish(*(a_problem(f"p:{number}", summary=f"trouble {number}") for number in range(3)))
    await ended(kit, 3)
    await act(kit, "ack", incident=2)

    async def probe() -> str:
        [message] = (await kit.sandbox.control("GET", "/sandbox/telegram/messages"))["items"][-1:]
        text = str(message["text"])
        assert "✋" in text
        return text

    text = await eventually(probe)
    parts = {number: part for part in text.split("\n\n") for number in range(3) if f"trouble {number}" in part}
    assert [part.startswith("✋") for _, part in sorted(parts.items()) if "trouble 1" in part] == [True]
    assert not any(part.startswith("✋") for number, part in parts.items() if number != 1)
