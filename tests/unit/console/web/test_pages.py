"""All screens: what others wrote stays text, nothing comes from outside, nothing of a customer stands in an address."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from console.client.acts import ACTS
from console.web.headers import HEADERS
from tests.support.console_browser import Browser
from tests.support.console_walk import addresses
from tests.support.console_words import english
from tests.unit.console.web.factories import ENDANGERED, EVIL, INCIDENT, ORDER, SHADOW, Services

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
    "Audit": "/audit",
    "Nothing lost": "/proof",
}
"""The screens that the console has, by the names of its specification."""


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
    silent = ("arrivals", "told-orders", "verdicts")
    services.answers |= {f"GET /admin/v1/{name}": (503, {"code": "unavailable"}) for name in silent}
    await browser.sign_in("token-viewer")
    page = await browser.get("/proof")
    assert page.count("differs by 2") == 1
    assert page.count("5 ≠ 3 + 1 + 0 + 0") == 1
    assert page.count("all accounted for") == 1
    assert page.count("not known") == 5 + 7 + 7 + 4  # of the ledger, of orders that arrived, of those told, of checkers
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
    assert "silence problems" in page


async def test_an_order_of_which_hardly_anything_is_known_is_shown(browser: Browser, services: Services) -> None:
    bare = dict.fromkeys(("customer", "address", "totals", "tips", "payment", "positions", "currency"))
    services.answers["GET /orders/v1/orders/N"] = (200, {**ORDER, **bare})
    await browser.sign_in("token-viewer")
    await browser.get("/o/N")
    assert browser.status == 200


async def test_an_endangered_order_of_which_hardly_anything_is_known_is_shown(
    browser: Browser, services: Services
) -> None:
    bare = {**ENDANGERED, **dict.fromkeys(name for name, given in ENDANGERED.items() if given == EVIL), "customer": {}}
    bare |= {"id": "x", "state": "new", "category": "back_end", "basket": [], "body": None, "mended": None}
    bare |= {"faults": [], "duplicates": [], "called_at": None, "answer": None}
    services.answers["GET /admin/v1/endangered-orders/x"] = (200, bare)
    services.answers["GET /admin/v1/endangered-orders"] = (200, {"items": [bare], "next_cursor": None})
    await browser.sign_in("token-operator")
    for address in ("/e/x", "/endangered"):
        await browser.get(address)
        assert browser.status == 200, address


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
        "/o/x?at=yesterday&only=nobody",
        "/audit?from=yesterday",
        "/audit?service=nobody&to=9999-12-31T23:59",
        "/audit/export?form=exe",
        "/w/5/mend/5-9",
        "/r/..%2F..",
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


async def test_services_are_asked_in_the_language_of_the_page(browser: Browser, services: Services) -> None:
    await browser.sign_in("token-viewer")
    for language in ("ru", "en"):
        await browser.post("/language", language=language, to="/")
        services.languages.clear()
        await browser.get("/incidents")
        assert set(services.languages) == {language}


async def test_no_english_word_is_left_on_a_russian_page(browser: Browser, hostile: Services) -> None:
    await browser.sign_in("token-admin")
    await browser.post("/language", language="ru", to="/")
    forms = [f"/change/{act.noun}/{act.verb}?ids=1" for act in ACTS.values()]
    left = {}
    for address in (address for address in (*addresses(), *forms) if not address.startswith("/runbook/")):
        page = await browser.get(address)
        assert browser.status == 200, address
        if found := english(page, but=EVIL) - {"EVIL"}:
            left[address] = found
    assert left == {}


async def test_now_shows_customers_who_wait_and_what_nobody_can_say(browser: Browser, services: Services) -> None:
    waiting = {"items": [{"id": "E1", "state": "mended"}], "count": 1, "next_cursor": None}
    services.answers["GET /admin/v1/endangered-orders"] = lambda query: (
        (200, waiting) if query.get("state") == "open" else (200, {"items": [], "next_cursor": None, "count": 0})
    )
    ends = {"external_id": "H123", "number": "N1", "cancels_at": "2026-11-30T10:00:00Z"}
    services.answers["GET /admin/v1/countdowns"] = (200, {"items": [ends], "count": 1, "next_cursor": None})
    services.answers["GET /admin/v1/unarrived-orders"] = (200, {"items": [{"number": "N2"}], "next_cursor": None})
    services.answers["GET /admin/v1/on-call"] = (200, {"on_duty": None, "backup": None, "until": None, "next": None})
    await browser.sign_in("token-operator")
    page = await browser.get("/")
    assert all(f'href="{address}"' in page for address in ("/e/E1", "/o/N1", "/o/N2"))
    assert "would reach a person is not known" in page
    assert re.search(r'href="/change/duty/override\?field.person=operator&field.place=on_duty&field.starts_at=20', page)
    services.answers["GET /admin/v1/coverage"] = (200, {"covered": True, "missing": []})
    assert "would reach a person" not in await browser.get("/")


async def test_now_marks_an_incident_that_is_silenced(browser: Browser, services: Services) -> None:
    silenced = {"id": 5, "kind": "workflow.crashed", "silenced_until": "2026-11-30T10:00:00Z"}
    incidents = {"items": [silenced, {"id": 6, "kind": "refund.failed", "silenced_until": None}], "next_cursor": None}
    services.answers["GET /admin/v1/incidents"] = (200, {**incidents, "count": 2})
    await browser.sign_in("token-operator")
    page = await browser.get("/")
    one, other = (page.partition(f'href="/i/{incident}"')[2].partition("</li>")[0] for incident in (5, 6))
    assert re.search(r"silenced</span>\s+until 30 Nov 2026, 13:00:00 MSK", one)
    assert "silenced" not in other
    assert "silenced until" in await browser.get("/incidents")


@pytest.mark.parametrize("far", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
async def test_a_time_at_the_end_of_all_time_takes_no_page_down(browser: Browser, services: Services, far: str) -> None:
    incident = {"id": 5, "kind": "workflow.crashed", "state": "open", "silenced_until": far}
    silence = {"id": 4, "match": {"kind": ["x"]}, "ends_at": far, "created_by": "a bot", "reason": "for ever"}
    order = {"number": "A1", "external_id": far, "source": far, "status": "new", "aggregate_state": "running"}
    for line, item in (("incidents", incident), ("silences", silence), ("orders", order)):
        services.answers[f"GET /admin/v1/{line}"] = (200, {"items": [item], "next_cursor": None, "count": 1})
    await browser.sign_in("token-operator")
    for address in ("/", "/incidents", "/messages", "/orders"):
        await browser.get(address)
        assert browser.status == 200, address


async def test_an_outside_number_may_stand_in_an_address_and_a_name_may_not(
    browser: Browser, services: Services
) -> None:
    services.answers["GET /admin/v1/orders"] = lambda query: (
        200,
        {"items": [{"number": "EVIL"}] if query.get("q") == "H123" else [], "next_cursor": None},
    )
    services.answers["GET /orders/v1/orders/EVIL"] = (200, ORDER)
    await browser.sign_in("token-operator")
    await browser.get("/find?q=H123")
    assert (browser.status, browser.path) == (200, "/o/EVIL")
    for private in ("Anna", "Anna Orlova", "a1@example.com", "8 916 123-45-67", "89161234567", "Иванов7", "Lenina 5"):
        assert "does not belong into an address" in await browser.get(f"/find?q={quote(private)}"), private


async def test_a_trace_finds_its_hook_its_workflow_and_its_message(browser: Browser, services: Services) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"

    def of_trace(**item: Any) -> Callable[[Any], tuple[int, Any]]:
        return lambda query: (200, {"items": [item] if query.get("trace") == trace else [], "next_cursor": None})

    services.answers["GET /admin/v1/deliveries"] = of_trace(id="D1", outcome="confirmed")
    services.answers["GET /admin/v1/workflow-events"] = of_trace(id="5-2", workflow_id=5)
    services.answers["GET /admin/v1/notifications"] = of_trace(notice_id="told-1", state="sent")
    services.answers["GET /admin/v1/workflows/5"] = (200, {"id": 5, "state_name": "running"})
    await browser.sign_in("token-operator")
    await browser.get("/find")
    for asked in (trace, f"00-{trace.upper()}-00f067aa0ba902b7-01"):
        page = await browser.post("/find", q=asked)
        assert all(f'href="{address}"' in page for address in ("/d/D1", "/w/5", "/m/told-1")), asked
    assert "Nothing has this name" in await browser.post("/find", q="f" * 32)


def a_queue(name: str, state: str, **more: object) -> dict[str, object]:
    """A queue as a service tells it."""
    return {"name": name, "state": state, "replica": None, "waiting": 0, "oldest_seconds": None, "as_of": None, **more}


async def test_now_shows_what_waits_in_each_service_and_since_when(browser: Browser, services: Services) -> None:
    late = a_queue("outbox", "late", waiting=12, oldest_seconds=300.0)
    spool = a_queue("spool", "waiting", replica="gw-2", waiting=3, oldest_seconds=5.0, as_of="2026-11-29T10:00:00Z")
    asked = a_queue("messages.orchestrator.intake", "unknown", waiting=None)
    said = {"items": [late, spool, asked, a_queue("calls", "empty")], "complete": True}
    services.answers["GET /admin/v1/queues"] = (200, said)
    await browser.sign_in("token-viewer")
    page = await browser.get("/")
    rows = [
        " ".join(re.sub(r"<[^>]+>", " ", row).split())
        for row in re.findall(r"<tr>(.*?)</tr>", page.partition("What waits in the services")[2], re.DOTALL)
    ]
    assert "Something waits for too long in: webhook-gateway, orchestrator, tips, refunds, notifier" in page
    assert "there is none" not in page
    assert "orchestrator outbox 12 5 minutes ▲ late" in rows
    assert "orchestrator messages orchestrator.intake ? — ▲ unknown" in rows
    assert any(row.startswith("webhook-gateway spool · gw-2 3 5 seconds · as of ") for row in rows)
    assert not any("calls" in row for row in rows)
    services.answers["GET /admin/v1/queues"] = (200, {"items": [a_queue("calls", "empty")], "complete": True})
    nobody = {"on_duty": None, "backup": None, "until": None, "next": None}
    somebody = {**nobody, "on_duty": {"id": "anna", "name": "Anna"}}
    on_call, coverage = "GET /admin/v1/on-call", "GET /admin/v1/coverage"
    assert "there is none" not in await browser.get("/"), "who is on duty is not known"
    for who, missing, calm in ((nobody, [], False), (somebody, [{"person": "Anna"}], False), (somebody, [], True)):
        services.answers[on_call] = (200, who)
        services.answers[coverage] = (200, {"covered": not missing, "missing": missing})
        page = await browser.get("/")
        assert ("1 queue, empty" in page, "there is none" in page) == (True, calm)
    services.failing.add("database")
    page = await browser.get("/")
    assert "Cannot work, or does not answer: webhook-gateway, orchestrator, tips, refunds, notifier" in page
    assert "there is none" not in page
    services.answers["GET /admin/v1/queues"] = (503, {"code": "unavailable", "detail": "no"})
    page = await browser.get("/")
    assert (page.count("Not known: the service does not answer"), "all empty" in page) == (5, False)


async def test_tips_show_how_well_the_service_agrees(browser: Browser, services: Services) -> None:
    none: dict[str, object] = {"since": "2026-11-22T10:00:00Z", "first_at": None, "rules": [], "differences": []}
    counts = {"compared": 4, "agreed": 4, "differed": 0, "failed": 0}
    services.answers["GET /admin/v1/flags"] = (200, {"items": []})
    services.answers["GET /admin/v1/tips/shadow"] = (200, {**none, **dict.fromkeys(counts, 0)})
    await browser.sign_in("token-viewer")
    assert "Nothing was compared" in await browser.get("/tips")
    services.answers["GET /admin/v1/tips/shadow"] = (200, {**none, **counts})
    page = await browser.get("/tips")
    assert ("they agree" in page, "4 orders compared" in page) == (True, True)
    services.answers["GET /admin/v1/tips/shadow"] = (200, {**SHADOW, "rules": SHADOW["rules"]})
    page = await browser.get("/tips")
    assert ("1 order differs" in page, "RUB\N{NO-BREAK SPACE}2.00" in page, "they agree" in page) == (True, True, False)
    del services.answers["GET /admin/v1/tips/shadow"]
    assert "the service does not answer" in await browser.get("/tips")
