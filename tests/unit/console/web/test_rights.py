"""What a person may not do is there all the same: visible, disabled, with the role that it needs. Every act, on every page."""

from __future__ import annotations

import html
import re
from urllib.parse import unquote

import pytest

from console.client.acts import ACTS, act_of
from console.client.operations import SERVICES, operations
from tests.support.console_browser import Browser, browsing
from tests.support.console_walk import addresses
from tests.unit.console.web.factories import Services

_LEADS = re.compile(r'(?:href|action|formaction)="/change/([^/"]+)/([^?"]+)[^"]*"')
_OFF = re.compile(r'<(?:span|button)[^>]* data-act="([^"]+)"[^>]*>(.*?)</(?:span|button)>', re.DOTALL)
_PRESS = re.compile(r'<button(?P<said>[^>]*)formaction="/change/[^>]*>|<a [^>]*href="/change/')
_FORM = re.compile(r'<form method="post" action="/change/(?P<act>[^"]+)".*?</form>', re.DOTALL)


def offered(page: str) -> set[str]:
    """The acts that a page leads to."""
    return {f"{unquote(noun)} {unquote(verb)}" for noun, verb in _LEADS.findall(html.unescape(page))}


def all_acts() -> set[str]:
    """The name of everything that people do."""
    return {*ACTS, *(f"dead-letter {verb}" for verb in ("replay", "mend", "dismiss")), "customer erase"}


async def test_every_act_is_shown_to_who_may_not_do_it_with_the_role_it_needs(
    browser: Browser, hostile: Services
) -> None:
    await browser.sign_in("token-admin")
    async with browsing(browser.url) as other:
        await other.sign_in("token-viewer")
        seen: set[str] = set()
        for address in addresses():
            hers, theirs = await browser.get(address), await other.get(address)
            if other.status == 403:
                assert "needs the role operator" in theirs, address
                continue
            found = offered(hers)
            seen |= found
            off = _OFF.findall(theirs)
            assert {name for name, _ in off} >= found, (address, found - {name for name, _ in off})
            assert [said for _, said in off if "needs the role" not in said] == [], address
            for press in _PRESS.finditer(theirs):
                assert "disabled" in press[0], (address, press[0])
            for form in _FORM.finditer(theirs):
                assert re.search(r'<button class="primary" disabled data-act=', form[0]), (address, form["act"])
    assert all_acts() - seen == NOWHERE


NOWHERE: set[str] = set()
"""Acts that no page leads to."""


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_the_form_of_every_act_names_the_role_that_it_needs(
    browser: Browser, hostile: Services, role: str
) -> None:
    await browser.sign_in(f"token-{role}")
    erased = [
        act_of("customer erase", each) for each in SERVICES if (each, "POST", "/admin/v1/erasures") in operations()
    ]
    letters = [act_of(f"dead-letter {verb}", "refunds") for verb in ("replay", "mend", "dismiss")]
    for act in [*ACTS.values(), *letters, *erased]:
        page = await browser.get(f"/change/{act.noun}/{act.verb}?service={act.service}&ids=EVIL")
        needed = act.operation.role
        barred = needed == "admin" or role == "viewer"
        assert (f"needs the role {needed}" in page) == barred, act.name
        assert ('<button class="primary" disabled' in page) == barred, act.name


async def test_a_refusal_of_a_service_names_the_role_too(browser: Browser, services: Services) -> None:
    forbidden = (403, {"code": "forbidden", "detail": "this token's role may not do that"})
    services.answers["PUT /admin/v1/flags/tips_service"] = forbidden
    services.answers["GET /admin/v1/flags/tips_service"] = (200, {"name": "tips_service", "version": 4})
    services.answers["GET /admin/v1/orders"] = forbidden
    await browser.sign_in("token-operator")
    await browser.get("/keys")
    form = {"field.enabled": "true", "field.share": "5", "reason": "for a test"}
    page = await browser.post("/change/flag/set", ids="tips_service", **form)
    assert (browser.status, "needs the role admin" in page) == (403, True)
    page = await browser.get("/orders")
    assert (browser.status, "needs the role viewer" in page) == (403, True)


async def test_whose_token_is_for_other_things_is_told_so_and_not_sent_for_a_role(
    browser: Browser, services: Services
) -> None:
    lacking = {"field": "orchestrator:admin", "code": "out_of_scope", "message": "the token's scopes do not hold it"}
    said = (403, {"code": "out_of_scope", "detail": "this token is for other things", "fields": [lacking]})
    services.answers["POST /admin/v1/workflows/7/retry"] = said
    services.answers["GET /admin/v1/orders"] = said
    services.permitted = {"GET /admin/v1/workflows"}
    await browser.sign_in("token-admin")
    page = await browser.get("/orders")
    assert (browser.status, "the token lacks the scope orchestrator:admin" in page) == (403, True)
    assert "needs the role" not in page
    page = await browser.get("/change/workflow/retry?ids=7")
    assert "the token is not for that" in page
    assert "needs the role" not in page
