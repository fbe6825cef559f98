"""All screens: what others wrote stays text, nothing comes from outside, nothing of a customer stands in an address."""

from __future__ import annotations

import re
from typing import Any

import pytest

from console.client.acts import ACTS
from console.client.things import EVERYWHERE, THINGS, thing_of
from console.web.headers import HEADERS
from console.web.screens import NAVIGATION, list_path
from tests.support.console_browser import Browser
from tests.support.console_words import english
from tests.unit.console.web.factories import Services

EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(1)</script>{{ 777*777 }}"
SCREENS = {
    "Now": "/",
    "Find": "/find",
    "Order": "/o/EVIL",
    "Incidents": "/i/EVIL",
    "Workflows": "/workflows",
    "Intake": "/intake",
    "Endangered": "/endangered",
    "Refunds": "/refunds",
    "Duty": "/duty",
    "Tips": "/tips",
    "Messages": "/messages",
    "Audit": "/list/audit",
    "Nothing lost": "/proof",
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
MESSAGE = {
    **evil(("kind", "severity", "transition", "state", "reason", "destination", "channel", "route", "text")),
    "notice_id": "EVIL",
    "incident_id": 5,
    "order_number": "N",
    "message_ids": [EVIL],
    "attempts": 1,
    "not_before": None,
    "occurred_at": "2026-11-29T10:00:00Z",
    "created_at": "2026-11-29T10:00:00Z",
    "sent_at": None,
}
GROUP = {"value": EVIL, "count": 2, "open": 1, "critical": 1, "occurrences": 3, "last_seen_at": "2026-11-29T10:00:00Z"}
DIFFERENCE = {"notice_id": "EVIL", "kind": EVIL, "created_at": "2026-11-29T10:00:00Z", "was": [EVIL], "would": []}
TRIAL = {
    "targets": [evil(("destination", "channel", "route"))],
    "past": {"events": 2, "unrouted": 1, "changed": 1, "by_destination": {EVIL: 1}, "differences": [DIFFERENCE]},
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
    silence = {**evil(("created_by", "reason")), "id": 4, "match": {EVIL: [EVIL]}, "ends_at": "2026-11-30T10:00:00Z"}
    services.answers["GET /admin/v1/silences"] = (200, {"items": [silence], "next_cursor": None, "count": 1})
    services.answers["GET /admin/v1/notifications"] = (200, {"items": [MESSAGE], "next_cursor": None, "count": 1})
    services.answers["GET /admin/v1/notifications/EVIL"] = (200, {**MESSAGE, "deliveries": [MESSAGE]})
    services.answers["GET /admin/v1/incident-groups"] = (200, {"by": "kind", "count": 2, "items": [GROUP]})
    services.answers["POST /admin/v1/routes/dry-run"] = (200, TRIAL)
    services.answers["GET /admin/v1/on-call"] = (
        200,
        {
            "confirmed": False,
            "on_duty": {"id": EVIL, "name": EVIL, "phone": EVIL},
            "backup": {"name": EVIL},
            "until": None,
            "next": {"on_duty": EVIL},
        },
    )
    services.answers["GET /admin/v1/people"] = (200, {"people": [{"id": EVIL, "name": EVIL}]})
    shift = {"starts_at": "2026-11-29T10:00:00Z", "ends_at": "2026-12-06T10:00:00Z", "on_duty": EVIL, "backup": None}
    override = {**shift, "id": 3, "place": EVIL, "person": EVIL}
    roster = {"shifts": [shift, {**shift, "on_duty": None}], "overrides": [override], "gaps": []}
    services.answers["GET /admin/v1/roster"] = (200, roster)
    flag = {**evil(("name", "updated_by")), "enabled": True, "percent": 5.0, "share": 500, "updated_at": None}
    services.answers["GET /admin/v1/flags"] = (200, {"items": [flag]})
    explained = {
        "order": {"currency": "RUB", "cost": 5, "zone": EVIL},
        "steps": [{"rule": EVIL, "detail": EVIL}],
        "hold": EVIL,
    }
    services.answers["GET /admin/v1/explain"] = (200, explained)
    ledger = {"received": 5, "confirmed": 3, "spooled": 1, "quarantined": 0, "refused": 0, "difference": 1}
    services.answers["GET /admin/v1/ledger"] = (200, ledger)
    services.answers["GET /admin/v1/coverage"] = (200, {"covered": False, "missing": [EVIL, {EVIL: EVIL}]})
    return services


def addresses() -> list[str]:
    """Every page that needs nothing filled in."""
    lists = [list_path(noun) for noun in (*THINGS, *EVERYWHERE)]
    ones = [thing.address.replace("{id}", "EVIL") for thing in THINGS.values() if thing.address]
    return [
        *(screen.path for screen in NAVIGATION),
        *lists,
        *ones,
        "/keys",
        "/runbook/notifier-down",
        "/one/flag/EVIL",
        "/tips?order=N",
        "/messages/routes?kind=order.created",
        "/incidents?by=service",
    ]


async def test_texts_with_markup_stay_text_on_every_page(browser: Browser, hostile: Services) -> None:
    await browser.sign_in("token-admin")
    for address in addresses():
        page = await browser.get(address)
        assert browser.status == 200, (address, page[-800:])
        assert "<img src=x" not in page, address
        assert "<script>" not in page, address
        assert "603729" not in page, address
        assert not re.search(r"\son[a-z]+=|style=|javascript:", page.replace("onerror=alert", "")), address
        assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page), address
        assert {name: browser.headers[name] for name in HEADERS} == HEADERS, address


async def test_every_screen_of_the_list_is_there(browser: Browser, hostile: Services) -> None:
    await browser.sign_in("token-viewer")
    for name, address in SCREENS.items():
        await browser.get(address)
        assert browser.status == 200, name


async def test_no_address_of_a_page_can_hold_a_customer(browser: Browser, hostile: Services) -> None:
    await browser.sign_in("token-admin")
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
    await browser.sign_in("token-operator")
    await browser.get("/find")
    await browser.post("/find", q="+79990001122")
    assert (browser.status, browser.path) == (200, "/o/EVIL")


async def test_a_number_that_is_no_order_yet_shows_what_there_is_of_it(browser: Browser, services: Services) -> None:
    number = "87ADNE90NSBJH8EN"
    services.answers["GET /admin/v1/incidents"] = (200, {"items": [{"id": 1}, {"id": 2}], "next_cursor": None})
    await browser.sign_in("token-operator")
    page = await browser.get(f"/o/{number}")
    assert (browser.status, browser.path) == (200, "/find")
    assert (number in page, 'href="/i/1"' in page, 'href="/i/2"' in page) == (True, True, True)
    await browser.get("/o/anna@example.com")
    assert (browser.status, browser.path) == (404, "/o/anna@example.com")


async def test_an_empty_list_says_why(browser: Browser) -> None:
    await browser.sign_in("token-viewer")
    assert "There is nothing of this kind" in await browser.get("/workflows")
    assert "Nothing matches this filter" in await browser.get("/workflows?state=crashed")


async def test_a_list_says_how_many_match_and_how_many_are_shown(browser: Browser, services: Services) -> None:
    found = {"items": [{"id": 1, "state_name": "crashed"}], "count": 10_000, "count_exact": False, "next_cursor": "c"}
    services.answers["GET /admin/v1/workflows"] = (200, found)
    await browser.sign_in("token-operator")
    page = await browser.get("/workflows?state=crashed")
    assert "10000+ match, 1 shown" in page
    assert re.search(r'formaction="/change/workflow/retry" name="all" value="1"', page)
    assert 'href="/workflows?state=crashed&amp;cursor=c"' in page


async def test_a_service_that_is_away_hides_nothing_of_the_others(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/workflows"] = (503, {"code": "unavailable", "detail": "the database is away"})
    await browser.sign_in("token-operator")
    page = await browser.get("/")
    assert browser.status == 200
    assert "the database is away" in page
    assert "there is none" not in page
    page = await browser.get("/workflows")
    assert browser.status == 502
    assert "the database is away" in page


async def test_a_day_that_does_not_add_up_and_a_silent_service_are_both_said(
    browser: Browser, services: Services
) -> None:
    ledger = {"received": 5, "confirmed": 3, "spooled": 1, "quarantined": 0, "refused": 0}
    differences = iter([2, 0])
    services.answers["GET /admin/v1/ledger"] = lambda _: (
        (200, {**ledger, "difference": found})
        if (found := next(differences, None)) is not None
        else (503, {"code": "unavailable", "detail": "away"})
    )
    services.answers["GET /admin/v1/refunds"] = (200, {"items": [{"id": 1}], "count": 7, "next_cursor": None})
    await browser.sign_in("token-viewer")
    page = await browser.get("/proof")
    assert page.count("differs by 2") == 1
    assert page.count("all accounted for") == 1
    assert page.count("not known") == 5
    assert re.search(r"Refunds that failed</a>\s*<span class=\"state bad\"><span aria-hidden=\"true\">✕</span> 7", page)


async def test_weeks_without_anybody_are_said_in_words(browser: Browser, hostile: Services) -> None:
    await browser.sign_in("token-operator")
    page = await browser.get("/duty")
    assert "nobody is on duty" in page
    assert "there is no backup" in page
    assert "/change/duty/undo?ids=3" in page


async def test_the_order_as_it_was_is_asked_of_the_service(browser: Browser, services: Services) -> None:
    services.answers["GET /orders/v1/orders/EVIL"] = (200, ORDER)
    await browser.sign_in("token-viewer")
    page = await browser.get("/o/EVIL?at=2026-11-29T10:00:00Z")
    assert "As it was at" in page
    assert ("GET /orders/v1/orders/EVIL", {"at": "2026-11-29T10:00:00Z"}, None) in services.calls


@pytest.mark.parametrize("where", [{"runbook": "/runbook/tips-down"}, {"link": "docs/runbooks/tips-down.md"}])
async def test_an_incident_shows_the_runbook_of_its_kind_or_link(
    browser: Browser, services: Services, where: dict[str, str]
) -> None:
    services.answers["GET /admin/v1/incidents/5"] = (200, {**INCIDENT, "link": None, **where})
    await browser.sign_in("token-viewer")
    page = await browser.get("/i/5")
    assert '<article class="runbook" lang="en"><h1>' in page
    assert "silence: add" in page


async def test_an_order_of_which_hardly_anything_is_known_is_shown(browser: Browser, services: Services) -> None:
    bare = dict.fromkeys(("customer", "address", "totals", "tips", "payment", "positions", "currency"))
    services.answers["GET /orders/v1/orders/N"] = (200, {**ORDER, **bare})
    await browser.sign_in("token-viewer")
    await browser.get("/o/N")
    assert browser.status == 200


async def test_the_filter_of_an_address_survives_signing_in(browser: Browser) -> None:
    await browser.get("/workflows?state=crashed")
    to = re.findall(r'name="to" value="([^"]*)"', browser.page)[-1]  # the first is that of the language
    await browser.post("/sign-in", token="token-viewer", to=to)
    assert "Nothing matches this filter" in browser.page


async def test_the_thing_of_this_very_name_opens_whatever_else_has_it(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/orders"] = (200, {"items": [{"number": "EVIL", "status": "paid"}]})
    services.answers["GET /admin/v1/workflows"] = (200, {"items": [{"id": 3, "state_name": "running"}]})
    services.answers["GET /orders/v1/orders/EVIL"] = (200, ORDER | {"number": "EVIL"})
    await browser.sign_in("token-operator")
    await browser.get("/find")
    await browser.post("/find", q="evil")
    assert browser.path == "/o/EVIL"


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
    await browser.sign_in("token-admin")
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


async def test_no_english_word_is_left_on_a_russian_page(browser: Browser, hostile: Services) -> None:
    await browser.sign_in("token-admin")
    await browser.post("/language", language="ru", to="/")
    forms = [f"/change/{act.noun}/{act.verb}?ids=1" for act in ACTS.values()]
    left = {}
    for address in (address for address in (*addresses(), *forms) if not address.startswith("/runbook/")):
        page = await browser.get(address)
        if found := english(page, but=EVIL) - {"EVIL"}:
            left[address] = found
    assert left == {}
