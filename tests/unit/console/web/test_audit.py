"""The audit of all services in one order of time, page by page and as a file."""

from __future__ import annotations

import csv
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
            turn = asked.get("turn", 0)
            asked["turn"] = turn + 1
            name, start = order[turn % len(order)], 0
        rows = [record(*row) for row in KEPT.get(name, [])]
        if until := query.get("to"):
            rows = [row for row in rows if datetime.fromisoformat(row["at"]) < datetime.fromisoformat(until)]
        size = int(query["limit"])
        following = f"{name}|{start + size}" if len(rows) > start + size else None
        return 200, {"items": rows[start : start + size], "next_cursor": following}

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
    while following := re.search(r'href="(/audit\?to=[^"]+)"', page):
        page = await browser.get(following[1].replace("&amp;", "&"))
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
