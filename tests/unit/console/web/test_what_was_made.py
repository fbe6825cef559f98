"""A page of what was done leads to what it made, and says nothing of what it does not know."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.console_browser import Browser
from tests.support.console_plans import hidden, planned
from tests.unit.console.web.factories import INCIDENT, Services

RESUBMIT = "POST /admin/v1/endangered-orders/resubmit"


async def done(browser: Browser, path: str, **form: str) -> tuple[str, str]:
    """The pages of a plan and of what was done."""
    await browser.get(path)
    plan = await browser.post(path, reason="for a test", **form)
    return plan, await browser.post("/apply", plan=hidden(plan, "plan"))


async def test_a_plan_and_what_was_done_say_what_a_mended_event_changes(browser: Browser, services: Services) -> None:
    gone = {"id": "a", "name": "<Milk>", "quantity": "2", "price": 8500}
    difference = {"added": [], "removed": [gone], "changed": [], "fields": []}
    effect = {"summary": "The change changes nothing", "currency": "RUB", "difference": difference}
    services.answers["GET /admin/v1/workflow-events/7-1"] = (200, {"id": "7-1", "workflow_id": 7})
    services.answers["GET /admin/v1/workflows/7"] = (200, {"id": 7, "version": 3})
    services.answers["POST /admin/v1/workflow-events/7-1/mend"] = (200, {"effect": effect, "notices": []})
    await browser.sign_in("token-operator")
    form = {"ids": "7-1", "field.payload": '{"positions": []}'}
    for page in await done(browser, "/change/event/mend", **form):
        assert "The change changes nothing" in page
        assert "removed: &lt;Milk&gt;: 2 × 85.00 RUB" in page
        assert "<dt>effect</dt>" not in page


@pytest.mark.parametrize(
    ("path", "line", "said", "form", "link"),
    [
        (
            "/change/silence/add",
            "POST /admin/v1/silences",
            {"id": 41, "would_have_muted": {"hours": 24, "messages": 1, "incidents": 1}},
            {"field.match.alert": "Silent", "field.ends_at": "2026-12-01T10:00"},
            "/s/41",
        ),
        (
            "/change/duty/override",
            "POST /admin/v1/roster/overrides",
            {"items": [{"id": 8, "person": "anna"}, {"id": 9, "person": "oleg"}], "replaced": []},
            {"field.person": "anna"},
            "/duty/9",
        ),
        (
            "/change/ticket/open",
            "POST /admin/v1/tickets",
            {"id": 3, "key": None, "queue": "SUP"},
            {"field.summary": "she waits", "field.text": "since noon"},
            "/t/3",
        ),
        (
            "/change/order/refund",
            "POST /admin/v1/orders/A1/refund",
            {"number": "A1", "business_key": "A1:2", "amount": 100, "currency": "RUB", "positions": [], "tips": 0},
            {"ids": "A1"},
            "/refunds?order=A1",
        ),
        (
            "/change/known-defect/add",
            "POST /admin/v1/known-defects",
            {"defect": {"id": 6, "match": {}}},
            {"field.match.alert": "X", "field.development_ticket": "DEV-1"},
            "/k/6",
        ),
        (
            "/change/difference/adopt",
            "POST /admin/v1/differences/5/adopt",
            {"difference": {"id": 5}, "refund": {"id": "r-1", "business_key": "A1:3"}},
            {"ids": "5", "field.order_number": "A1"},
            "/r/r-1",
        ),
        (
            "/change/event/reprocess",
            "POST /admin/v1/workflow-events/7-1/reprocess",
            {"appended": {"id": "7-4", "workflow_id": 7}, "workflow": {"id": 7}},
            {"ids": "7-1"},
            "/v/7-4",
        ),
    ],
)
async def test_what_an_act_made_is_linked_once_it_is_there(
    browser: Browser, services: Services, path: str, line: str, said: dict[str, Any], form: dict[str, str], link: str
) -> None:
    services.answers[line] = (200, said)
    services.answers["GET /orders/v1/orders/A1"] = (200, {"number": "A1", "totals": {"currency": "RUB"}})
    for seen in ("workflows/7", "differences/5", "roster"):
        services.answers[f"GET /admin/v1/{seen}"] = (200, {"version": 1, "overrides": []})
    await browser.sign_in("token-operator")
    plan, page = await done(browser, path, **form)
    assert f'href="{link}"' in page, page
    assert "→" not in re.sub(r"<pre>.*?</pre>", "", plan, flags=re.DOTALL)
    early = {"/v/7-4", "/refunds?order=A1"}
    assert link in early or link.rpartition("/")[2] not in re.findall(r"<dd>\W*(?:<[^>]*>)?([\w-]+)", plan)


async def test_a_resubmitted_order_is_linked_and_one_is_said_in_the_singular(
    browser: Browser, services: Services
) -> None:
    name = "01a22b0a-468f-7d21-a1aa-000000000001"
    services.answers[RESUBMIT] = (200, planned({"id": name, "outcome": "resubmitted", "detail": "T5AVE"}))
    services.answers[f"GET /admin/v1/endangered-orders/{name}"] = (200, {"state": "resubmitted", "number": "T5AVE"})
    await browser.sign_in("token-operator")
    form = await browser.get(f"/change/endangered/resubmit?ids={name}")
    assert "Make a real order of an endangered one" in form
    assert "1 is chosen" in form
    assert "Make real orders of many" in await browser.get(f"/change/endangered/resubmit?ids={name}&ids=2")
    plan, page = await done(browser, "/change/endangered/resubmit", ids=name)
    assert 'href="/o/T5AVE"' in page
    assert 'href="/o/T5AVE"' not in plan


async def test_a_mended_endangered_order_leads_on_to_its_resubmission(browser: Browser, services: Services) -> None:
    order = "/admin/v1/endangered-orders/e-1"
    services.answers[f"GET {order}"] = (200, {"id": "e-1", "version": 4, "state": "open"})
    services.answers[f"POST {order}/mend"] = (200, {"id": "e-1", "state": "open", "dry_run": False})
    await browser.sign_in("token-operator")
    plan, page = await done(browser, "/change/endangered/mend", ids="e-1", **{"field.body": "{}"})
    onward = 'href="/change/endangered/resubmit?ids=e-1&reason=for%20a%20test"'
    assert ("Next: " in page, onward in page, onward in plan) == (True, True, False), page


async def test_a_delivery_that_cannot_go_as_it_came_leads_on_to_its_mending(
    browser: Browser, services: Services
) -> None:
    said = {"id": "d-1", "outcome": "refused", "code": "unprocessable", "detail": "send a mended one"}
    services.answers["POST /admin/v1/deliveries/replay"] = (200, planned(said))
    await browser.sign_in("token-operator")
    await browser.get("/change/intake/replay?ids=d-1")
    plan = await browser.post("/change/intake/replay", reason="for a test", ids="d-1")
    assert 'href="/change/intake/mend?ids=d-1&reason=for%20a%20test"' in plan, plan


async def test_a_payment_without_a_refund_is_shown_by_its_order(browser: Browser, services: Services) -> None:
    order = {"number": "A1", "status": "paid", "cost": 8500, "currency": "RUB"}
    services.answers["GET /admin/v1/orders"] = lambda query: (
        200,
        {"items": [order] if query.get("payment_id") == "pay-1" else [], "next_cursor": None},
    )
    await browser.sign_in("token-viewer")
    page = await browser.get("/p/pay-1")
    assert browser.status == 200
    assert 'href="/o/A1"' in page
    assert "Nothing was asked back of this payment yet" in page
    await browser.get("/p/pay-2")
    assert browser.status == 404


async def test_what_is_over_has_nothing_to_come(browser: Browser, services: Services) -> None:
    timers = [{"step": 1, "round": 1, "due_at": "2026-11-29T10:00:00Z"}]
    await browser.sign_in("token-viewer")
    for state, due, come in (
        ("open", "2026-11-29T10:00:00Z", True),
        ("open", None, False),
        ("resolved", timers, False),
    ):
        said = [{**timers[0], "due_at": due}] if isinstance(due, str | None) else due
        services.answers["GET /admin/v1/incidents/5"] = (200, {**INCIDENT, "state": state, "timers": said})
        page = await browser.get("/i/5")
        assert ("step 1 of the escalation" in page, "nothing comes by itself" in page) == (come, not come)


async def test_each_verdict_names_its_service(browser: Browser, services: Services) -> None:
    verdict = {"name": "audit", "at": "2026-11-29T10:00:00Z", "found": 0, "looked": 5, "detail": "as they were"}
    services.answers["GET /admin/v1/verdicts"] = (200, {"items": [verdict], "next_cursor": None})
    await browser.sign_in("token-viewer")
    page = await browser.get("/proof")
    assert [service for service in ("orchestrator", "notifier", "refunds") if f"</b> · {service} " not in page] == []
