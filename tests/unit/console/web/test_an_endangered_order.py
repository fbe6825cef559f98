"""What the console says of an endangered order before money follows from it, and the way on from a refusal."""

from __future__ import annotations

from typing import Any

from tests.support.console_browser import Browser
from tests.support.console_plans import planned
from tests.unit.console.web.factories import Services

MEND = "/change/endangered/mend"
RESUBMIT = "/change/endangered/resubmit"
MILK = {"id": "sku-1", "name": "Milk", "quantity": "2", "price": 990000, "amount": 1980000}
UNDERSTOOD: dict[str, Any] = {"goods": [MILK], "total": 1980000, "currency": "RUB"}


async def test_a_body_is_rehearsed_as_goods_and_sums(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/endangered-orders/e1"] = (200, {"id": "e1", "version": 1})
    mended = {"id": "e1", "state": "mended", "dry_run": True, **UNDERSTOOD}
    services.answers["POST /admin/v1/endangered-orders/e1/mend"] = (200, mended)
    item = {"id": "e1", "version": 1, "outcome": "resubmitted", **UNDERSTOOD}
    services.answers["POST /admin/v1/endangered-orders/resubmit"] = (200, planned(item))
    await browser.sign_in("token-operator")
    await browser.get(f"{MEND}?ids=e1")
    pages = [
        await browser.post(MEND, ids="e1", reason="a price was missing", **{"field.body": "{}"}),
        await browser.post(RESUBMIT, ids="e1", reason="a price was missing"),
    ]
    for page in pages:
        said = page.partition("<details open")[2]
        assert "Milk: 2 × 9900.00 RUB = 19800.00 RUB" in said
        assert "RUB\u00a019,800.00" in said
    await browser.post("/language", language="ru", to="/")
    await browser.get(f"{RESUBMIT}?ids=e1")
    russian = await browser.post(RESUBMIT, ids="e1", reason="a price was missing")
    assert ("2 × 9\u00a0900,00\u00a0₽ = 19\u00a0800,00\u00a0₽" in russian, "19800.00 RUB" in russian) == (True, False)


async def test_a_likely_duplicate_leads_to_the_form_with_its_box_ticked(browser: Browser, services: Services) -> None:
    refused = {"id": "e1", "version": 1, "outcome": "refused", "code": "likely_duplicates", "detail": "looks like W-1"}
    services.answers["POST /admin/v1/endangered-orders/resubmit"] = (200, planned(refused))
    await browser.sign_in("token-operator")
    await browser.get(f"{RESUBMIT}?ids=e1")
    page = await browser.post(RESUBMIT, ids="e1", reason="it is another order")
    address = f"{RESUBMIT}?ids=e1&amp;field.despite_duplicates=1"
    assert address.replace("&amp;", "&") in page.replace("&amp;", "&")
    page = await browser.get(address.replace("&amp;", "&"))
    assert 'name="field.despite_duplicates" value="1" checked' in page


async def test_a_page_that_was_sent_offers_no_other_language(browser: Browser, services: Services) -> None:
    services.answers["POST /admin/v1/endangered-orders/resubmit"] = (
        200,
        planned({"id": "e1", "outcome": "resubmitted"}),
    )
    await browser.sign_in("token-operator")
    assert 'action="/language"' in await browser.get(f"{RESUBMIT}?ids=e1")
    for reason in ("", "it is another order"):
        assert 'action="/language"' not in await browser.post(RESUBMIT, ids="e1", reason=reason)
