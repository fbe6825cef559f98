"""All screens: what others wrote stays text, nothing comes from outside, nothing of a customer stands in an address."""

from __future__ import annotations

import re
from typing import Any

import pytest

from console.client.things import EVERYWHERE, THINGS, thing_of
from console.web.headers import HEADERS
from console.web.screens import NAVIGATION, list_path
from tests.unit.console.web.factories import Browser, Services

EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(1)</script>{{ 7*7 }}"
SCREENS = {
    "Now": "/",
    "Find": "/find",
    "Order": "/o/EVIL",
    "Incidents": "/i/EVIL",
    "Workflows": "/workflows",
    "Intake": "/intake",
    "Endangered": "/endangered",
    "Refunds": "/refunds",
    "Messages": "/messages",
    "Audit": "/list/audit",
}
"""The screens that the console has, by the names of its specification."""


def evil(keys: tuple[str, ...]) -> dict[str, Any]:
    """A thing whose every text is hostile."""
    item: dict[str, Any] = {}
    for key in keys:
        outer, _, inner = key.partition(".")
        if inner:
            item.setdefault(outer, {})[inner] = EVIL
        else:
            item[outer] = EVIL
    return item


ORDER = {
    **evil(
        ("number", "source", "external_id", "status", "aggregate_state", "delivery_window", "comment", "customer.name")
    ),
    "customer": {"name": EVIL, "phone": EVIL, "email": EVIL},
    "address": {"text": EVIL, "parts": {}},
    "closed_for_changes": False,
    "totals": {"currency": "RUB", "cost": 100},
    "tips": {"amount": 0, "held_amount": 5},
    "payment": {"paid": True, "method": EVIL},
    "positions": [
        {
            "id": EVIL,
            "name": EVIL,
            "quantity": "1",
            "original_quantity": "2",
            "price": 1,
            "total_price": 1,
            "replaces": EVIL,
        }
    ],
}
LINE = {
    "at": "2026-11-29T10:00:00Z",
    "service": "orchestrator",
    **evil(("actor", "kind", "summary")),
    "details": {EVIL: EVIL},
}
INCIDENT = {
    **evil(
        ("kind", "severity", "state", "summary", "instruction", "service", "environment", "source", "store_id", "muted")
    ),
    "id": 5,
    "link": "docs/runbooks/notifier-down.md",
    "details": {EVIL: EVIL},
    "order_number": "N",
    "occurrences": 3,
    "fingerprint": EVIL,
    "acknowledged_by": EVIL,
    "acknowledged_at": "2026-11-29T10:00:00Z",
    "first_seen_at": "2026-11-29T10:00:00Z",
    "last_seen_at": "2026-11-29T10:00:00Z",
    "history": [{"at": "2026-11-29T10:00:00Z", **evil(("actor", "act", "text"))}],
    "notices": [
        {
            "sent_at": None,
            "created_at": "2026-11-29T10:00:00Z",
            **evil(("destination", "channel", "state", "reason", "text")),
        }
    ],
    "calls": [{"created_at": "2026-11-29T10:00:00Z", **evil(("person", "state", "occasion", "progress", "reason"))}],
    "timers": [{"step": 1, "round": 1, "due_at": "2026-11-29T10:00:00Z"}],
}


@pytest.fixture
def hostile(services: Services) -> Services:
    """Services whose every text is hostile."""
    kinds = [*THINGS.values(), *(thing_of(noun, "orchestrator") for noun in EVERYWHERE)]
    for thing in kinds:
        item = evil((*thing.columns, *thing.wide))
        services.answers[f"GET {thing.list}"] = (200, {"items": [item], "next_cursor": "more", "count": 1})
        if thing.one is not None:
            one = thing.one.replace("{id}", "EVIL").replace("{key}", "EVIL")
            services.answers[f"GET {one}"] = (200, {**item, "nested": {"deep": [EVIL]}, "lines": [item]})
    services.answers["GET /orders/v1/orders/EVIL"] = (200, ORDER)
    services.answers["GET /admin/v1/orders/EVIL/timeline"] = (200, {"items": [LINE], "next_cursor": None})
    services.answers["GET /admin/v1/incidents/EVIL"] = (200, INCIDENT)
    services.answers["GET /admin/v1/incidents"] = (200, {"items": [INCIDENT], "count": 1, "next_cursor": None})
    services.answers["GET /admin/v1/on-call"] = (
        200,
        {"on_duty": {"id": EVIL, "name": EVIL}, "backup": {"name": EVIL}, "until": None, "next": {"on_duty": EVIL}},
    )
    services.answers["GET /admin/v1/coverage"] = (200, {"covered": False, "missing": [EVIL, {EVIL: EVIL}]})
    return services


def addresses() -> list[str]:
    """Every page that needs nothing filled in."""
    lists = [list_path(noun) for noun in (*THINGS, *EVERYWHERE)]
    ones = [thing.address.replace("{id}", "EVIL") for thing in THINGS.values() if thing.address]
    return [*(screen.path for screen in NAVIGATION), *lists, *ones, "/keys", "/runbook/notifier-down", "/one/flag/EVIL"]


async def test_texts_with_markup_stay_text_on_every_page(browser: Browser, hostile: Services) -> None:
    await browser.sign_in("admin")
    for address in addresses():
        page = await browser.get(address)
        assert browser.status == 200, (address, page[-800:])
        assert "<img src=x" not in page, address
        assert "<script>" not in page, address
        assert "49" not in page, address
        assert not re.search(r"\son[a-z]+=|style=|javascript:", page.replace("onerror=alert", "")), address
        assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page), address
        assert {name: browser.headers[name] for name in HEADERS} == HEADERS, address


async def test_every_screen_of_the_list_is_there(browser: Browser, hostile: Services) -> None:
    await browser.sign_in("viewer")
    for name, address in SCREENS.items():
        await browser.get(address)
        assert browser.status == 200, name


async def test_no_address_of_a_page_can_hold_a_customer(browser: Browser, hostile: Services) -> None:
    await browser.sign_in("admin")
    for address in addresses():
        page = await browser.get(address)
        for form in re.findall(r'<form method="get".*?</form>', page, re.DOTALL):
            assert not re.search(r'name="(?:filter\.)?(?:q|phone|email|name|address|ip)"', form), address
    page = await browser.get("/find?q=%2B79990001122")
    assert "does not belong into an address" in page
    assert not any("+79990001122" in str(body) for _, body, _ in hostile.calls)


async def test_a_phone_is_found_by_a_form_and_the_only_order_opens(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/orders"] = lambda query: (
        200,
        {"items": [{"number": "EVIL", "status": "paid"}] if "phone" in query else [], "next_cursor": None},
    )
    services.answers["GET /orders/v1/orders/EVIL"] = (200, ORDER)
    await browser.sign_in("operator")
    await browser.get("/find")
    await browser.post("/find", q="+79990001122")
    assert (browser.status, browser.path) == (200, "/o/EVIL")


async def test_an_empty_list_says_why(browser: Browser) -> None:
    await browser.sign_in("viewer")
    assert "There is nothing of this kind" in await browser.get("/workflows")
    assert "Nothing matches this filter" in await browser.get("/workflows?state=crashed")


async def test_a_list_says_how_many_match_and_how_many_are_shown(browser: Browser, services: Services) -> None:
    found = {"items": [{"id": 1, "state_name": "crashed"}], "count": 10_000, "count_exact": False, "next_cursor": "c"}
    services.answers["GET /admin/v1/workflows"] = (200, found)
    await browser.sign_in("operator")
    page = await browser.get("/workflows?state=crashed")
    assert "10000+ match, 1 shown" in page
    assert re.search(r'formaction="/change/workflow/retry" name="all" value="1"', page)
    assert 'href="/workflows?state=crashed&amp;cursor=c"' in page


async def test_a_service_that_is_away_hides_nothing_of_the_others(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/workflows"] = (503, {"code": "unavailable", "detail": "the database is away"})
    await browser.sign_in("operator")
    page = await browser.get("/")
    assert browser.status == 200
    assert "the database is away" in page
    assert "there is none" not in page
    page = await browser.get("/workflows")
    assert browser.status == 502
    assert "the database is away" in page


async def test_the_order_as_it_was_is_asked_of_the_service(browser: Browser, services: Services) -> None:
    services.answers["GET /orders/v1/orders/EVIL"] = (200, ORDER)
    await browser.sign_in("viewer")
    page = await browser.get("/o/EVIL?at=2026-11-29T10:00:00Z")
    assert "As it was at" in page
    assert ("GET /orders/v1/orders/EVIL", {"at": "2026-11-29T10:00:00Z"}, None) in services.calls


@pytest.mark.parametrize(
    "address",
    [
        "/o/%00",
        "/i/..%2F..%2Fetc",
        "/list/nothing",
        "/list/audit?service=nobody",
        "/one/event/1",
        "/change/nothing/at-all",
        "/change/dead-letter/replay?service=nobody",
        "/workflows?cursor=%00&state=%F0%9F%92%A5",
        "/runbook/..%2F..%2Fsecrets",
        "/live/nothing",
        "/live/audit",
        "/o/x?at=yesterday&only=nobody",
        "/nowhere",
    ],
)
async def test_strange_addresses_are_answered_not_failed(browser: Browser, address: str) -> None:
    await browser.sign_in("admin")
    await browser.get(address)
    assert browser.status in (200, 400, 404), address
    assert "Traceback" not in browser.page


async def test_the_language_is_the_persons_choice(browser: Browser) -> None:
    page = await browser.get("/sign-in", **{"Accept-Language": "ru-RU,ru;q=0.9"})
    assert '<html lang="ru">' in page
    assert "Войти" in page
    page = await browser.post("/language", language="en", to="/sign-in")
    assert '<html lang="en">' in page
    page = await browser.get("/sign-in", **{"Accept-Language": "ru-RU"})
    assert "Sign in" in page
