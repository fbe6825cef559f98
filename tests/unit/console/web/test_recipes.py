"""A recipe on the page of an incident: rehearsed, started once, watched to its end."""

from __future__ import annotations

import html
import re
from itertools import chain, repeat

from tests.support.console_browser import Browser
from tests.support.servers import eventually
from tests.unit.console.web.factories import INCIDENT, Services


def hidden(page: str, name: str) -> str:
    """What a page carries in a hidden field."""
    found = re.search(f'name="{name}" value="([^"]*)"', page)
    assert found, page
    return html.unescape(found[1])


async def test_a_recipe_of_an_incident_is_rehearsed_started_and_watched(browser: Browser, services: Services) -> None:
    line = "POST /admin/v1/incidents/5/recipes/retry_workflow"
    started = {"outcome": "started", "id": 5, "name": "retry_workflow", "target": "7", "would": "running"}
    states = chain(["confirmed"], repeat("done"))
    workflow = {"state_name": "running", "pending": 1}
    services.answers[line] = lambda body: (200, {**started, "dry_run": body["dry_run"]})
    started |= {
        "holder": "oleg",
        "held_since": "2026-11-29T10:00:00Z",
        "notices": ["message.edited (digest): duty (slack)"],
    }
    services.answers["GET /admin/v1/incidents/5"] = (200, {**INCIDENT, "state": "open", "revision": 3})
    services.answers["GET /admin/v1/workflows/7"] = lambda _: (200, workflow)
    await browser.sign_in("token-operator")
    page = await browser.get("/i/5")
    [link] = re.findall(r'href="(/change/incident/recipe[^"]*)"', page)[:1]
    page = await browser.get(html.unescape(link))
    assert '<option value="retry_workflow" selected>' in page
    services.calls.clear()
    fields = {"ids": "5", "reason": "the cause is mended", "field.name": "retry_workflow"}
    page = await browser.post("/change/incident/recipe", **fields)
    assert ("running" in page, "Taken over from oleg" in page) == (True, True)
    assert "ordersctl incident recipe '--reason=the cause is mended' 5 retry_workflow" in html.unescape(page)
    services.answers["GET /admin/v1/incidents/5"] = lambda _: (
        200,
        {"id": 5, "recipes": [{"name": "retry_workflow", "last": {"state": next(states)}}]},
    )
    page = await browser.post("/apply", plan=hidden(page, "plan"))
    assert "1 confirmed" in page
    done = hidden(page, "done")

    async def seen(text: str) -> bool:
        return text in await browser.post("/watch", done=done)

    # Taken by the service is not the end: the workflow runs, and crashes again.
    await eventually(lambda: seen("1 running"), what="the workflow")
    assert "Still moving:" in browser.page
    workflow |= {"state_name": "crashed"}
    await eventually(lambda: seen("1 crashed again"), what="the effect")
    assert ("Seen:" in browser.page, "1 done" in browser.page) == (True, False)
    said = [(each, body, key is not None) for each, body, key in services.calls if each == line]
    body = {"reason": fields["reason"], "expected_version": 3}
    assert said == [(line, {**body, "dry_run": dry_run}, not dry_run) for dry_run in (True, False)]


async def test_a_recipe_is_disabled_for_who_has_no_token_of_their_own(browser: Browser, services: Services) -> None:
    offers = [{**each, "refusal": "no_key_of_own"} for each in INCIDENT["recipes"]]
    services.answers["GET /admin/v1/incidents/5"] = (200, {**INCIDENT, "state": "open", "recipes": offers})
    await browser.sign_in("token-operator")
    page = await browser.get("/i/5")
    assert "/change/incident/recipe" not in page
    assert "you have no token in the people file" in page


async def test_a_recipe_of_a_resolved_incident_is_shown_and_not_offered(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/incidents/5"] = (200, {**INCIDENT, "state": "resolved"})
    await browser.sign_in("token-operator")
    assert "/change/incident/recipe" not in await browser.get("/i/5")
    known = {name: held for name, held in INCIDENT.items() if name != "recipes"}  # as an older notifier answers
    services.answers["GET /admin/v1/incidents/5"] = (200, known)
    await browser.get("/i/5")
    assert browser.status == 200
