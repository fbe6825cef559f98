"""A customer who stands in a refund's reason or in a dead letter is erased over HTTP; sums, payments and their history stay."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from common.contracts import Envelope
from common.contracts.orders import RefundWantedV1
from common.messaging import Broker
from tests.integration.refunds.factories import RefundsClient, Start
from tests.support.servers import eventually

PHONE = "+7 916 123-45-67"
PATH = "/admin/v1/erasures"
WHY = {"reason": "the customer asked"}
EVERYTHING = """
SELECT string_agg(row::text, ' ') FROM (
    SELECT to_jsonb(r) AS row FROM refunds r UNION ALL SELECT to_jsonb(h) FROM refund_history h
    UNION ALL SELECT to_jsonb(d) || jsonb_build_object('text', convert_from(d.body, 'UTF8')) FROM dead_letters d
    UNION ALL SELECT to_jsonb(a) FROM audit_log a
) AS rows
"""


async def everything(service: RefundsClient) -> str:
    """All that the service keeps for longer than a message is on its way, as text."""
    [row] = await service.fetch(EVERYTHING)
    return str(row["string_agg"])


@pytest.mark.parametrize(
    ("whom", "history"),
    [({"phone": "8 916 1234567"}, 0), ({"order_number": "7Q3M0V9XK2TDW8RC"}, 1)],  # phones are never written there
)
async def test_an_erased_customer_is_nowhere_and_the_money_stays(
    start: Start, broker: Broker, whom: dict[str, str], history: int
) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    message = RefundWantedV1(
        order_number="7Q3M0V9XK2TDW8RC",
        payment_id="pay-1",
        amount=6_000,
        currency="RUB",
        reason=f"cancelled, {PHONE} asked",
        business_key="by-event",
    )
    asked = Envelope.of(message, event_id="e0", source="/orders", subject=message.order_number, time=datetime.now(UTC))
    await broker.publisher.publish(asked, deadline=15.0)

    async def accepted() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await service.call("GET", "/admin/v1/refunds", role="viewer"))[1]["items"]
        return found

    [refund] = await eventually(accepted, what="the refund")
    await service.reaches(refund["id"], "SUCCESS")
    wanted = {"order_number": "7Q3M0V9XK2TDW8RC", "reason": f"{PHONE} asked", "amount": "much"}
    poison = Envelope(
        id="e1",
        source="/test",
        type="orders.refund.wanted.v1",
        subject="7Q3M0V9XK2TDW8RC",
        time=datetime.now(UTC),
        data=wanted,
    )
    await broker.publisher.publish(poison, deadline=15.0)

    async def dead() -> bool:
        return bool((await service.call("GET", "/admin/v1/dead-letters?count=true", role="viewer"))[1]["count"])

    await eventually(dead, what="the dead letter")
    for role, status in (("operator", 403), ("viewer", 403)):
        assert (await service.call("POST", PATH, role=role, json={**WHY, **whom}))[0] == status
    _, preview = await service.call("POST", PATH, role="admin", json={**WHY, **whom, "dry_run": True})
    assert "123-45-67" in await everything(service)
    status, done = await service.call("POST", PATH, role="admin", json={**WHY, **whom})
    assert (status, done["by_kind"]) == (200, {"reasons": 1, "history": history, "dead_letters": 1})
    assert preview["by_kind"] == done["by_kind"]
    assert "refunds" in done["kept"]
    left = await everything(service)
    assert not [said for said in ("123-45-67", "1234567") if said in left]
    assert (await service.call("POST", PATH, role="admin", json={**WHY, **whom}))[1]["places"] == 0
    after = await service.refund(refund["id"])
    assert (after["amount"], after["state_name"], after["order_number"]) == (6_000, "SUCCESS", "7Q3M0V9XK2TDW8RC")
    path = await service.path(refund["id"])
    assert (path[0], path[-1]) == ("CREATE", "SUCCESS")


async def test_a_name_in_a_refund_asked_for_over_http_goes_and_the_history_stays(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    asked = {
        "order_number": "7Q3M0V9XK2TDW8RC",
        "payment_id": "pay-1",
        "amount": 6_000,
        "currency": "RUB",
        "business_key": "by-hand",
        "reason": "Зинаида Меткина так просила",
    }
    status, refund = await service.call("POST", "/refunds/v1/refunds", role="operator", json=asked)
    assert status in {200, 201, 202}, refund
    await service.reaches(refund["id"], "SUCCESS")
    history = "SELECT to_jsonb(h) - 'detail' AS line, detail FROM refund_history AS h ORDER BY h.id"
    books = "SELECT to_jsonb(r) - 'reason' AS row FROM refunds AS r"
    before = [(row["line"]) for row in await service.fetch(history)], await service.fetch(books)
    others = {"order_number": "7Q3M0V9XK2TDW8RD"}
    assert (await service.call("POST", PATH, role="admin", json={**WHY, **others}))[1]["places"] == 0
    whom = {"order_number": "7Q3M0V9XK2TDW8RC"}
    status, done = await service.call("POST", PATH, role="admin", json={**WHY, **whom})
    assert (status, done["by_kind"]) == (200, {"reasons": 1, "history": 1, "dead_letters": 0})
    lines = await service.fetch(history)
    assert ([row["line"] for row in lines], await service.fetch(books)) == before
    assert lines[0]["detail"] == "[masked]"
    assert "Меткина" not in str(lines) + str(await service.fetch("SELECT reason FROM refunds"))
    assert (await service.call("POST", PATH, role="admin", json={**WHY, **whom}))[1]["places"] == 0
    # The same request again is still the same refund.
    _, again = await service.call("POST", "/refunds/v1/refunds", role="operator", json=asked)
    assert again["id"] == refund["id"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE refund_history SET detail = 'something else'",
        "UPDATE refund_history SET detail = '[masked]', state_after = 7",
        "UPDATE refund_history SET detail = '[masked]', actor = 'nobody'",
        "DELETE FROM refund_history",
    ],
)
async def test_nothing_but_a_masked_word_changes_in_the_history(start: Start, change: str) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    _, refund = await service.request()
    await service.reaches(refund["id"], "SUCCESS")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service.fetch(change)


async def test_an_erasure_names_one_customer_or_is_refused(start: Start) -> None:
    service = await start()
    for wrong in (
        {},
        {"phone": "123"},
        {"email": "nobody"},
        {"phone": "+79161234567", "email": "a@b.c"},
        {"name": "x"},
    ):
        assert (await service.call("POST", PATH, role="admin", json={**WHY, **wrong}))[0] == 422, wrong
