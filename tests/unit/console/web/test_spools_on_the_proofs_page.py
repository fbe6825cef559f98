"""The page that says whether anything is lost counts what waits in a spool: it has come in, and has its outcome on a disk."""

from __future__ import annotations

from typing import Any

from tests.support.console_browser import Browser
from tests.unit.console.web.factories import Services

LEDGER: dict[str, Any] = {
    "received": 9, "confirmed": 3, "spooled": 1, "quarantined": 0, "refused": 0, "outcomes": 4, "difference": 5,
    "by_replica": [{"replica": "gw-1", "difference": 5}],
}  # fmt: skip
SPOOL = {"name": "spool", "replica": "gw-1", "oldest_seconds": 9.0, "state": "waiting"}


async def test_a_day_counts_what_waits_in_the_spools_once(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/ledger"] = (200, LEDGER)
    services.answers["GET /admin/v1/queues"] = (200, {"items": [{**SPOOL, "waiting": 7}]})
    await browser.sign_in("token-viewer")
    page = await browser.get("/proof")
    shown = [page.count(said) for said in ("9 = 3 + 6 + 0 + 0", "9 ≠ 3 + 3 + 0 + 0", "9 ≠ 3 + 1 + 0 + 0")]
    assert shown == [1, 1, 5]  # today's five, two of yesterday's, and of the days before nothing is in a spool any more
    assert page.count("differs by 3") == 1
