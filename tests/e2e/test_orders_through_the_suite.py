"""Orders through the whole suite: one order, one trace, many orders out of order, and the same while processes are killed.

One file, because the tests share one suite: with `--dist loadfile` they run in one process.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from suite_local.plan import YOOKASSA_PAYMENTS
from tests.e2e.operations import Operator
from tests.support.order_checker import Findings, Told, check_notices, check_orders, count_notices, numbers_in_chat
from tests.support.servers import eventually
from tests.support.suite_client import POSITIONS, TOTAL, Client, hook

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CHAT_SERVICES = ("webhook-gateway", "orchestrator", "refunds", "notifier")


async def test_an_order_goes_through_all_six_hooks_and_the_right_people_are_told(client: Client) -> None:
    """The last one is a cancellation that comes too late. State, timeline, stock and chats are compared with what is due."""
    report = await client.play(orders=1, lifecycle="all_six", payments=True, stores=["17"])
    (order,) = report["orders"]
    assert order["certain"], order

    async def ended() -> bool:
        found = await client.get("orchestrator", f"/orders/v1/orders/{order['number']}")
        return bool(found["status"] == order["expected"]["status"])

    await eventually(ended, what="the end of the order")

    async def told() -> Told:
        sent = (await count_notices(client)).get(order["number"], Told())
        assert sum(sent.notices.values()) >= 4, sent
        return sent

    await eventually(told, what="four notices")
    findings = await check_orders(client, report)
    chats = numbers_in_chat(await client.chat_log("telegram"))
    check_notices(report, await count_notices(client), chats, findings)
    assert findings.wrong == []

    async def whole_story() -> Counter[str]:
        timeline = await client.get("orchestrator", f"/admin/v1/orders/{order['number']}/timeline", limit=200)
        kinds = Counter(item["kind"] for item in timeline["items"])
        assert kinds["hook.received"] == 6, kinds
        assert kinds["chat_message.sent"] == 4, kinds
        return kinds

    kinds = await eventually(whole_story, what="the whole story in the timeline")
    acts = ("create", "change", "pay", "receive", "deliver", "cancel")
    assert {kind: count for kind, count in kinds.items() if kind.startswith("order.")} == {
        f"order.{act}": 1 for act in acts
    }


async def test_one_trace_goes_from_the_hook_to_the_chat_and_to_the_refund(client: Client) -> None:
    """The trace id of a cancelling hook stands in the logs of four services and on the call to Telegram."""
    external_id = f"trace-{secrets.token_hex(4)}"
    start = datetime.now(UTC) - timedelta(minutes=1)
    payment = f"pay-{external_id}"
    await client.put("sandbox", f"/sandbox/trust/payments/{payment}", {"captured": 17000, "currency": "RUB"})
    card = {"payment": {"method": "card", "id": payment}, "positions": POSITIONS, "total": TOTAL}
    assert (await client.hook(hook("created", external_id, at=start, **card)))[0] == 200
    assert (await client.hook(hook("paid", external_id, at=start + timedelta(seconds=10), **card)))[0] == 200
    trace_id = os.urandom(16).hex()
    status, _, answered = await client.hook(
        hook("cancelled", external_id, at=start + timedelta(seconds=20)),
        traceparent=f"00-{trace_id}-{os.urandom(8).hex()}-01",
    )
    assert status == 200
    assert answered is not None
    assert answered.split("-")[1] == trace_id

    async def seen() -> dict[str, list[str]]:
        found = {
            service: sorted({line["event"] for line in client.suite.logs(service) if mentions(line, trace_id)})
            for service in CHAT_SERVICES
        }
        assert all(found.values()), found
        return found

    await eventually(seen, what="the trace in the logs of four services")
    calls = [
        entry
        for entry in await client.chat_log("telegram")
        if (entry.get("traceparent") or "").split("-")[1:2] == [trace_id]
    ]
    assert calls, "no call to Telegram carried the trace"


def mentions(line: dict[str, Any], trace_id: str) -> bool:
    """Tell whether a log line belongs to the trace: its own, or one of a batch that it names."""
    return line.get("trace_id") == trace_id or trace_id in (line.get("traces") or ())


async def test_a_yookassa_payment_is_refunded_once_by_yookassa_and_never_by_trust(
    client: Client,
) -> None:
    payment = f"{YOOKASSA_PAYMENTS}22d6d597-000f"
    await client.put("sandbox", f"/sandbox/yookassa/payments/{payment}", {"captured": 10_000})
    wanted = {
        "order_number": "e2e-yookassa",
        "payment_id": payment,
        "amount": 6_000,
        "currency": "RUB",
        "reason": "the goods did not come",
        "business_key": "e2e:yookassa:1",
    }
    url = client.suite.url("refunds") + "/refunds/v1/refunds"
    status, first = await client.post(url, wanted, role="internal")
    assert status == 202, first
    status, again = await client.post(url, wanted, role="internal")
    assert (status, again["id"]) == (202, first["id"])

    async def paid() -> bool:
        refund = await client.get("refunds", f"/refunds/v1/refunds/{first['id']}", role="internal")
        return bool(refund["state_name"] == "SUCCESS")

    await eventually(paid, what="the refund's end")
    ledger = await client.get("sandbox", "/sandbox/yookassa/ledger", role=None)
    [entry] = [item for item in ledger["items"] if item["payment_id"] == payment]
    assert (entry["refunded"], [each["payouts"] for each in entry["refunds"]]) == (6_000, [1])
    assert not [call for call in await client.chat_log("trust") if payment in str(call)]
    evidence = await client.get("refunds", f"/admin/v1/refunds/{first['id']}/evidence")
    assert [attempt["gateway"] for attempt in evidence["attempts"]] == ["yookassa"]


async def test_a_crashed_workflow_and_a_stopped_one_are_seen_to_by_operators(client: Client) -> None:
    """Every standard recipe on both; who must not is refused; audit, Slack, ticket and timeline tell of all of it."""
    operator = Operator(client)
    number = await operator.paid_order("crash")
    order = await operator.unreadable_change(number)
    crashed = await operator.workflow(number, "order_life", "crashed")
    path = f"/admin/v1/workflows/{crashed['id']}"
    assert [await operator.refusals(f"{path}/{act}") for act in ("retry", "stop")] == [[403, 409, 404]] * 2
    assert (await operator.act(f"{path}/resume"))[0] == 409
    await eventually(lambda: operator.slack(number, "Workflow упал"), what="Slack's word of the crash")
    await eventually(lambda: operator.issues(number), what="the ticket of the crash")
    assert (await operator.act(f"{path}/stop"))[0] == 200
    await eventually(lambda: operator.slack(number, "Workflow остановлен"), what="Slack's word of the stop")
    assert [(await operator.act(f"{path}/{act}"))[0] for act in ("retry", "stop")] == [409, 409]
    assert await operator.refusals(f"{path}/resume") == [403, 409, 404]
    assert (await operator.act(f"{path}/resume"))[0] == 200
    await operator.workflow(number, "order_life", "crashed")  # for the same reason
    await eventually(lambda: operator.ticket_is(number, "open"), what="the ticket, open again")
    [failed] = (
        await client.get("orchestrator", "/admin/v1/workflow-events", workflow_id=crashed["id"], state="failed")
    )["items"]
    good = {"originalOrderId": order["external_id"], "positions": POSITIONS}
    assert (await operator.act(f"/admin/v1/workflow-events/{failed['id']}/mend", payload=good))[0] == 200
    await operator.workflow(number, "order_life", "running")
    assert [action for _, action in await operator.audit(f"workflow:{crashed['id']}")] == [
        "workflow.stop", "workflow.resume", "workflow_event.mend"
    ]  # fmt: skip

    life = await operator.workflow(number, "order_life", "running")
    assert (await operator.act(f"/admin/v1/workflows/{life['id']}/stop"))[0] == 200
    assert (await operator.act(f"/admin/v1/orders/{number}/recalculate"))[0] == 200
    assert (await operator.act(f"/admin/v1/orders/{number}/document/reissue"))[0] == 202
    assert (await operator.act(f"/admin/v1/orders/{number}/refund", amount=100))[0] == 202
    [event] = (await client.get("orchestrator", "/admin/v1/workflow-events", workflow_id=life["id"], limit=1))["items"]
    assert (await operator.act(f"/admin/v1/workflow-events/{event['id']}/reprocess"))[0] in {200, 202}
    assert (await operator.act(f"/admin/v1/workflows/{life['id']}/resume"))[0] == 200

    async def told() -> list[str]:
        kinds = await operator.story(number)
        acts = (
            "workflow.stop workflow.resume workflow_event.mend workflow_event.reprocess order.recalculate order.refund"
        )
        wanted = {*acts.split(), "incident.opened", "ticket.opened", "document.reissued", "refund.success"}
        assert wanted <= set(kinds), " ".join(sorted(set(kinds)))
        assert kinds.count("ticket.opened") == 1  # it lives as long as its problem, however often that comes back
        assert await operator.ticket_is(number, "closed")
        return kinds

    await eventually(told, what="the whole story")
    assert {role for role, _ in await operator.audit(f"order:{number}")} == {"operator"}


CUSTOMER = {"name": "Анна Каренина", "phone": "+79161112233", "email": "anna@customer.example"}
PLACE = "Большая Дмитровка 7"
OTHER_GOODS = [{"id": "sku-9", "quantity": 1, "price": "85.00"}]
PRIVATE = ("Каренина", "9161112233", "anna@customer.example", "Большая Дмитровка")


async def test_endangered_website_orders_are_saved_and_reported_but_name_no_customer(
    client: Client,
) -> None:
    """Refused by the server or lost in the front end: alert, mended, a real order, a report in the mail."""
    refused = f"web-{secrets.token_hex(4)}"
    lost = f"web-{secrets.token_hex(4)}"
    order = {"customer": CUSTOMER, "address": {"full_address": PLACE}, "storeID": "17", "total": TOTAL}
    good = {**order, "externalId": refused, "positions": POSITIONS}
    broken = {**good, "positions": [{**POSITIONS[0], "quantity": "много"}]}
    gateway, notifier = client.suite.url("webhook-gateway"), client.suite.url("notifier")
    assert (await client.post(gateway + "/api/v1/orders/", broken, role="website"))[0] == 422
    assert (await client.post(gateway + "/api/v1/orders/", good, role="viewer"))[0] == 403
    error = {
        "event_id": secrets.token_hex(16),
        "issue_id": lost,
        "title": f"HttpError for {CUSTOMER['phone']}",
        "extra": {"order": {**good, "externalId": lost, "positions": OTHER_GOODS}, "answer": {"status": 500}},
    }
    status, taken = await client.post(
        notifier + "/alerts/v1/sentry", {"action": "triggered", "data": {"event": error}}, role="internal"
    )
    assert status == 200

    async def three() -> list[dict[str, Any]]:
        path = "/admin/v1/endangered-orders"
        items = (await client.get("webhook-gateway", path, role="operator", state="open"))["items"]
        return items if len(items) == 3 else []

    endangered = await eventually(three, what="three endangered orders")
    assert {(item["status"], item["origin"]) for item in endangered} == {
        (422, "server"),
        (403, "server"),
        (500, "front_end"),
    }
    assert taken["endangered_order"] in {item["id"] for item in endangered}
    assert all((item["customer"], item["address"]) == (CUSTOMER, PLACE) for item in endangered)

    orders = gateway + "/admin/v1/endangered-orders/"
    by_status = {item["status"]: item for item in endangered}
    numbers: set[str] = set()
    for tried in (422, 500):
        save = {"reason": "спасаем заказ", "body": good if tried == 422 else None}
        address = f"{orders}{by_status[tried]['id']}/resubmit"
        status, problem = await client.post(address, save, role="operator")
        assert (status, problem["code"]) == (409, "likely_duplicates")
        status, saved = await client.post(address, {**save, "despite_duplicates": True}, role="operator")
        assert status == 200, saved
        numbers.add(saved["number"])

    async def settled() -> bool:  # two tries of one order are one order
        path = f"/admin/v1/endangered-orders/{by_status[403]['id']}"
        return bool((await client.get("webhook-gateway", path))["number"] in numbers)

    await eventually(settled, what="the second try to be settled by the first")
    assert len(numbers) == 2
    report = {"reason": "инцидент", "cause": "не предусмотрели число словом", "remedy": "форма проверяет числа"}
    for item in endangered:
        assert (await client.post(f"{orders}{item['id']}/report", report, role="operator"))[0] == 202

    async def real() -> bool:
        found = [await client.get("orchestrator", f"/orders/v1/orders/{number}") for number in numbers]
        return {each["status"] for each in found} == {"created"}

    await eventually(real, what="real orders")

    async def mails() -> list[dict[str, Any]]:
        log = await client.chat_log("mail")
        return log if len(log) >= 3 else []

    log = await eventually(mails, what="three reports")
    assert [entry["request"]["to"] for entry in log] == [
        ["responsible@localhost.localdomain", "developers@localhost.localdomain"]
    ] * 3
    for entry in log:
        assert all(said in entry["request"]["text"] for said in (*CUSTOMER.values(), PLACE, "sku-"))

    async def alerted() -> bool:
        told = " ".join(str(entry["request"]) for entry in await client.chat_log("telegram"))
        return (
            all(f"endangered-orders?id={item['id']}" in told for item in endangered) or told.count("под угрозой") >= 3
        )

    await eventually(alerted, what="the alerts in the chat")
    hidden = (*PRIVATE, *map(str, client.suite.description["tokens"].values()))
    for path in sorted((client.suite.directory / "logs").iterdir()):
        text = path.read_text(errors="replace")
        assert [secret for secret in hidden if secret in text] == [], path.name


# `make test` plays a tenth of what the suite is asked to show; E2E_ORDERS=1000 plays all of it.
ORDERS = int(os.environ.get("E2E_ORDERS", "100"))
SERVICES = ("webhook-gateway", "orchestrator", "tips", "refunds", "notifier")
# Enough stores that Telegram's 20 messages a minute and group do not decide how long the test takes.
STORES = ["17", "21", "42", "99"]


async def settled(client: Client, report: dict[str, Any]) -> Findings:
    """Return the findings once they are empty, or the last ones after the deadline."""
    findings = Findings()
    deadline = time.monotonic() + 420
    while time.monotonic() < deadline:
        try:
            findings = await check_orders(client, report)
        except AssertionError as error:  # an order that is not there yet is a 404
            findings = Findings(wrong=[f"cannot be asked yet: {error}"])
        if not findings.wrong:
            # The log first, the chats second: what is in the log is in the chats already.
            sent = await count_notices(client)
            chats = numbers_in_chat(await client.chat_log("telegram"))
            check_notices(report, sent, chats, findings)
        if not findings.wrong:
            return findings
        await asyncio.sleep(1)
    return findings


async def test_many_orders_with_duplicates_and_shuffles_end_right(client: Client) -> None:
    """Every order in its right end state, one order a number, stock written off once, exactly the notices that are due."""
    report = await client.play(
        orders=ORDERS, lifecycle="mixed", duplicates=0.1, shuffle=0.2, concurrency=16, seed=1, stores=STORES
    )
    summary = report["summary"]
    assert (summary["orders_done"], summary["auto_cancelled"], summary["gave_up"], summary["violations"]) == (
        ORDERS,
        0,
        0,
        0,
    )
    assert (summary["numbers"], summary["numbers_shared"]) == (ORDERS, 0)
    findings = await settled(client, report)
    assert findings.wrong[:20] == []


@pytest.mark.chaos
async def test_killed_services_come_back_and_nothing_is_lost(client: Client) -> None:
    """While orders are played each service is killed once with SIGKILL; the process manager starts it again."""
    playing = asyncio.create_task(
        client.play(orders=150, lifecycle="mixed", duplicates=0.1, shuffle=0.2, concurrency=8, seed=2, stores=STORES)
    )
    for service in SERVICES:
        before = client.suite.pids(service)
        for pid in before:
            os.kill(pid, signal.SIGKILL)

        await eventually(_Back(client, service, before), every=0.2, what=f"{service} back and ready")
    report = await playing
    assert (report["summary"]["orders_done"], report["summary"]["numbers_shared"]) == (150, 0)
    findings = await settled(client, report)
    assert findings.wrong[:20] == []


class _Back:
    """Tells whether a killed service has other processes by now and is ready."""

    def __init__(self, client: Client, service: str, before: list[int]) -> None:
        self._client = client
        self._service = service
        self._before = set(before)

    async def __call__(self) -> bool:
        now = self._client.suite.pids(self._service)
        assert now
        assert not self._before & set(now)
        try:
            return bool(await self._client.get(self._service, "/readyz", role=None))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise AssertionError(f"does not answer yet: {error}") from error
