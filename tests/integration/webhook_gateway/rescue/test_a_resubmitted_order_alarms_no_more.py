"""An endangered order that a person resubmits is a problem no longer: its end is published with the order, once, and says who did it."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from common.clock import SystemClock
from common.contracts.alerts import ProblemResolvedV1
from common.contracts.batch import unpack
from common.contracts.envelope import Envelope, parse
from common.contracts.intake import IntakeMessage
from common.http import AdminChange, Change, Principal
from common.http.changes import DoneElsewhere
from common.ids import order_number
from common.messaging import topology
from common.postgres import Database
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer, watched
from tests.support.crash_points import AnyConnectionWithCrashPoints, CrashPoint, KilledError
from tests.support.servers import eventually
from webhook_gateway.hooks.sending import Sending
from webhook_gateway.rescue.model import anonymous_fingerprint, endangered_fingerprint
from webhook_gateway.rescue.resubmit import resubmit
from webhook_gateway.rescue.store import EndangeredStore

Arrived = Callable[[int], Awaitable[list[IntakeMessage]]]
ORDERS = "/api/v1/orders/"
PATH = "/admin/v1/endangered-orders"
GOOD = {
    "externalId": "W-1",
    "positions": [{"id": "honey", "name": "Мёд", "quantity": 1, "price": "10.00"}],
    "customer": {"name": "Анна", "phone": "+79990000001"},
}
LOST = """
INSERT INTO endangered_orders (id, received_at, status, category, customer, address, basket, body, external_id, replica, source)
VALUES ($1, now(), 503, 'back_end', '{}', NULL, '[]', $2, 'W-1', 'gw', 'website')
"""
MOST_DEATHS = 60


async def lost(gateway: Gateway, count: int) -> list[dict[str, Any]]:
    """Wait for so many endangered orders."""

    async def enough() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await gateway.get(PATH, role="operator"))["items"]
        return items if len(items) == count else []

    return await eventually(enough, what=f"{count} endangered orders")


def ends(events: list[Envelope]) -> list[ProblemResolvedV1]:
    """The ends of problems among these events."""
    return [parse(event, ProblemResolvedV1) for event in events if event.type == ProblemResolvedV1.TYPE]


async def test_of_two_who_resubmit_at_once_one_ends_the_problem_and_says_who(
    start: Start, arrived: Arrived, amqp_url: str
) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        await gateway.send({**GOOD, "positions": []}, path=ORDERS, headers=bearer("website"))
        [item] = await lost(gateway, 1)
        path, wanted = f"{PATH}/{item['id']}/resubmit", {"reason": "исправлено", "body": GOOD}
        status, plan = await gateway.change(path, {**wanted, "dry_run": True})
        assert (status, len(await alerts(1)) == 1) == (200, True)
        keys = ("first", "second")
        answers = await asyncio.gather(*(gateway.change(path, wanted, **{"Idempotency-Key": key}) for key in keys))
        assert sorted(status for status, _ in answers) == [200, 409]
        [(key, done)] = [(key, said) for key, (status, said) in zip(keys, answers, strict=True) if status == 200]
        assert await gateway.change(path, wanted, **{"Idempotency-Key": key}) == (200, done)
        assert done["notices"] == plan["notices"]
        assert any(item["id"] in line or "resolved" in line for line in done["notices"])
        [over] = ends(await alerts(2))
        assert over.fingerprint == endangered_fingerprint(item["id"])
        assert over.summary == f"Заказ с сайта отправлен заново: {order_number('website', 'W-1')} (operator)"
        await arrived(1)
        assert (await gateway.change(f"{PATH}/{item['id']}/close", {"reason": "разобрано"}))[0] == 200
        assert len(ends(await alerts(3))) == 2


async def test_of_the_last_two_strangers_saved_at_once_one_ends_their_warning(
    start: Start, arrived: Arrived, amqp_url: str
) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        for number in range(4):
            body = {**GOOD, "externalId": f"S-{number}", "customer": {"phone": f"+7999111000{number}"}}
            await gateway.send(body, path=ORDERS, headers=bearer("wrong"))
        items = await lost(gateway, 4)
        said = {"reason": "наш сайт потерял токен", "despite_duplicates": True}
        done = await asyncio.gather(*(gateway.change(f"{PATH}/{one['id']}/resubmit", said) for one in items[:2]))
        done += await asyncio.gather(
            gateway.change(f"{PATH}/{items[2]['id']}/resubmit", said),
            gateway.change(f"{PATH}/{items[3]['id']}/close", {"reason": "спам"}),
        )
        assert [status for status, _ in done] == [200] * 4
        [over] = ends(await alerts(2))
        hours = {anonymous_fingerprint(one["network"], datetime.fromisoformat(one["received_at"])) for one in items}
        assert over.fingerprint in hours
        await arrived(3)


@pytest.mark.parametrize("name", ["S-again", "same"])
async def test_a_second_try_of_the_last_stranger_ends_their_warning(start: Start, amqp_url: str, name: str) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        for number in range(2):
            body = {**GOOD, "externalId": f"S-{number}", "customer": {"phone": f"+7999111000{number}"}}
            await gateway.send(body, path=ORDERS, headers=bearer("wrong"))
        items = await lost(gateway, 2)
        last = next(one for one in items if one["customer"]["phone"].endswith("0"))
        [other] = [one for one in items if one is not last]
        assert (await gateway.change(f"{PATH}/{other['id']}/close", {"reason": "спам"}))[0] == 200
        named = last["external_id"] if name == "same" else name
        again = {**GOOD, "externalId": named, "customer": {"phone": "+79991110000"}}
        await gateway.send(again, path=ORDERS, headers=bearer("website"))  # the same goods, with a token
        [over] = ends(await alerts(2))
        assert over.fingerprint == anonymous_fingerprint(last["network"], datetime.fromisoformat(last["received_at"]))


async def test_who_dies_while_resubmitting_leaves_both_order_and_alarm_or_neither(
    database_for: Callable[[str], Awaitable[str]],
) -> None:
    database = Database(await database_for("webhook_gateway"), application_name="victim")
    await database.open()
    store = EndangeredStore(database, public_url="")
    order, body = uuid.uuid4(), b'{"externalId": "W-1", "positions": [{"id": "honey", "quantity": 1}]}'
    asked = DoneElsewhere(
        principal=Principal(name="oleg", role="operator"), body=AdminChange(reason="спасаем"), request_id="request"
    )

    async def foretell(_connection: Any, _hook: IntakeMessage) -> list[str]:
        return []

    async def resubmitting(crash_point: CrashPoint) -> None:
        async with database.transaction() as connection:
            mortal: Any = AnyConnectionWithCrashPoints(connection, crash_point)
            await resubmit(
                Change(mortal, asked),
                str(order),
                store=store,
                mended=None,
                despite_duplicates=False,
                preview=False,
                sending=Sending(clock=SystemClock(), replica="gw-1", foretell=foretell),
                currency_of=lambda _: "RUB",
            )
            await crash_point.point()

    async def published() -> list[str]:
        async with database.acquire() as connection:
            rows = await connection.fetch("SELECT body FROM outbox ORDER BY id")
            state = await connection.fetchval("SELECT state FROM endangered_orders WHERE id = $1", order)
        return [str(state), *(Envelope.decode(each).type for row in rows for each in unpack(row["body"]))]

    try:
        async with database.acquire() as connection:
            await connection.execute(LOST, order, body)
        for turn in itertools.count(1):
            assert turn < MOST_DEATHS
            try:
                await resubmitting(CrashPoint(dies_at=turn))
            except KilledError:
                assert await published() in (["open"], ["new"]), turn
                continue
            break
        state, *types = await published()
        assert (state, types.count(ProblemResolvedV1.TYPE), len(types) >= 3, turn > 8) == ("resubmitted", 1, True, True)
    finally:
        await database.close()
