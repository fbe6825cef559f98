"""What people do at the gateway: events that they enter, and every act in the order's timeline with name and reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.contracts.envelope import Envelope, parse
from common.contracts.intake import IntakeMessage
from common.contracts.journal import JournalEntryV1
from common.ids import order_number
from common.messaging import topology
from sandbox.testing import running_sandbox
from tests.integration.webhook_gateway.conftest import Start, bearer, hook_body, watched
from tests.support.servers import eventually

Arrived = Callable[[int], Awaitable[list[IntakeMessage]]]
NUMBER = order_number("sbermarket", "H1")
EVENTS = "/admin/v1/events"
WHY = {"reason": "хук не дошёл, звонил +79990001122"}


def asked(event: str = "order.delivered", **changes: Any) -> dict[str, Any]:
    """An event as an operator enters it."""
    payload = {
        key: value
        for key, value in hook_body(event)["payload"].items()
        if event == "order.created" or key != "positions"
    }
    return {"source": "sbermarket", "event_type": event, "payload": payload, **WHY, **changes}


async def test_an_event_that_never_came_is_entered_as_if_the_source_had_sent_it(
    start: Start, arrived: Arrived, amqp_url: str
) -> None:
    created = asked("order.created", timestamp="2026-11-21T10:00:00+03:00")
    async with start() as gateway, watched(amqp_url, topology.ORCHESTRATOR_JOURNAL) as journal:
        status, preview = await gateway.change(EVENTS, {**created, "dry_run": True})
        assert (status, preview["status"], preview["number"], preview["dry_run"]) == (200, "created", NUMBER, True)
        key = {"Idempotency-Key": "e-1"}
        answers = [await gateway.change(EVENTS, created, **key) for _ in range(2)]
        assert answers[0] == answers[1]
        status, answer = answers[0]
        assert (status, answer["status"], answer["number"]) == (200, "created", NUMBER)
        assert (await gateway.change(EVENTS, asked()))[1]["status"] == "ok"
        entered, delivered = await arrived(2)
        assert (entered.event, entered.sent_at, entered.actor) == (
            "order.created",
            "2026-11-21T07:00:00+00:00",
            "operator",
        )
        assert delivered.event == "order.delivered"
        [first, _] = await gateway.deliveries(2)
        assert (first["id"], first["outcome"], first["actor"], first["why"]) == (
            answer["delivery_id"],
            "entered",
            "operator",
            "хук не дошёл, звонил [masked]",
        )
        assert (await gateway.send(hook_body()))[0] == 200  # the source sends it after all
        assert (await arrived(3))[2].event_id == entered.event_id
        lines = [parse(event, JournalEntryV1) for event in await journal(3)]
        assert sorted((line.kind, line.actor) for line in lines) == [
            ("hook.entered", "operator"),
            ("hook.entered", "operator"),
            ("hook.received", "sbermarket"),
        ]
        ledger = await gateway.get("/admin/v1/ledger")
        assert (ledger["received"], ledger["confirmed"]) == (1, 1)  # what was entered never came in
        audit = (await gateway.get("/admin/v1/audit"))["items"]
        assert [(entry["action"], entry["reason"]) for entry in audit] == [
            ("event.enter", "хук не дошёл, звонил [masked]")
        ] * 2


async def test_what_a_website_never_sends_is_entered_for_its_order(start: Start, arrived: Arrived) -> None:
    async with start() as gateway:
        for source in ("website", "website:kz"):
            said = asked("order.paid", source=source, payload={"originalOrderId": "W-1"})
            status, answer = await gateway.change(EVENTS, said)
            assert (status, answer["number"]) == (200, order_number(source, "W-1"))
        assert [(hook.event, hook.source) for hook in await arrived(2)] == [
            ("order.paid", "website"),
            ("order.paid", "website:kz"),
        ]
        status, problem = await gateway.change(EVENTS, asked("order.created", source="website"))
        assert (status, problem["fields"][0]["code"]) == (422, "not_for_websites")


async def test_an_event_that_does_not_fit_is_refused_with_its_fields_and_leaves_nothing(start: Start) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    wrong = [
        (asked(source="nobody"), "source", "unknown"),
        (asked("order.paid", source="website:typo"), "source", "unknown"),
        (asked("courier.assigned"), "event_type", "unknown"),
        (asked(payload={}), "payload.originalOrderId", "missing"),
        (asked("order.created", payload={"originalOrderId": "H1"}), "payload.positions", "missing"),
        (asked(timestamp="yesterday"), "timestamp", "not_a_time"),
        (asked(timestamp=tomorrow), "timestamp", "in_the_future"),
    ]
    async with start() as gateway:
        for body, field, code in wrong:
            status, problem = await gateway.change(EVENTS, body)
            assert (status, [(each["field"], each["code"]) for each in problem["fields"]]) == (422, [(field, code)])
            if field == "source":
                assert problem["fields"][0]["message"].endswith(
                    "known: kuper, sbermarket, shop, strict, website, website:kz"
                )
        assert (await gateway.change(EVENTS, asked(), role="viewer"))[0] == 403
        assert [each["action"] for each in (await gateway.get("/admin/v1/audit"))["items"]] == ["call.refused"]
        assert (await gateway.get("/admin/v1/deliveries"))["items"] == []


async def test_what_people_decide_about_hooks_stands_in_the_timeline_with_name_and_reason(
    start: Start, amqp_url: str
) -> None:
    async with start() as gateway, watched(amqp_url, topology.ORCHESTRATOR_JOURNAL) as journal:
        for _ in range(2):
            assert (await gateway.send(hook_body(positions="none")))[0] == 200
        replayed, dismissed = await gateway.deliveries(2)
        path = f"/admin/v1/deliveries/{replayed['id']}"
        seen = (await gateway.get(path, role="operator"))["version"]
        mended = {"body": hook_body(), "expected_version": seen, **WHY}
        assert (await gateway.change(f"{path}/replay", mended))[0] == 200
        status, problem = await gateway.change(f"{path}/replay", mended)
        assert (status, problem["code"]) == (409, "changed_since")
        path = f"/admin/v1/deliveries/{dismissed['id']}/dismiss"
        both = await asyncio.gather(gateway.change(path, WHY), gateway.change(path, WHY))
        assert sorted(status for status, _ in both) == [200, 409]
        await noted(journal, NUMBER, "hook.dismissed", "hook.replayed")


@pytest.mark.parametrize(("token", "source"), [("wrong", "website"), ("kz", "website:kz")])
async def test_what_people_do_for_endangered_orders_stands_in_the_timeline_of_their_orders(
    start: Start, amqp_url: str, token: str, source: str
) -> None:
    order = {"externalId": "W-1", "positions": [{"id": "sku-1", "quantity": 1}], "customer": {"phone": "+79990001122"}}
    number = order_number(source, "W-1")
    report = {
        "cause": "мы не предусмотрели такие адреса",
        "remedy": "форма их снова принимает, заказ восстановлен",
        **WHY,
    }
    async with running_sandbox() as sandbox:
        mail = {"smtp_host": sandbox.smtp_host, "smtp_port": sandbox.smtp_port, "report_to": "arsen@shop.example"}
        async with start(**mail) as gateway, watched(amqp_url, topology.ORCHESTRATOR_JOURNAL) as journal:
            refused = await gateway.send({**order, "positions": []}, path="/api/v1/orders/", headers=bearer(token))
            assert refused[0] in {401, 403, 422}

            async def endangered() -> Any:
                return (await gateway.get("/admin/v1/endangered-orders"))["items"]

            [item] = await eventually(endangered, what="an endangered order")
            path = f"/admin/v1/endangered-orders/{item['id']}"
            for act, body, status in (
                ("mend", {"body": order, **WHY}, 200),
                ("resubmit", WHY, 200),
                ("report", report, 202),
                ("close", WHY, 200),
            ):
                answer = await gateway.change(f"{path}/{act}", body)
                assert answer[0] == status, answer
            acts = ("mended", "resubmitted", "report_written", "closed")
            await noted(journal, number, *(f"endangered_order.{act}" for act in acts))


async def noted(journal: Callable[[int], Awaitable[list[Envelope]]], number: str, *kinds: str) -> None:
    """Wait until the order's timeline is sent these acts of the operator, each once, with the reason and no phone in it."""

    async def there() -> bool:
        lines = [parse(event, JournalEntryV1) for event in await journal(0)]
        acts = [line for line in lines if line.actor == "operator" and line.kind != "endangered_order.reported"]
        assert sorted((line.kind, line.order_number, line.details["reason"]) for line in acts) == [
            (kind, number, "хук не дошёл, звонил [masked]") for kind in sorted(kinds)
        ]
        return True

    await eventually(there, what="the acts in the journal")
