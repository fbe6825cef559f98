"""A sender dies after its claim, or after its call: whatever it was sending arrives, twice only where nobody can know, and says so."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from common.postgres import Database
from common.service import running
from notifier.app import build
from notifier.channels.telegram import telegram_limits
from notifier.delivery.deliver import Deliver
from notifier.delivery.model import Claim, Digest, StaleMessage
from notifier.delivery.outcomes import Sent
from notifier.delivery.queue import DeliveryQueues
from notifier.messages.words import Words
from notifier.metrics import NotifierMetrics
from tests.integration.notifier.factories import ONE_CHAT, Kit, MakeKit, PatientSender, a_problem, act, many
from tests.support.servers import eventually

MARK = "возможно, повторно"
SENDING = {"telegram_token": SecretStr("4242:test-token")}


async def die(kit: Kit, work: type[Any], *, after_the_call: bool, storm_above: int = 20) -> None:
    """Be the sender that claims such a piece of work, perhaps makes the call, and ends."""
    database = Database(kit.dsn, application_name="victim")
    await database.open()
    sender = PatientSender(token="4242:test-token", api_url=kit.sandbox.telegram_url)
    deliver = Deliver(
        channel="telegram",
        queues=DeliveryQueues(database, channel="telegram", limits=lambda chat: telegram_limits(bot="4242", chat=chat)),
        sender=sender,
        words=Words("ru"),
        watch=NotifierMetrics(CollectorRegistry()),
        deadline=1.0,
        monotonic=lambda: 0.0,
        storm_above=storm_above,
    )

    async def claimed() -> Claim | None:
        return await deliver.claim()

    claim = await eventually(claimed)
    assert claim is not None
    assert isinstance(claim.work, work)
    if after_the_call:
        assert isinstance(await deliver.send(claim), Sent)
    await sender.close()
    await database.close()
    await kit.fetch("UPDATE lanes SET lease_until = now() RETURNING 1")
    await kit.fetch("UPDATE deliveries SET lease_until = now() WHERE lease_until IS NOT NULL RETURNING 1")


async def known(kit: Kit, count: int) -> None:
    """Wait until so many deliveries wait."""

    async def waits() -> bool:
        return len(await kit.fetch("SELECT 1 FROM deliveries")) == count

    await eventually(waits)


async def nothing_left(kit: Kit) -> None:
    """Wait until everything is notified and says what is true."""

    async def settled() -> bool:
        left = await kit.fetch("SELECT 1 FROM deliveries WHERE state NOT IN ('sent', 'failed')")
        stale = await kit.fetch("SELECT 1 FROM posts WHERE wanted > shown")
        return not left and not stale

    await eventually(settled)


async def texts(kit: Kit) -> list[str]:
    """What stands in the chat."""
    items = (await kit.sandbox.control("GET", "/sandbox/telegram/messages"))["items"]
    return [item["text"] for item in items if not item["deleted"]]


@pytest.mark.parametrize("after_the_call", [False, True])
async def test_a_new_message_an_edit_and_a_message_that_is_posted_anew(make_kit: MakeKit, after_the_call: bool) -> None:
    kit = await make_kit(routes=ONE_CHAT, telegram_token=None)
    survivor = kit.settings.model_copy(update=SENDING)
    once = [MARK] if not after_the_call else ["🟠", MARK]  # before the call nobody can know either, so it says so

    await kit.publish(a_problem())
    await known(kit, 1)
    await die(kit, tuple, after_the_call=after_the_call)
    async with running(build, survivor):
        await nothing_left(kit)
    await begin(kit, once)

    await act(kit, "ack")
    await die(kit, StaleMessage, after_the_call=after_the_call)
    async with running(build, survivor):
        await nothing_left(kit)
    await begin(kit, [*once[:-1], f"{MARK} · ✋ Занимается: oleg"])  # as often as it stood there before

    await kit.fetch("UPDATE posts SET message_id = NULL, wanted = wanted + 1 RETURNING 1")
    for message in kit.sandbox.world.telegram.state.messages.values():
        message.deleted = True
    await die(kit, StaleMessage, after_the_call=after_the_call)
    async with running(build, survivor):
        await nothing_left(kit)
    await begin(kit, [MARK] * (2 if after_the_call else 1))


async def begin(kit: Kit, beginnings: list[str]) -> None:
    """Check what stands in the chat."""
    seen = await texts(kit)
    assert len(seen) == len(beginnings), seen
    assert all(text.startswith(beginning) for text, beginning in zip(seen, beginnings, strict=True)), seen


@pytest.mark.parametrize(("after_the_call", "marks"), [(False, [True]), (True, [False, True])])
async def test_a_digest(make_kit: MakeKit, after_the_call: bool, marks: list[bool]) -> None:
    kit = await make_kit(routes=ONE_CHAT, telegram_token=None, storm_above=3)
    await kit.publish(*many(12))
    await known(kit, 12)
    await die(kit, Digest, after_the_call=after_the_call, storm_above=3)
    rows = await kit.fetch("SELECT DISTINCT state FROM deliveries")
    assert rows == [{"state": "sending"}]  # the digest has them, whoever sends it
    async with running(build, kit.settings.model_copy(update=SENDING)):
        await nothing_left(kit)
        assert [text.startswith(MARK) for text in await texts(kit)] == marks
