"""A switch is set as a whole: its form shows how it stands."""

from __future__ import annotations

from tests.support.console_browser import Browser
from tests.unit.console.web.factories import Services


async def test_a_switch_stays_on_when_its_share_is_changed(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/flags/tips"] = (200, {"name": "tips", "enabled": True, "share": 500, "version": 3})
    services.answers["PUT /admin/v1/flags/tips"] = (200, {"name": "tips"})
    await browser.sign_in("token-admin")
    page = await browser.get("/change/flag/set?ids=tips")
    assert '<option value="true" selected>' in page
    assert 'name="field.share" value="500"' in page
    asked = {"ids": "tips", "reason": "for a test", "field.share": "700"}
    for decision, sent in (("true", True), ("false", False)):
        await browser.post("/change/flag/set", **asked, **{"field.enabled": decision})
        body = services.calls[-1][1]
        assert (body["enabled"], body["share"]) == (sent, 700)
    services.calls.clear()
    for nothing in ("", "maybe"):
        await browser.post("/change/flag/set", **asked, **{"field.enabled": nothing})
        assert browser.status == 400, "neither is decided by leaving it out"
    assert not any(line.startswith("PUT") for line, _, _ in services.calls)
