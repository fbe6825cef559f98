"""What is seen of a change: what the act itself made, not what somebody else did like it."""

from __future__ import annotations

import re

import pytest

from tests.support.console_browser import Browser
from tests.support.console_plans import hidden
from tests.unit.console.web.factories import Services


@pytest.mark.parametrize(
    ("at", "found", "seen"),
    [
        ("2026-11-30T09:59:59.999Z", 1, "Still moving: 1 on its way"),
        ("2026-11-30T10:00:00.000000Z", 0, "Seen: 1 holds"),
        ("2026-11-30T10:00:00Z", 2, "Seen: 1 differs"),
        ("2026-11-30T12:00:00+01:00", 0, "Seen: 1 holds"),
    ],
)
async def test_a_verdict_of_an_earlier_run_is_not_taken_for_the_one_that_was_asked_for(
    browser: Browser, services: Services, at: str, found: int, seen: str
) -> None:
    said = {"dry_run": False, "at": "2026-11-30T10:00:00Z", "differences": [], "examined": 3}
    services.answers["POST /admin/v1/reconciliation"] = (200, said)
    services.answers["GET /admin/v1/verdicts"] = (200, {"items": [{"name": "refunds", "at": at, "found": found}]})
    await browser.sign_in("token-operator")
    await browser.get("/change/check/refunds")
    plan = hidden(await browser.post("/change/check/refunds", reason="does it agree?"), "plan")
    assert watched(await browser.post("/apply", plan=plan)) == seen


@pytest.mark.parametrize(
    ("version", "enabled", "seen"),
    [
        (4, True, "Still moving: 1 on its way"),
        (5, True, "Seen: 1 switched on"),
        (5, False, "Seen: 1 switched off"),
        (6, True, "Seen: 1 changed again"),
    ],
)
async def test_a_switch_is_seen_at_the_version_that_the_act_made(
    browser: Browser, services: Services, version: int, enabled: bool, seen: str
) -> None:
    flag = {"name": "tips_service", "enabled": enabled, "share": 5000, "version": version}
    services.answers["GET /admin/v1/flags/tips_service"] = (200, {**flag, "version": 4})
    services.answers["PUT /admin/v1/flags/tips_service"] = (200, {**flag, "version": 5})
    await browser.sign_in("token-admin")
    await browser.get("/change/flag/set?ids=tips_service")
    form = {"field.enabled": str(enabled).lower(), "field.share": "5000", "reason": "for a test"}
    plan = hidden(await browser.post("/change/flag/set", ids="tips_service", **form), "plan")
    services.answers["GET /admin/v1/flags/tips_service"] = (200, flag)
    assert watched(await browser.post("/apply", plan=plan)) == seen


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("somebody else's remark", "Still moving: 1 on its way"),
        ("she called from [masked]", "Seen: 1 commented"),
    ],
)
async def test_a_comment_is_seen_when_it_is_this_very_one(
    browser: Browser, services: Services, said: str, seen: str
) -> None:
    lines = [{"id": 1, "act": "resolve", "text": "she called from [masked]"}, {"id": 2, "act": "comment", "text": said}]
    services.answers["GET /admin/v1/incidents/5"] = (200, {"id": 5, "version": 9, "state": "open", "history": lines})
    services.answers["POST /admin/v1/incidents/5/comment"] = (200, {"id": 5, "before": "open", "after": "open"})
    await browser.sign_in("token-operator")
    await browser.get("/change/incident/comment?ids=5")
    reason = "she called from +7 916 123-45-67"
    plan = hidden(await browser.post("/change/incident/comment", ids="5", reason=reason), "plan")
    assert watched(await browser.post("/apply", plan=plan)) == seen


def watched(page: str) -> str:
    """What a page says of the effect."""
    status = page.partition('id="watched"')[2].partition("<p")[2].partition(">")[2].partition("</p>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", status).split())
