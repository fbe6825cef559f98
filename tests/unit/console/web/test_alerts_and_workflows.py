"""What the console finds of an alert, and what it offers of a workflow."""

from __future__ import annotations

from tests.support.console_browser import Browser
from tests.unit.console.web.factories import INCIDENT, ORDER, WORKFLOW, Services


async def test_an_alert_is_found_by_its_own_name(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/incidents"] = lambda query: (
        200,
        {"items": [{"id": 5, "state": "open"}] if query.get("alert") == "QueueTooOld" else [], "next_cursor": None},
    )
    await browser.sign_in("token-operator")
    await browser.get("/find")
    services.answers["GET /admin/v1/incidents/5"] = (200, {**INCIDENT, "id": 5})
    await browser.post("/find", q="QueueTooOld")
    assert (browser.status, browser.path) == (200, "/i/5")


async def test_a_workflow_offers_what_fits_its_state_and_says_why_not(browser: Browser, services: Services) -> None:
    refusals = {"resume": "only a stopped one can be resumed", "retry": "only a crashed one can be retried"}
    services.answers["GET /admin/v1/workflows/EVIL"] = (200, {**WORKFLOW, "refusals": refusals})
    await browser.sign_in("token-operator")
    page = await browser.get("/w/EVIL")
    assert [f"/change/workflow/{verb}?" in page for verb in ("stop", "resume", "retry")] == [True, False, False]
    assert all(why in page for why in refusals.values())
    listed = {**WORKFLOW, "id": 7, "refusals": refusals}
    services.answers["GET /admin/v1/workflows"] = (200, {"items": [listed], "next_cursor": None})
    services.answers["GET /orders/v1/orders/N"] = (200, ORDER)
    page = await browser.get("/o/N")  # the order's page says the same of each of its workflows
    assert browser.status == 200
    assert [f"/change/workflow/{verb}?ids=7" in page for verb in ("stop", "resume", "retry")] == [True, False, False]
    assert all(why in page for why in refusals.values())
    known = {**WORKFLOW, "refusals": {}, "runbook": "orchestrator-workflows-crashed"}
    services.answers["GET /admin/v1/workflows/EVIL"] = (200, known)
    page = await browser.get("/w/EVIL")
    assert 'href="/runbook/orchestrator-workflows-crashed"' in page
    assert "/change/workflow/retry?" in page


async def test_find_tells_of_an_order_when_it_came_to_be_as_ordersctl_does(
    browser: Browser, services: Services
) -> None:
    orders = [
        {"number": name, "created_at": "2026-11-29T10:00:00Z", "updated_at": "2026-11-30T11:22:33Z"}
        for name in ("A1", "A2")
    ]
    services.answers["GET /admin/v1/orders"] = (200, {"items": orders, "next_cursor": None})
    await browser.sign_in("token-operator")
    await browser.get("/find")
    page = await browser.post("/find", q="A")
    assert ("2026-11-29T10:00:00" in page, "2026-11-30T11:22:33" in page) == (True, False), page
