"""A person chooses the time zone of all that she reads and fills in."""

from __future__ import annotations

from tests.support.console_browser import Browser
from tests.unit.console.web.factories import Services


async def test_the_time_zone_is_the_persons_choice_on_every_page_and_form(browser: Browser, services: Services) -> None:
    await browser.sign_in("token-admin")
    assert "Asia/Omsk" in await browser.get("/more")
    ours = await browser.get("/audit")
    assert ("(Europe/Moscow)" in ours, "MSK" in await browser.get("/proof")) == (True, True)
    await browser.post("/language", zone="Asia/Omsk", to="/more")
    assert "<option selected>Asia/Omsk</option>" in browser.page
    page = await browser.get("/proof")
    assert ("+06" in page, "MSK" in page) == (True, False)
    assert "(Asia/Omsk)" in await browser.get("/audit?from=2026-11-29T23:00")
    assert "2026-11-29T23:00:00+06:00" in [asked.get("from") for _, asked, _ in services.calls]
    for nonsense in ("Mars/Olympus", "../etc/passwd", ""):
        await browser.post("/language", zone=nonsense, to="/more")
        assert "<option selected>Asia/Omsk</option>" in browser.page


async def test_a_zone_that_is_not_offered_is_chosen_where_it_is_the_present_one(browser: Browser) -> None:
    """Else a browser shows the first of the list as the present one, and sends it."""
    await browser.sign_in("token-admin")
    await browser.post("/language", zone="America/New_York", to="/more")
    assert "<option selected>America/New_York</option>" in browser.page
