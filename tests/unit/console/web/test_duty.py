"""Duty: weeks that change places, somebody else for a while, and the calendar that needs no sign-in."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from console.web.duty.weeks import weeks
from tests.support.console_browser import Browser, browsing
from tests.unit.console.web.factories import Services


def shift(starts: str, ends: str, on_duty: str | None, backup: str | None = None) -> dict[str, Any]:
    """A final shift."""
    return {"starts_at": f"{starts}:00Z", "ends_at": f"{ends}:00Z", "on_duty": on_duty, "backup": backup}


SHIFTS = [
    shift("2026-11-23T07:00", "2026-11-25T07:00", "anna"),
    shift("2026-11-25T07:00", "2026-11-30T07:00", "oleg"),  # an override in the middle of the week
    shift("2026-11-30T07:00", "2026-12-07T07:00", None),
    shift("2026-12-06T21:30", "2026-12-14T07:00", "oleg"),  # Monday already where the roster's people live
]
ROSTER = {"plan": {"zone": "Europe/Moscow"}, "shifts": SHIFTS, "overrides": [], "gaps": [SHIFTS[2]]}


def test_weeks_are_named_by_their_mondays_where_the_roster_lives() -> None:
    assert weeks(ROSTER) == {
        date(2026, 11, 23): ["anna", "oleg"],
        date(2026, 11, 30): [""],
        date(2026, 12, 7): ["oleg"],
    }
    assert weeks({"plan": None, "shifts": []}) == {}


async def test_duty_is_taken_over_swapped_and_followed_by_a_calendar(browser: Browser, services: Services) -> None:
    me = {"id": "operator", "name": "Olga", "phone": None}
    services.answers["GET /admin/v1/roster"] = (200, ROSTER)
    now = {
        "on_duty": {**me, "id": "anna"},
        "until": "2026-11-30T07:00:56Z",
        "backup": None,
        "next": None,
        "confirmed": False,
    }
    services.answers["GET /admin/v1/on-call"] = (200, now)
    services.answers["GET /admin/v1/people"] = (200, {"people": [me, {"id": "oleg", "name": "Oleg"}]})
    services.answers["POST /admin/v1/roster/overrides"] = (200, {"items": [], "dry_run": True})
    services.open["GET /on-call.ics"] = "BEGIN:VCALENDAR"
    await browser.sign_in("token-operator")
    page = await browser.get("/duty")
    assert "1 stretch of time without anybody" in page
    assert "30 Nov 2026 · nobody is on duty" in page
    assert "23 Nov 2026 · anna, Oleg" in page
    assert 'href="/change/duty/confirm?' in page
    services.answers["GET /admin/v1/on-call"] = (200, {**now, "handed_over_by": "operator"})
    handing = await browser.get("/duty")
    assert ("who takes over confirms it" in handing, 'href="/change/duty/confirm?' in handing) == (True, False)
    services.answers["GET /admin/v1/on-call"] = (200, now)
    over = re.search(r'href="(/change/duty/override\?[^"]*)">take over now', page)
    assert over
    page = await browser.get(over[1].replace("&amp;", "&"))
    assert 'name="field.person" value="operator"' in page
    assert 'name="field.ends_at" type="datetime-local" value="2026-11-30T10:00:56" step="1"' in page
    services.answers["GET /admin/v1/on-call"] = (200, {**now, "on_duty": me})
    assert "take over now" not in await browser.get("/duty"), "it is hers already"
    link = re.search(r'href="(/calendar/operator/[0-9a-f]{40}\.ics)"', browser.page)
    assert link
    swap = {"field.swap.one": "2026-11-30", "field.swap.other": "2026-12-07"}
    page = await browser.post("/change/duty/override", reason="for a wedding", **swap)
    assert "Do exactly this" in page
    async with browsing(browser.url) as phone:
        assert await phone.get(link[1]) == "BEGIN:VCALENDAR"
        assert phone.headers["Content-Type"] == "text/calendar; charset=utf-8"
        for wrong in (
            "/calendar/anna/" + link[1].rpartition("/")[2],
            link[1][:-9] + "00000.ics",
            "/calendar/operator/%00",
        ):
            await phone.get(wrong)
            assert phone.status == 404


async def test_who_may_not_change_duty_sees_it_and_its_calendar(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/roster"] = (200, ROSTER)
    services.answers["GET /admin/v1/on-call"] = (
        200,
        {"on_duty": None, "until": None, "backup": None, "next": None, "confirmed": False},
    )
    await browser.sign_in("token-viewer")
    page = await browser.get("/duty")
    assert "needs the role operator" in page
    assert (
        page.count('<button class="primary" disabled data-act="duty override">')
        == page.count("/change/duty/override")
        > 0
    )
    assert "/calendar/viewer/" in page


async def test_the_first_screen_says_whether_i_am_on_duty_and_who_is_next(browser: Browser, services: Services) -> None:
    me, oleg = ({"id": name, "name": said, "phone": None} for name, said in (("operator", "Olga"), ("oleg", "Oleg")))
    until = "2026-11-30T07:00:00Z"
    now = {"on_duty": me, "until": until, "backup": oleg, "next": {"on_duty": "oleg"}, "confirmed": True}
    services.answers["GET /admin/v1/on-call"] = (200, now)
    hole = {"what": "call_provider", "detail": "there is no call provider: nobody is phoned"}
    services.answers["GET /admin/v1/coverage"] = (200, {"covered": False, "missing": [hole]})
    await browser.sign_in("token-operator")
    page = await browser.get("/")
    duty = " ".join(re.sub(r"<[^>]+>", "", page[page.index('class="duty"') :].partition("</p>")[0]).split())
    assert duty.endswith("You are on duty until 30 Nov 2026, 10:00:00 MSK · backup: Oleg · next: Oleg")
    assert "take over now" not in page
    assert "A critical problem would not reach a person:" in page
    assert "there is no call provider: nobody is phoned" in page
    services.answers["GET /admin/v1/on-call"] = (200, {**now, "on_duty": oleg, "backup": me})
    page = await browser.get("/")
    assert "On duty: <b>Oleg</b>" in page
    assert re.search(r'href="/change/duty/override\?field.person=operator&[^"]*">take over now', page)
