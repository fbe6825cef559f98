"""What a service would refuse in a thing's state is not offered: in lists, on its page, of each event of a workflow."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.console_browser import Browser, browsing
from tests.support.console_walk import addresses
from tests.unit.console.web.factories import INCIDENT, ORDER, WORKFLOW, Services


async def test_an_incident_that_is_over_is_neither_taken_nor_resolved(browser: Browser, services: Services) -> None:
    await browser.sign_in("token-operator")
    for state, offered in (("open", True), ("resolved", False)):
        services.answers["GET /admin/v1/incidents/5"] = (200, {**INCIDENT, "state": state})
        page = await browser.get("/i/5")
        assert browser.status == 200
        assert [f"/change/incident/{verb}?" in page for verb in ("ack", "resolve")] == [offered, offered]
        assert ("not possible: resolved" in page) is not offered
        assert "/change/incident/comment?" in page


@pytest.mark.parametrize(
    ("states", "following", "asked", "offered"),
    [
        (("resolved", "resolved"), None, "", False),
        (("resolved", "open"), None, "", True),
        (("resolved", "resolved"), "more", "", True),
        (("resolved", "resolved"), "more", "?state=resolved", False),
    ],
)
async def test_a_bar_holds_back_what_fits_nothing_of_the_list(
    browser: Browser, services: Services, states: tuple[str, ...], following: str | None, asked: str, offered: bool
) -> None:
    items = [{**INCIDENT, "id": number, "state": state} for number, state in enumerate(states)]
    services.answers["GET /admin/v1/incidents"] = (200, {"items": items, "next_cursor": following, "count": 2})
    await browser.sign_in("token-operator")
    page = await browser.get(f"/incidents{asked}")
    buttons = re.findall(r'<button formaction="/change/incident/ack"([^>]*)>', page)
    assert buttons
    assert ["disabled" not in button for button in buttons] == [offered] * len(buttons)


async def test_an_order_offers_what_its_status_takes_but_not_of_a_moment_before(
    browser: Browser, services: Services
) -> None:
    expected = {"created": ["cancel", "deliver", "refund"], "delivered": ["cancel", "reissue"], "cancelled": ["refund"]}
    await browser.sign_in("token-operator")
    found: dict[str, Any] = {}
    verbs = ("cancel", "deliver", "refund", "reissue")
    for status in expected:
        order = {**ORDER, "status": status, "payment": {**ORDER["payment"], "id": "pay-1"}}
        if status == "delivered":
            order["payment"]["id"] = None
        services.answers["GET /orders/v1/orders/A1"] = (200, order)
        page = await browser.get("/o/A1")
        found[status] = [verb for verb in verbs if f"/change/order/{verb}?" in page]
    assert found == expected
    page = await browser.get("/o/A1?at=2026-11-29T10:00:00Z")
    assert [verb for verb in verbs if f"/change/order/{verb}?" in page] == list(verbs)


async def test_each_event_of_a_workflow_offers_what_its_state_takes(browser: Browser, services: Services) -> None:
    expected = {
        "done": ["reprocess"],
        "failed": ["mend", "skip"],
        "new": [],
        "skipped": [],
        "superseded": [],
        "mended": [],
    }
    await browser.sign_in("token-operator")
    found: dict[str, Any] = {}
    for state in expected:
        event = {**WORKFLOW["events"][0], "id": "5-2", "state_name": state}
        services.answers["GET /admin/v1/workflows/5"] = (200, {**WORKFLOW, "events": [event]})
        page = await browser.get("/w/5")
        assert browser.status == 200
        verbs = {*re.findall(r"/change/event/(\w+)\?ids=5-2", page), *re.findall(r"/w/5/(mend)/5-2", page)}
        found[state] = sorted(verbs)
    assert found == expected


async def test_colours_are_the_same_in_both_languages(url: str, hostile: Services) -> None:
    """What axe says of contrast in one language it says in the other: elements and their classes differ in nothing else."""
    looks: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for language in ("en", "ru"):
        async with browsing(url, language=language) as browser:
            await browser.sign_in("token-admin")
            looks[language] = {}
            for address in addresses():
                page = await browser.get(address)
                assert f'<html lang="{language}"' in page
                # a name without Russian words stands as code, a foreign text says its language: both have the colour of what is around
                looks[language][address] = re.findall(r'<(\w+)[^>]*? class="([^"]*)"', page)
    assert looks["ru"] == looks["en"]
    css = (await _css(url)).replace(" ", "")
    assert ":lang(" not in css
    assert "[lang" not in css


async def _css(url: str) -> str:
    async with browsing(url) as browser:
        page = await browser.get("/sign-in")
        [address] = re.findall(r'href="(/static/console\.css[^"]*)"', page)
        return await browser.get(address)
