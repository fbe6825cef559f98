"""Whoever asks for a refund is believed only where the orchestrator's own record says the same, before anything is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from common.contracts import Envelope
from common.contracts.orders import RefundLine, RefundWantedV1
from common.http import HttpServer
from common.messaging import Broker
from refunds.refunds import confirm
from tests.integration.refunds.factories import RefundsClient, Start
from tests.support.servers import eventually

REQUESTED = ("order_number", "payment_id", "amount", "currency", "business_key")
NUMBER, KEY = "7Q3M0V9XK2TDW8RC", "7Q3M0V9XK2TDW8RC:operator:1"
WANTED = RefundWantedV1(
    order_number=NUMBER, payment_id="pay-1", amount=50_000, currency="RUB", reason="late", business_key=KEY
)


class Orchestrator:
    """Answers from its record; ``away`` is what it answers instead."""

    def __init__(self, token: Path) -> None:
        self.record: dict[str, RefundWantedV1] = {}
        self.away: int | None = None
        self.asked: list[str] = []
        self.url = ""
        self.token = token

    async def answer(self, request: web.Request) -> web.Response:
        """One question of refunds."""
        key = request.match_info["key"]
        self.asked.append(key)
        assert request.headers["Authorization"] == "Bearer the-suites-own"
        if self.away is not None:
            return web.Response(status=self.away)
        if key not in self.record:
            return web.json_response({"code": "no_refund_asked"}, status=404)
        return web.json_response(text=self.record[key].model_dump_json())

    @property
    def settings(self) -> dict[str, Any]:
        """What refunds is told of it."""
        return {"orchestrator_url": self.url, "internal_token_file": self.token}


@pytest.fixture
async def orchestrator(tmp_path: Path) -> AsyncIterator[Orchestrator]:
    """One that has asked for nothing."""
    token = tmp_path / "internal-token"
    token.write_text("the-suites-own\n")
    found = Orchestrator(token)
    app = web.Application()
    app.router.add_get("/orders/v1/refunds/{key}", found.answer)
    async with HttpServer(app, "127.0.0.1", 0) as server:
        found.url = server.url
        yield found


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not recorded now is not going to be."""
    monkeypatch.setattr(confirm, "_RECORDED_WITHIN", timedelta(0))


async def ask(service: RefundsClient, broker: Broker, message: RefundWantedV1 = WANTED) -> str:
    """Publish it, as whoever has an account that may; return the refund's id."""
    envelope = Envelope.of(
        message, event_id=message.business_key, source="/orders", subject=NUMBER, time=datetime.now(UTC)
    )
    await broker.publisher.publish(envelope)

    async def there() -> str:
        rows = await service.fetch("SELECT id FROM refunds WHERE business_key = $1", message.business_key)
        return str(rows[0]["id"]) if rows else ""

    return await eventually(there, what="the refund")


async def nothing_was_sent(service: RefundsClient) -> bool:
    """Whether no payment system was given anything, and no sum is held."""
    found = await service.ledger()
    return found["refunds"] == [] and not await service.fetch("SELECT FROM refund_attempts WHERE sent_at IS NOT NULL")


@pytest.mark.usefixtures("at_once")
async def test_a_forged_event_pays_nothing_and_is_told(
    start: Start, broker: Broker, orchestrator: Orchestrator
) -> None:
    service = await start(**orchestrator.settings)
    await service.sandbox.put_payment("pay-1", captured=100_000)
    refund = await ask(service, broker)
    await service.reaches(refund, "REJECTED")
    told = await service.event("notifier.refunds", "refunds.refund.rejected.v1", business_key=KEY)
    assert (told["code"], told["detail"]) == ("not_asked_for", "the orchestrator has not asked for it")
    assert await nothing_was_sent(service)


@pytest.mark.parametrize(
    "asked",
    [
        {"amount": 5_000},
        {"amount": None},
        {"payment_id": "pay-2"},
        {"order_number": "ANOTHER"},
        {"currency": "USD"},
        {"lines": (RefundLine(id="tips", kind="tips", paid=50_000),)},
    ],
    ids=lambda asked: next(iter(asked)),
)
async def test_an_event_that_asks_for_something_else_pays_nothing(
    start: Start, broker: Broker, orchestrator: Orchestrator, asked: dict[str, Any]
) -> None:
    orchestrator.record[KEY] = WANTED.model_copy(update=asked)
    service = await start(**orchestrator.settings)
    await service.sandbox.put_payment("pay-1", captured=100_000)
    refund = await ask(service, broker)
    await service.reaches(refund, "REJECTED")
    told = await service.event("notifier.refunds", "refunds.refund.rejected.v1", business_key=KEY)
    assert told["code"] == "not_asked_for"
    assert await nothing_was_sent(service)


async def test_what_the_orchestrator_asked_for_is_paid_after_one_question(
    start: Start, broker: Broker, orchestrator: Orchestrator
) -> None:
    service = await start(**orchestrator.settings)
    await service.sandbox.put_payment("pay-1", captured=100_000)
    everything = WANTED.model_copy(update={"amount": None, "business_key": f"{NUMBER}:cancel"})
    tips = RefundLine(id="tips", kind="tips", paid=1_000)
    lined = WANTED.model_copy(update={"amount": None, "business_key": "lines", "lines": (tips,)})
    for message in (WANTED, lined, everything):
        orchestrator.record[message.business_key] = message
        await service.reaches(await ask(service, broker, message), "SUCCESS")
    assert orchestrator.asked == [KEY, "lines", f"{NUMBER}:cancel"]
    assert (await service.ledger())["refunded"] == 100_000


@pytest.mark.parametrize("status", [503, 401, 404, 302])
async def test_while_the_orchestrator_is_away_nothing_is_paid_and_then_once(
    start: Start, broker: Broker, orchestrator: Orchestrator, status: int
) -> None:
    """Two replicas, both impatient. A 404 that is not the record's own (another address, an old release) is no answer either."""
    orchestrator.record[KEY], orchestrator.away = WANTED, status
    service, _ = await start(**orchestrator.settings), await start(**orchestrator.settings)
    await service.sandbox.put_payment("pay-1", captured=100_000)
    refund = await ask(service, broker)

    async def asked_again() -> bool:
        return len(orchestrator.asked) > 3

    await eventually(asked_again, what="it asks again")
    found = await service.refund(refund)
    assert (found["state_name"], found["error"], await nothing_was_sent(service)) == (
        "CREATE",
        "orchestrator_away",
        True,
    )
    orchestrator.away = None
    await service.reaches(refund, "SUCCESS")
    assert (await service.ledger())["refunded"] == 50_000


async def test_what_is_not_recorded_yet_waits_for_the_record(
    start: Start, broker: Broker, orchestrator: Orchestrator
) -> None:
    service = await start(**orchestrator.settings)
    await service.sandbox.put_payment("pay-1", captured=100_000)
    refund = await ask(service, broker)

    async def asked_again() -> bool:
        return len(orchestrator.asked) > 2

    await eventually(asked_again, what="it asks again")
    assert ((await service.refund(refund))["state_name"], await nothing_was_sent(service)) == ("CREATE", True)
    orchestrator.record[KEY] = WANTED
    await service.reaches(refund, "SUCCESS")


@pytest.mark.usefixtures("at_once")
async def test_a_forged_event_does_not_ride_on_what_a_caller_asked_for(
    start: Start, broker: Broker, orchestrator: Orchestrator
) -> None:
    """A caller's token is enough here, by setting. Learning what is captured settles all that waits for it, and pays only that one."""
    orchestrator.away = 503
    service = await start(**orchestrator.settings, confirm_callers=False)
    await service.sandbox.put_payment("pay-1", captured=100_000)
    forged = await ask(service, broker)
    _, asked = await service.request(amount=1_000, business_key="by-token")
    await service.reaches(asked["id"], "SUCCESS")
    orchestrator.away = None

    async def refused() -> bool:
        return (await service.refund(forged))["state_name"] in {"REJECTED", "ERROR"}

    await eventually(refused, what="the forged one ends")
    assert (await service.ledger())["refunded"] == 1_000


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("role", ["internal", "operator", "admin"])
async def test_a_callers_refund_that_nobody_asked_for_pays_nothing_and_is_told(
    start: Start, orchestrator: Orchestrator, role: str
) -> None:
    """A service that was broken into, or a person past the orchestrator: whatever sum, and also at a second try of the same."""
    service = await start(**orchestrator.settings)
    await service.sandbox.put_payment("pay-1", captured=100_000)
    body = {**WANTED.model_dump(mode="json", include={*REQUESTED}), "reason": "late"}
    status, asked = await service.call("POST", "/refunds/v1/refunds", role=role, json=body)
    assert (status, asked["state_name"]) == (202, "CREATE")
    await service.reaches(asked["id"], "REJECTED")
    told = await service.event("notifier.refunds", "refunds.refund.rejected.v1", business_key=KEY)
    assert (told["code"], told["detail"]) == ("not_asked_for", "the orchestrator has not asked for it")
    status, again = await service.call("POST", "/refunds/v1/refunds", role=role, json=body)
    assert (status, again["id"], again["state_name"]) == (202, asked["id"], "REJECTED")
    assert await nothing_was_sent(service)


@pytest.mark.usefixtures("at_once")
async def test_a_key_that_a_caller_has_spoilt_is_told_when_the_orchestrator_asks(
    start: Start, broker: Broker, orchestrator: Orchestrator
) -> None:
    """The caller knew the key of a refund that was yet to come. The customer gets nothing under it, and people hear of that then."""
    service = await start(**orchestrator.settings)
    await service.sandbox.put_payment("pay-1", captured=100_000)
    body = {**WANTED.model_dump(mode="json", include={*REQUESTED}), "reason": "late"}
    _, asked = await service.call("POST", "/refunds/v1/refunds", json=body)
    await service.reaches(asked["id"], "REJECTED")
    await service.event("notifier.refunds", "refunds.refund.rejected.v1", business_key=KEY)
    orchestrator.record[KEY] = WANTED
    await broker.publisher.publish(
        Envelope.of(WANTED, event_id="honest", source="/orders", subject=NUMBER, time=datetime.now(UTC))
    )
    told = await service.event("notifier.refunds", "refunds.refund.rejected.v1", business_key=KEY)
    assert (told["code"], "before the orchestrator asked" in told["detail"]) == ("not_asked_for", True)
    assert await nothing_was_sent(service)


async def test_a_callers_refund_that_the_orchestrator_asked_for_too_is_paid_once(
    start: Start, broker: Broker, orchestrator: Orchestrator
) -> None:
    """The caller is first; then the orchestrator records it and its event comes. A caller who asks for another sum gets none."""
    service, _ = await start(**orchestrator.settings), await start(**orchestrator.settings)
    await service.sandbox.put_payment("pay-1", captured=100_000)
    body = {**WANTED.model_dump(mode="json", include={*REQUESTED}), "reason": "late"}
    _, asked = await service.call("POST", "/refunds/v1/refunds", json=body)

    async def asked_about() -> bool:
        return len(orchestrator.asked) > 1

    await eventually(asked_about, what="it waits for the record")
    assert await nothing_was_sent(service)
    orchestrator.record[KEY] = WANTED
    assert await ask(service, broker) == asked["id"]
    await service.reaches(asked["id"], "SUCCESS")
    status, refused = await service.call("POST", "/refunds/v1/refunds", json={**body, "amount": 60_000})
    assert (status, refused["code"]) == (409, "business_key_reused")
    found = await service.ledger()
    assert (found["refunded"], [each["payouts"] for each in found["refunds"]]) == (50_000, [1])
