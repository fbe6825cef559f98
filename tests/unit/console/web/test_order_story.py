"""An order's page: its timeline by kind, its moments one by one, messages word for word, positions before and after."""

from __future__ import annotations

import re
from typing import Any

import pytest

from console.web.order.story import Changed, Place, changed, counted, moments, of_sort, place, words_of
from tests.support.console_browser import Browser
from tests.unit.console.web.factories import Services

CREATED, PAID, LATE = (f"2026-11-29T1{hour}:00:00+00:00" for hour in range(3))


def line(kind: str, service: str = "orchestrator", actor: str = "sbermarket", /, **details: str) -> dict[str, Any]:
    """A line of a timeline."""
    at = "2026-11-29T15:00:00Z"
    return {"at": at, "kind": kind, "service": service, "actor": actor, "summary": "said", "details": details}


SENT = line("chat_message.sent", "notifier", "notifier", destination="store", kind="order.paid", message_id="77")
TIMELINE = [
    line("hook.received", "webhook-gateway"),
    line("order.created", hook_time=CREATED),
    SENT,
    line("order.changed", hook_time=LATE),
    line("order.paid", hook_time=PAID),  # it came after what happened later
    line("order.recalculate", "orchestrator", "anna", role="operator"),
    line("ticket.opened", "notifier", "notifier"),
    line("refund.success", "refunds", "refunds"),
    line("refund.create", "refunds", "anna"),
]


def message(**changes: Any) -> dict[str, Any]:
    """A message of the notification log."""
    return {"destination": "store", "kind": "order.paid", "message_ids": ["77"], "text": "Оплачен", **changes}


def test_lines_are_chosen_by_what_they_are_about() -> None:
    assert counted(TIMELINE) == {
        "hooks": 1,
        "transitions": 3,
        "messages": 1,
        "tickets": 1,
        "refunds": 2,
        "human acts": 2,
    }
    assert of_sort(TIMELINE, None) == TIMELINE
    assert [each["kind"] for each in of_sort(TIMELINE, "human acts")] == ["order.recalculate", "refund.create"]
    assert [each["kind"] for each in of_sort(TIMELINE, "notifier")] == ["chat_message.sent", "ticket.opened"]
    assert of_sort(TIMELINE, "nothing") == []


def test_moments_stand_where_they_happened_not_where_they_arrived() -> None:
    found = moments(TIMELINE)
    assert [(each.at, each.kind) for each in found] == [
        (CREATED, "order.created"),
        (PAID, "order.paid"),
        (LATE, "order.changed"),
    ]
    assert place(found, None) == Place(step=2, last=2, earlier=PAID, later=None)
    assert place(found, PAID) == Place(step=1, last=2, earlier=CREATED, later=LATE)
    assert place(found, CREATED) == Place(step=0, last=2, earlier=None, later=PAID)
    assert place(found, "2000-01-01T00:00:00Z") == Place(step=-1, last=2, earlier=None, later=CREATED)
    assert place([], "2000-01-01T00:00:00Z") == Place(step=-1, last=-1, earlier=None, later=None)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([message(message_ids=["76"], text="another"), message()], "Оплачен"),
        ([message(destination="pickers")], None),
        ([message(kind="order.created")], None),
        ([], None),
    ],
)
def test_a_line_about_a_message_shows_what_was_sent(messages: list[dict[str, Any]], said: str | None) -> None:
    found = words_of(SENT, messages)
    assert (found and found["text"]) == said
    assert words_of(TIMELINE[0], [message()]) is None


def test_positions_differ_by_what_is_told_of_them() -> None:
    milk, bread = {"id": "1", "quantity": "2", "price": 85}, {"id": "2", "quantity": "1", "price": 40}
    less, tea = {**milk, "quantity": "1"}, {"id": "3", "quantity": "1", "price": 99, "replaces": "2"}
    assert changed([milk, bread], [less, tea]) == [
        Changed("1", milk, less),
        Changed("2", bread, None),
        Changed("3", None, tea),
    ]
    assert changed([milk, bread], [less, tea])[0].fields == ("quantity",)
    assert changed([milk], [dict(milk)]) == []


@pytest.fixture
def known(services: Services) -> Services:
    """Services that know an order of three moments."""

    def order(query: Any) -> tuple[int, Any]:
        quantity = "2" if query.get("at") == CREATED else "1"
        position = {"id": "1", "name": "Milk", "quantity": quantity, "original_quantity": "2", "replaces": None}
        return 200, {
            **dict.fromkeys(("customer", "address", "tips", "payment", "delivery_window", "comment")),
            "status": "paid",
            "aggregate_state": "in_progress",
            "closed_for_changes": False,
            "source": "sbermarket",
            "external_id": "H1",
            "totals": {"currency": "RUB", "cost": 8500},
            "positions": [{**position, "price": 8500, "total_price": 8500}],
        }

    refunds = [
        {"id": "r1", "amount": 500, "currency": "RUB", "state_name": "SUCCESS"},
        {"id": "r2", "amount": 300, "currency": "RUB", "state_name": "PENDING"},
        {"id": "r3", "amount": 100, "currency": "RUB", "state_name": "ERROR"},
    ]
    payment = {"payment_id": "p-1", "captured": 17000, "currency": "RUB"}
    services.answers["GET /admin/v1/payments"] = (200, {"items": [payment], "next_cursor": None})
    workflow = {"id": 7, "kind": "order_life", "state_name": "crashed", "error": None}
    services.answers["GET /orders/v1/orders/N"] = order
    services.answers["GET /admin/v1/orders/N/timeline"] = (200, {"items": TIMELINE, "next_cursor": None})
    services.answers["GET /admin/v1/refunds"] = (200, {"items": refunds, "next_cursor": None})
    services.answers["GET /admin/v1/workflows"] = (200, {"items": [workflow], "next_cursor": None})
    sent = message(notice_id="n1", state="sent", reason=None)
    services.answers["GET /admin/v1/notifications"] = (200, {"items": [sent], "next_cursor": None})
    return services


async def test_a_message_stands_once_on_an_orders_page(browser: Browser, known: Services) -> None:
    told, waits = (message(notice_id=name, state=name, reason=None) for name in ("sent", "pending"))
    waits |= {"message_ids": [], "text": "Отменён"}
    known.answers["GET /admin/v1/notifications"] = (200, {"items": [told, waits], "next_cursor": None})
    await browser.sign_in("token-operator")
    for only in ("", "?only=refunds"):
        timeline, _, beside = (await browser.get(f"/o/N{only}")).partition("Messages that are not in the timeline")
        assert (timeline.count("Оплачен"), "Отменён" in timeline) == (0 if only else 1, False)
        assert ("Оплачен" in beside, beside.count("Отменён")) == (False, 1)
    known.answers["GET /admin/v1/orders/N/timeline"] = (503, {"code": "unavailable"})
    assert "Оплачен" in (await browser.get("/o/N")), "where the timeline cannot be read it is told beneath"


async def test_an_order_is_looked_at_moment_by_moment(browser: Browser, known: Services) -> None:
    await browser.sign_in("token-operator")
    page = await browser.get("/o/N")
    assert 'max="2" value="2"' in page
    assert 'rel="prev" href="/o/N?at=2026-11-29T11%3A00%3A00%2B00%3A00"' in page
    assert 'rel="next"' not in page
    assert "What is otherwise than at the beginning" in page
    assert "RUB\u00a05.00" in page, "what went back"
    assert "under way: RUB\u00a03.00" in page
    assert "RUB\u00a0170.00 · <code>p-1</code>" in page, "what was captured"
    assert "/change/workflow/retry?ids=7" in page
    assert page.index('href="/w/7"') < page.index("<h2>Money"), "what has crashed is said first"
    assert '<pre class="said">Оплачен</pre>' in page
    page = await browser.get("/o/N?step=0&only=messages")
    assert browser.path == "/o/N"
    assert 'value="0"' in page
    assert "What is otherwise" not in page, "it is the beginning"
    assert page.count('href="/w/7"') == 1, "it had not crashed then"
    assert "<b>hook received</b>" not in page
    assert 'href="/o/N?at=2026-11-29T11%3A00%3A00%2B00%3A00&amp;only=messages"' in page
    await browser.get("/o/N?step=9")
    assert browser.status == 400


async def test_a_long_timeline_keeps_its_newest_lines_and_its_beginning(browser: Browser, known: Services) -> None:
    lines = [{**line("hook.received", "webhook-gateway"), "summary": f"hook {number:04}"} for number in range(700)]
    lines[0] = line("order.created", hook_time=CREATED)
    lines[1] = line("order.paid", hook_time=PAID)

    def timeline(query: Any) -> tuple[int, Any]:
        start, limit = int(query.get("cursor", 0)), int(query["limit"])
        after = start + limit
        return 200, {"items": lines[start:after], "next_cursor": str(after) if after < len(lines) else None}

    known.answers["GET /admin/v1/orders/N/timeline"] = timeline
    known.answers["GET /admin/v1/payments"] = (503, {"code": "unavailable", "detail": "refunds are away"})
    await browser.sign_in("token-operator")
    page = await browser.get("/o/N")
    assert re.findall(r"hook (\d{4})", page) == [f"{number:04}" for number in range(200, 700)]
    assert "The newest 500 lines are shown; older ones that are not: 200." in page
    assert 'max="1" value="1"' in page, "the moments are all of them"
    assert re.search(r"<dt>captured</dt><dd>not known</dd>", page)
    page = await browser.get("/o/N?only=transitions")
    assert "order created" in page
    assert "older ones" not in page


async def test_a_payment_that_nothing_was_asked_back_of_is_named_and_says_so(browser: Browser, known: Services) -> None:
    known.answers["GET /admin/v1/payments"] = (200, {"items": [], "next_cursor": None})
    order = known.answers["GET /orders/v1/orders/N"]
    assert callable(order)
    paid = {"id": "pay-1", "method": "card", "paid": True}
    known.answers["GET /orders/v1/orders/N"] = lambda query: (200, {**order(query)[1], "payment": paid})
    await browser.sign_in("token-operator")
    page = await browser.get("/o/N")
    assert 'href="/p/pay-1"' in page
    assert "Nothing was asked back of this payment yet" in page
