"""The form of a refund: what is wrong stands at its field, and what of the money is left stands beside the sum."""

from __future__ import annotations

from tests.support.console_browser import Browser
from tests.unit.console.web.factories import Services


async def test_a_fault_of_a_field_stands_at_it_and_the_form_names_the_act_once(
    browser: Browser, services: Services
) -> None:
    says = "a refund is of an amount, or of positions, or of the tips: choose one"
    fault = {"field": "tips", "code": "more_than_one_way", "message": says}
    services.answers["GET /orders/v1/orders/N"] = (200, {"number": "N", "currency": "RUB", "version": 4})
    refused = (422, {"code": "unprocessable", "detail": "the body does not fit", "fields": [fault]})
    services.answers["POST /admin/v1/orders/N/refund"] = refused
    await browser.sign_in("token-operator")
    form = await browser.get("/change/order/refund?ids=N")
    assert form.partition("<main")[2].lower().count("give money back") == 1
    page = await browser.post(
        "/change/order/refund", ids="N", reason="half", **{"field.amount": "5", "field.tips": "1"}
    )
    assert browser.status == 422
    at_tips = page.partition('name="field.tips"')[2].partition('class="field"')[0]
    assert (says in at_tips, "more_than_one_way" in at_tips, page.count(says)) == (True, True, 1)


async def test_a_form_of_an_order_without_money_left_says_what_went_back(browser: Browser, services: Services) -> None:
    order = {"number": "N", "currency": "RUB", "version": 4, "payment": {"id": "pay-1"}}
    services.answers["GET /orders/v1/orders/N"] = (200, order)
    payments = {"items": [{"payment_id": "pay-1", "captured": 9900, "left": 0, "currency": "RUB"}]}
    services.answers["GET /admin/v1/payments"] = (200, payments)
    await browser.sign_in("token-operator")
    page = await browser.get("/change/order/refund?ids=N")
    assert "Nothing is left: RUB" in page.replace("\xa0", " ")
    assert "99.00 were given back" in page.replace("\xa0", " ")


async def test_the_plan_of_a_refund_says_what_it_leaves(browser: Browser, services: Services) -> None:
    order = {"number": "N", "currency": "RUB", "version": 4, "payment": {"id": "pay-1"}, "totals": {"cost": 9900}}
    services.answers["GET /orders/v1/orders/N"] = (200, order)
    services.answers["POST /admin/v1/orders/N/refund"] = (200, {"number": "N", "amount": 1000, "currency": "RUB"})
    paid = {"payment_id": "pay-1", "captured": 9900, "left": 4900, "currency": "RUB"}
    await browser.sign_in("token-operator")
    await browser.get("/change/order/refund?ids=N")
    for payments, amount, said in (
        ([paid], "10", "39.00 stays of payment pay-1"),
        ([], "10", "89.00 stays of what the order comes to"),
        ([paid], "50", None),
    ):
        services.answers["GET /admin/v1/payments"] = (200, {"items": payments})
        page = await browser.post("/change/order/refund", ids="N", reason="half", **{"field.amount": amount})
        assert (" stays of " in page, (said or "") in page) == (said is not None, True)
