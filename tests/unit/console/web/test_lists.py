"""Lists: saved views of each person, and the same list in a terminal."""

from __future__ import annotations

import html
import re
from typing import Any

from console.web.screens import list_path
from tests.support.console_browser import Browser
from tests.unit.console.web.factories import Services


def views(page: str) -> dict[str, str]:
    """The saved views that a page shows: their names and addresses."""
    part = re.search(r'<details class="views".*?</details>', page, re.DOTALL)
    assert part
    found = re.findall(r'<li><a href="([^"]*)"[^>]*>([^<]*)</a>', part[0])
    return {html.unescape(name): html.unescape(address) for address, name in found}


async def test_views_are_saved_and_forgotten_by_each_person(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/workflows"] = (200, {"items": [{"id": 7, "state_name": "crashed"}], "count": 1})
    await browser.sign_in("token-operator")
    page = await browser.get("/workflows?state=crashed&kind=order_life")
    assert views(page) == {}
    kept = {"noun": "workflow", "filter.state": "crashed", "filter.kind": "order_life", "filter.phone": "+79990001122"}
    page = await browser.post("/views", name=" My <b>crashed</b>  ones ", **kept)
    assert (browser.path, views(page)) == (
        "/workflows",
        {"My <b>crashed</b> ones": "/workflows?state=crashed&kind=order_life"},
    )
    assert "79990001122" not in page
    page = await browser.post("/views", name="all", noun="workflow")
    assert list(views(page)) == ["My <b>crashed</b> ones", "all"]
    assert views(await browser.get("/intake")) == {}
    await browser.get("/list/dead-letter?service=refunds&open=true")
    of_service: dict[str, Any] = {"noun": "dead-letter", "service": "refunds", "filter.open": "true"}
    page = await browser.post("/views", name="open ones", **of_service)
    assert views(page) == {"open ones": "/list/dead-letter?service=refunds&open=true"}
    assert "ordersctl dead-letter list --service=refunds --open" in page
    await browser.get("/workflows")
    page = await browser.post("/views/forget", noun="workflow", name="My <b>crashed</b> ones")
    assert list(views(page)) == ["all"]
    await browser.post("/sign-out")
    await browser.sign_in("token-viewer")
    assert views(await browser.get("/workflows")) == {}, "they are the operator's"


async def test_what_does_not_fit_into_a_browser_is_said(browser: Browser) -> None:
    await browser.sign_in("token-operator")
    await browser.get("/workflows")
    for wrong in ({"noun": "workflow", "name": "  "}, {"noun": "nothing", "name": "x"}):
        await browser.post("/views", **wrong)
        assert browser.status in (400, 404)
    for number in range(20):
        await browser.get("/workflows")
        await browser.post("/views", noun="workflow", name=f"view {number}")
        assert browser.status == 200, number
    await browser.post("/views", noun="workflow", name="one more")
    assert "forget one first" in browser.page
    await browser.get("/workflows")
    page = await browser.post("/views", noun="workflow", name="view 3", **{"filter.state": "stopped"})
    assert views(page)["view 3"] == "/workflows?state=stopped", "another one of the same name takes its place"


async def test_a_filter_may_have_any_name(browser: Browser, services: Services) -> None:
    group = {"value": "tips", "count": 3, "open": 1, "critical": 0, "last_seen_at": "2026-11-29T10:00:00Z"}
    services.answers["GET /admin/v1/incident-groups"] = (200, {"by": "service", "count": 3, "items": [group]})
    await browser.sign_in("token-operator")
    page = await browser.get("/incidents?service=tips&by=service")
    assert browser.status == 200
    assert 'href="/incidents?service=tips&amp;by=service">tips</a>' in page
    asked = {line: query for line, query, _ in services.calls if "incident" in line}
    assert asked["GET /admin/v1/incident-groups"] == {"by": "service", "service": "tips"}
    assert asked["GET /admin/v1/incidents"]["service"] == "tips"


async def test_times_of_a_filter_are_filled_in_by_the_clock_of_the_console(
    browser: Browser, services: Services
) -> None:
    await browser.sign_in("token-operator")
    page = await browser.get("/intake?from=2026-11-29T10:00&to=2026-11-29T09:00:00Z")
    asked = next(query for line, query, _ in services.calls if line == "GET /admin/v1/deliveries" and "from" in query)
    assert (asked["from"], asked["to"]) == ("2026-11-29T10:00:00+03:00", "2026-11-29T09:00:00Z")
    for name, shown in (("from", "2026-11-29T10:00"), ("to", "2026-11-29T12:00")):
        assert f'name="{name}" type="datetime-local" value="{shown}"' in page
    assert "--from=2026-11-29T10:00:00+03:00" in html.unescape(page)
    await browser.get("/intake?from=yesterday")
    assert ("GET /admin/v1/deliveries", "yesterday") in [(line, query.get("from")) for line, query, _ in services.calls]


async def test_all_that_match_needs_a_filter_unless_the_service_does_everything(
    browser: Browser, services: Services
) -> None:
    rows = {"items": [{"id": 7, "number": "N", "state_name": "crashed"}], "count": 2, "next_cursor": None}
    services.answers |= {"GET /admin/v1/workflows": (200, rows), "GET /admin/v1/orders": (200, rows)}
    services.answers["POST /admin/v1/orders/recalculate"] = (
        200,
        {"plan": None, "matched": 0, "more": False, "items": []},
    )
    await browser.sign_in("token-admin")
    assert "all that match" not in await browser.get("/workflows")
    assert "retry: all that match" in await browser.get("/workflows?state=crashed")
    page = await browser.get("/orders")
    assert re.findall(r'formaction="([^"]*)" name="all"', page) == ["/change/order/recalculate"]
    await browser.get("/change/order/recalculate?all=1")
    await browser.post("/change/order/recalculate", all="1", reason="for a test")
    assert services.calls[-1][1] == {"reason": "for a test", "dry_run": True, "all": True}


async def test_a_limit_is_lifted_from_its_list(browser: Browser, services: Services) -> None:
    limit = {"id": "a" * 64, "kind": "phone", "value": "+7 999 •••", "refused": 3}
    services.answers["GET /admin/v1/order-limits"] = (200, {"items": [limit], "count": 1, "next_cursor": None})
    await browser.sign_in("token-admin")
    page = await browser.get("/list/limit")
    address = f"/change/limits/lift?field.id={'a' * 64}"
    assert f'href="{address}"' in page
    assert f'value="{"a" * 64}"' in await browser.get(address)


async def test_a_row_that_has_no_name_yet_leads_nowhere(browser: Browser, services: Services) -> None:
    """The tracker gives a ticket its key, and may be away."""
    waiting = {"id": 3, "key": None, "state": "open", "summary": "The customer waits"}
    known = {"id": 2, "key": "SUP-2", "state": "open", "summary": "Another waits, too"}
    services.answers["GET /admin/v1/tickets"] = (200, {"items": [waiting, known], "count": 2, "next_cursor": None})
    await browser.sign_in("token-operator")
    page = await browser.get(list_path("ticket"))
    assert "The customer waits" in page
    assert set(re.findall(r'class="open" href="([^"]*)"', page)) == {"/t/SUP-2"}
