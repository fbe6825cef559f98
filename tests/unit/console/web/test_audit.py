"""The audit of all services in one order of time, page by page and as a file."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from datetime import datetime
from typing import Any

import aiohttp
import pytest

from console.client.audit import audited
from tests.support.console_browser import Browser
from tests.unit.console.web.factories import Services

KEPT = {
    "webhook-gateway": [("10:05", "w2"), ("10:01", "w1")],
    "orchestrator": [
        (f"10:0{4 - number // 210}", f"o{number}") for number in range(250)
    ],  # a bulk change leaves one moment
    "refunds": [],
    "notifier": [("10:03", "n1")],
}


def record(at: str, target: str) -> dict[str, Any]:
    """A record of the audit."""
    return {
        "id": 1,
        "at": f"2026-11-29T{at}:00Z",
        "actor": "anna",
        "role": "operator",
        "action": "act",
        "target": f"order:{target}",
        "reason": "=why",
        "before": None,
        "after": {"x": 1},
        "request_id": "r",
    }


@pytest.fixture
def kept(services: Services, monkeypatch: pytest.MonkeyPatch) -> Services:
    """Services with audits of their own, in pages as long as asked; which is asked is told by the order of the calls."""
    order = list(audited())
    asked: dict[str, int] = {}

    def answer(query: dict[str, str]) -> tuple[int, Any]:
        """Answer the service's turn: all are at one address, so the cursor tells whose page it is."""
        if cursor := query.get("cursor"):
            name, start = cursor.split("|")[0], int(cursor.split("|")[1])
        else:
            kind = "counted" if "count" in query else "read"  # both ask at once, each the services in their order
            turn = asked.get(kind, 0)
            asked[kind] = turn + 1
            name, start = order[turn % len(order)], 0
        rows = [record(*row) for row in KEPT.get(name, [])]
        if until := query.get("to"):
            rows = [row for row in rows if datetime.fromisoformat(row["at"]) < datetime.fromisoformat(until)]
        size = int(query["limit"])
        following = f"{name}|{start + size}" if len(rows) > start + size else None
        counted = {"count": len(rows)} if "count" in query else {}
        return 200, {"items": rows[start : start + size], "next_cursor": following, **counted}

    services.answers["GET /admin/v1/audit"] = answer
    return services


def targets(page: str) -> list[str]:
    """What a page's records name."""
    return re.findall(r'href="/o/(\w+)"', page)


def expected() -> list[str]:
    """All of them, the newest first."""
    rows = [row for name in audited() for row in KEPT.get(name, [])]
    return [target for _, target in sorted(rows, key=lambda row: row[0], reverse=True)]


async def test_all_services_are_merged_by_time_and_no_record_is_lost_between_pages(
    browser: Browser, kept: Services
) -> None:
    await browser.sign_in("token-viewer")
    page = await browser.get("/audit")
    found, pages = targets(page), 1
    assert f"{len(expected())} match, {len(found)} shown" in page
    while following := re.search(r'href="(/audit\?before=[^"]+)"', page):
        page = await browser.get(following[1].replace("&amp;", "&"))
        assert f"{len(expected())} match, {len(targets(page))} shown" in page
        assert "hx-sse:connect" not in page, "what comes is not on later pages"
        found += targets(page)
        pages += 1
    assert sorted(found) == sorted(expected())
    assert (pages, len(found)) == (3, 253)
    assert found[:2] == ["w2", "o0"]
    assert found[-1] == "w1"


@pytest.mark.parametrize("skip", ["-1", "x", "1" * 7, "\u0661"])
async def test_what_is_no_number_of_records_to_skip_is_said(browser: Browser, kept: Services, skip: str) -> None:
    await browser.sign_in("token-viewer")
    page = await browser.get(f"/audit?skip={skip}")
    assert "is no whole number" in page


async def test_the_export_is_everything_that_matches_in_both_forms(browser: Browser, kept: Services) -> None:
    await browser.sign_in("token-viewer")
    text = await browser.get("/audit/export?form=csv")
    assert browser.headers["Content-Disposition"] == 'attachment; filename="audit.csv"'
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sorted(row["target"] for row in rows) == sorted(f"order:{target}" for target in expected())
    assert {row["reason"] for row in rows} == {"'=why"}
    whole = json.loads(await browser.get("/audit/export?form=json"))
    assert [row["at"] for row in whole] == sorted((row["at"] for row in whole), reverse=True)
    assert len(whole) == len(rows)


async def test_a_service_that_is_away_is_said_and_no_export_is_made_without_it(
    browser: Browser, services: Services
) -> None:
    services.answers["GET /admin/v1/audit"] = (200, {"items": [record("10:00", "x")], "next_cursor": None})
    await browser.sign_in("token-viewer")
    services.answers["GET /admin/v1/audit"] = (503, {"code": "unavailable", "detail": "the database is away"})
    page = await browser.get("/audit?actor=anna&order=N&from=2026-11-29T10:00")
    assert browser.status == 200
    assert "what they have is not here" in page
    sent = [body for line, body, _ in services.calls if line == "GET /admin/v1/audit"][-1]
    assert (sent["actor"], sent["order"], sent["from"]) == ("anna", "N", "2026-11-29T10:00:00+03:00")
    await browser.get("/audit/export?form=csv")
    assert browser.status == 502


async def test_an_export_that_breaks_off_does_not_look_whole(browser: Browser, services: Services) -> None:
    page = {"items": [record("10:00", f"x{number}") for number in range(200)], "next_cursor": "more"}
    services.answers["GET /admin/v1/audit"] = lambda query: (
        (200, page) if "cursor" not in query else (503, {"code": "unavailable", "detail": "the database is away"})
    )
    await browser.sign_in("token-viewer")
    with pytest.raises(aiohttp.ClientError):
        await browser.get("/audit/export?form=csv")


async def test_news_of_any_service_are_announced_on_the_audit(browser: Browser, services: Services) -> None:
    old = {**record("10:00", "x"), "id": 1}
    services.answers["GET /admin/v1/audit"] = (200, {"items": [old], "next_cursor": None, "count": 1})
    await browser.sign_in("token-viewer")
    page = await browser.get("/audit?actor=anna&from=2026-11-29T10:00&phone=%2B79990001122")
    address = re.search(r'hx-sse:connect="(/live/audit[^"]*)"', page)
    assert address
    assert "79990001122" not in address[1]
    async with browser.session.get(browser.url + html.unescape(address[1])) as stream:
        assert stream.status == 200
        fresh = {**record("10:01", "y"), "id": 2}
        services.answers["GET /admin/v1/audit"] = (200, {"items": [fresh, old], "next_cursor": None})
        async for line in stream.content:
            if b"new" in line and b"button" in line:
                assert re.search(rb'href="/audit\?[^"]*actor=anna[^"]*">\d+ new', line), line
                break
    asked = [body for line, body, _ in services.calls if line == "GET /admin/v1/audit"][-1]
    assert (asked["actor"], asked["from"]) == ("anna", "2026-11-29T10:00:00+03:00")


async def test_views_of_the_audit_are_saved_with_their_service(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/audit"] = (200, {"items": [], "next_cursor": None, "count": 0})
    await browser.sign_in("token-viewer")
    await browser.get("/audit?actor=anna&service=refunds")
    view = {"noun": "audit", "filter.actor": "anna", "filter.service": "refunds", "filter.from": "2026-11-29T10:00"}
    page = await browser.post("/views", name="Anna's", **view)
    assert browser.path == "/audit"
    saved = re.search(r'<li><a href="(/audit\?[^"]*)" aria-current="true">Anna&#39;s</a>', page)
    assert saved, page
    assert html.unescape(saved[1]) == "/audit?service=refunds&actor=anna&from=2026-11-29T10%3A00%3A00%2B03%3A00"
    page = await browser.post("/views/forget", noun="audit", name="Anna's")
    assert "Anna&#39;s" not in page


async def test_a_count_without_a_service_is_no_whole_count(browser: Browser, services: Services) -> None:
    answers = iter([(200, {"items": [], "count": 3, "next_cursor": None})])
    away = (503, {"code": "unavailable", "detail": "the database is away"})
    services.answers["GET /admin/v1/audit"] = lambda query: (
        next(answers, away) if "count" in query else (200, {"items": [record("10:00", "x")], "next_cursor": None})
    )
    await browser.sign_in("token-viewer")
    assert "3+ match" in await browser.get("/audit")
