"""What the console says of an endangered order before money follows from it, and the way on from a refusal."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest

from tests.support.console_browser import Browser
from tests.support.console_plans import planned
from tests.unit.console.web.factories import ENDANGERED, Services

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


async def test_a_page_that_was_sent_offers_no_other_language(browser: Browser, services: Services) -> None:
    services.answers["POST /admin/v1/endangered-orders/resubmit"] = (
        200,
        planned({"id": "e1", "outcome": "resubmitted"}),
    )
    await browser.sign_in("token-operator")
    assert 'action="/language"' in await browser.get(f"{RESUBMIT}?ids=e1")
    for reason in ("", "it is another order"):
        assert 'action="/language"' not in await browser.post(RESUBMIT, ids="e1", reason=reason)


@pytest.mark.parametrize(("state", "offered"), [("new", True), ("mended", True), ("resubmitted", False)])
async def test_it_offers_to_be_mended_only_as_long_as_that_is_possible(
    browser: Browser, services: Services, state: str, offered: bool
) -> None:
    services.answers["GET /admin/v1/endangered-orders/e1"] = (200, {**ENDANGERED, "id": "e1", "state": state})
    services.answers["GET /admin/v1/endangered-orders"] = (
        200,
        {"items": [{**ENDANGERED, "id": "e1", "state": state}], "count": 1, "next_cursor": None},
    )
    await browser.sign_in("token-operator")
    page = await browser.get("/e/e1")
    assert (f'action="{MEND}"' in page, 'href="#mended"' in page) == (offered, offered)
    assert ('href="/e/e1#mended"' in await browser.get("/")) == (state == "new")


async def test_a_body_that_is_no_json_comes_back_marked_at_its_line(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/endangered-orders/e1"] = (200, {"id": "e1", "version": 1})
    await browser.sign_in("token-operator")
    await browser.get(f"{MEND}?ids=e1")
    page = await browser.post(MEND, ids="e1", reason="a comma", **{"field.body": '\r\n{"a": 1\r\n "b": 2}'})
    assert (browser.status, "is no JSON: line 3, column 2" in page) == (400, True)
    marked = page.partition('<p class="fault">')[2].partition("</p>")[0]
    assert "<mark> &#34;b&#34;: 2}</mark>" in marked
    assert 'rows="16"' in page.partition('name="field.body"')[2].partition(">")[0]


async def test_what_the_service_refuses_of_a_mended_body_stands_at_its_place(
    browser: Browser, services: Services
) -> None:
    fault = {"field": "payload.total", "code": "not_a_number", "message": "a number is needed"}
    services.answers["GET /admin/v1/endangered-orders/e1"] = (200, {"id": "e1", "version": 1})
    refused = {"code": "unprocessable", "detail": "the order does not fit; send a mended body", "fields": [fault]}
    services.answers["POST /admin/v1/endangered-orders/e1/mend"] = (422, refused)
    await browser.sign_in("token-operator")
    await browser.get(f"{MEND}?ids=e1")
    body = '{"payload": {"total": "many"}}'
    page = await browser.post(MEND, ids="e1", reason="a sum in words", **{"field.body": body})
    marked = page.partition('<p class="fault">')[2].partition("</p>")[0]
    assert ("many" in marked, "a number is needed" in marked) == (True, True)


async def test_a_likely_duplicate_leads_to_the_form_with_box_and_reason_given(
    browser: Browser, services: Services
) -> None:
    refused = {"id": "e1", "version": 1, "outcome": "refused", "code": "likely_duplicates", "detail": "looks like W-1"}
    services.answers["POST /admin/v1/endangered-orders/resubmit"] = (200, planned(refused))
    await browser.sign_in("token-operator")
    await browser.get(f"{RESUBMIT}?ids=e1")
    page = await browser.post(RESUBMIT, ids="e1", reason="another buyer & order")
    [address] = {unescape(each) for each in page.split('"') if "despite_duplicates=1" in each}
    form = await browser.get(address)
    assert "another buyer &amp; order</textarea>" in form
    assert 'name="field.despite_duplicates" value="1" checked' in form
