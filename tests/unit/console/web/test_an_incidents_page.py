"""An incident's page leads to what it is about, silences this one problem, and says which silence covers it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from console.web.filters import as_pattern
from tests.support.console_browser import Browser
from tests.unit.console.web.factories import INCIDENT, Services

LOST = {
    **INCIDENT,
    "kind": "problem.website_order.endangered",
    "state": "open",
    "fingerprint": "lost-1",
    "details": {"endangered_id": "E-1"},
    "page": "/e/E-1",
    "order_number": None,
}
SILENCE = {"id": 4, "ends_at": "2026-11-30T10:00:00Z", "created_by": "anna", "reason": "the site is being mended"}


async def shown(browser: Browser, services: Services, **changes: Any) -> str:
    """The page of an incident."""
    services.answers["GET /admin/v1/incidents/5"] = (200, {**LOST, **changes})
    await browser.sign_in("token-operator")
    return await browser.get("/i/5")


async def test_it_leads_to_what_it_is_about(browser: Browser, services: Services) -> None:
    page = await shown(browser, services)
    assert page.count('href="/e/E-1"') == 2  # over the acts, and in its details
    assert 'href="javascript:' not in await shown(browser, services, page="javascript:alert(1)")


@pytest.mark.parametrize(
    ("state", "said"), [("asked", "asked"), ("confirmed", "confirmed"), ("done", "started"), ("failed", "failed")]
)
async def test_a_recipe_that_its_service_has_taken_is_started_and_not_done(
    browser: Browser, services: Services, state: str, said: str
) -> None:
    moments = {"asked_at": "2026-11-29T10:00:00Z", "ended_at": None}
    last = {"person": "oleg", "state": state, "result": None, **moments}
    offer = {"name": "retry_workflow", "label": "Retry", "does": "It is retried", "target": "7", "last": last}
    page = await shown(browser, services, recipes=[offer])
    [line] = [each for each in page.splitlines() if "<b>oleg</b>" in each]
    assert f"</span> {said}</span>" in line
    assert "done" not in line


async def test_its_silence_is_of_this_one_problem(browser: Browser, services: Services) -> None:
    page = await shown(browser, services)
    [address] = [each for each in page.split('"') if each.startswith("/change/silence/add")]
    fields = parse_qs(urlsplit(address.replace("&amp;", "&")).query)
    assert {name: text for name, text in fields.items() if name.startswith("field.match")} == {
        "field.match.fingerprint": ["lost-1"]
    }


async def test_an_alerts_name_stands_in_the_list_and_fills_a_silence_of_all_its_problems(
    browser: Browser, services: Services
) -> None:
    alert = {"kind": "problem.alert", "details": {"alert": "TipsSlow"}}
    page = await shown(browser, services, **alert)
    addresses = [each for each in page.split('"') if each.startswith("/change/silence/add")]
    matches = [parse_qs(urlsplit(each.replace("&amp;", "&")).query).get("field.match.alert") for each in addresses]
    assert (matches, "silence every TipsSlow" in page) == ([None, ["TipsSlow"]], True)
    services.answers["GET /admin/v1/incidents"] = (200, {"items": [{**LOST, **alert}], "count": 1, "next_cursor": None})
    assert "TipsSlow" in (await browser.get("/incidents")).partition("<main")[2]


async def test_it_says_which_silence_covers_it_and_until_when(browser: Browser, services: Services) -> None:
    assert "Covered by silence" not in await shown(browser, services, silence=None)
    page = await shown(browser, services, silence=SILENCE)
    assert '<a href="/s/4">Covered by silence 4</a> until' in page
    assert "anna" in page
    assert "the site is being mended" in page.lower()


async def test_under_a_silence_it_promises_no_step_that_never_comes(browser: Browser, services: Services) -> None:
    due = {"timers": [{"step": 0, "round": 1, "due_at": "2026-11-30T09:00:00Z"}]}
    says = "nobody is called until the silence ends"
    for silence in (None, SILENCE):
        page = await shown(browser, services, silence=silence, **due)
        assert ("step 0 of the escalation" in page, says in page) == (silence is None, silence is not None)
    await browser.post("/language", language="ru", to="/")
    page = await browser.get("/i/5")
    assert "Накрыт тишиной 4" in page
    assert "до конца тишины никому не звонят" in page


@pytest.mark.parametrize("text", ["lost-1", "alert:{a=[b], c=d*}", "!not", "a?b, c"])
def test_a_pattern_fits_its_text_and_stays_one(text: str) -> None:
    written = as_pattern(text)
    assert fnmatchcase(text, written)
    assert [each.strip() for each in written.split(",")] == [written]
    assert not written.startswith("!")
