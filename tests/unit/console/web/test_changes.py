"""Every change: filled in, rehearsed, applied once, watched to its end."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import aiohttp
import pytest

from console.client.acts import ACTS
from tests.support.console_browser import Browser
from tests.support.console_plans import RETRY, hidden, planned
from tests.support.servers import eventually
from tests.unit.console.web.factories import Services


async def test_a_change_is_rehearsed_applied_and_watched_until_it_is_seen(browser: Browser, services: Services) -> None:
    item = {"id": "7", "version": 3, "outcome": "retried", "notices": ["Workflow 7 goes on"]}
    states = iter(["running", "running", "crashed"])
    services.answers[RETRY] = (200, planned(item))
    services.answers["GET /admin/v1/workflows/7"] = lambda _: (200, {"id": 7, "state_name": next(states), "pending": 1})
    await browser.sign_in("token-operator")
    page = await browser.get("/change/workflow/retry?ids=7")
    assert "Let a crashed workflow try again" in page
    services.calls.clear()
    page = await browser.post("/change/workflow/retry", ids="7", reason="the cause is mended")
    assert "Workflow 7 goes on" in page
    rehearsed = {"reason": "the cause is mended", "dry_run": True, "ids": [7]}
    assert [(line, body) for line, body, _ in services.calls] == [(RETRY, rehearsed)]
    plan = hidden(page, "plan")
    page = await browser.post("/apply", plan=plan)
    assert "Still moving:" in page
    assert "1 running" in page
    line, body, key = services.calls[1]
    assert (line, body) == (RETRY, {**rehearsed, "dry_run": False, "plan": "digest"})
    assert key == json.loads(plan)["key"]
    done = hidden(page, "done")
    page = await browser.post("/watch", done=done)
    assert "1 running" in page

    async def seen() -> bool:
        return "Seen:" in await browser.post("/watch", done=done)

    await eventually(seen, what="the effect")
    page = browser.page
    assert "1 crashed" in page
    assert 'hx-trigger="load' not in page
    assert 'class="failed"' in page
    assert 'class="proved"' not in page
    onward = page.partition('id="seen"')[2].partition("</div>")[0].partition("Next")[2]
    assert ('href="/w/7"' in onward, "/change/ticket/open" in onward) == (True, True)


async def test_what_is_refused_is_neither_offered_nor_watched(browser: Browser, services: Services) -> None:
    refused = {"id": "8", "version": 1, "outcome": "refused", "code": "illegal_transition", "detail": "it is finished"}
    services.answers[RETRY] = (200, planned(refused))
    await browser.sign_in("token-operator")
    await browser.get("/change/workflow/retry?ids=8")
    page = await browser.post("/change/workflow/retry", ids="8", reason="for a test")
    assert "disabled" in page
    assert "The service refuses all of it" in page
    services.answers[RETRY] = (200, planned({"id": "7", "version": 3, "outcome": "retried"}, refused))
    services.answers["GET /admin/v1/workflows/7"] = (200, {"id": 7, "state_name": "finished", "pending": 0})
    page = await browser.post("/change/workflow/retry", ids="7 8", reason="for a test")
    assert "disabled" not in page
    page = await browser.post("/apply", plan=hidden(page, "plan"))
    assert "1 finished" in page
    assert "Still moving" not in page
    assert "it is finished" in page


async def test_a_refund_is_shown_as_a_sum_before_it_is_agreed_to(browser: Browser, services: Services) -> None:
    order = {"number": "A1", "version": 3, "totals": {"currency": "RUB", "cost": 17000}, "payment": {"id": "pay-1"}}
    services.answers["GET /orders/v1/orders/A1"] = (200, order)
    payments = {"items": [{"payment_id": "pay-1", "left": 9900, "currency": "RUB"}]}
    said = {"number": "A1", "amount": 8500, "currency": "RUB", "positions": [], "tips": 0}
    services.answers["POST /admin/v1/orders/A1/refund"] = lambda _: (202, said)
    await browser.sign_in("token-operator")
    assert "Nothing was given back yet of this order, which comes to RUB\u00a0170.00" in await browser.get(
        "/change/order/refund?ids=A1"
    )
    services.answers["GET /admin/v1/payments"] = (200, payments)
    page = await browser.get("/change/order/refund?ids=A1")
    assert "Left empty: everything that is left of the captured sum. That is RUB\u00a099.00." in page
    for amount, told in ((8500, "RUB\u00a085.00"), (None, "what earlier refunds have left of these goods")):
        said |= {"amount": amount, "amount_is": "left_of_positions"}
        page = await browser.post("/change/order/refund", ids="A1", reason="half was spoilt")
        assert told in page.partition("<details open")[2]


async def test_a_plan_sent_twice_carries_one_key(browser: Browser, services: Services) -> None:
    services.answers[RETRY] = (200, planned({"id": "7", "outcome": "retried"}, already_applied=True))
    services.answers["GET /admin/v1/workflows/7"] = (200, {"id": 7, "state_name": "finished", "pending": 0})
    await browser.sign_in("token-operator")
    await browser.get("/change/workflow/retry?ids=7")
    plan = hidden(await browser.post("/change/workflow/retry", ids="7", reason="for a test"), "plan")
    pages = [await browser.post("/apply", plan=plan) for _ in range(2)]
    keys = {key for line, body, key in services.calls if line == RETRY and not body["dry_run"]}
    assert len(keys) == 1
    assert "nothing happened twice" in pages[1]


async def test_what_changed_since_the_plan_is_left_alone_and_said(browser: Browser, services: Services) -> None:
    plan = planned({"id": "7", "outcome": "retried"}, {"id": "8", "outcome": "retried"})
    done = planned(
        {"id": "7", "outcome": "retried"}, {"id": "8", "outcome": "changed", "detail": "it was retried before"}
    )
    services.answers[RETRY] = lambda body: (200, plan if body["dry_run"] else done)
    services.answers["GET /admin/v1/workflows/7"] = (200, {"id": 7, "state_name": "finished", "pending": 0})
    await browser.sign_in("token-operator")
    await browser.get("/change/workflow/retry?ids=7&ids=8")
    page = await browser.post("/change/workflow/retry", ids="7", reason="for a test")
    page = await browser.post("/apply", plan=hidden(page, "plan"))
    assert "1 came out otherwise than planned" in page
    assert "it was retried before" in page


async def test_a_filter_is_sent_as_it_was_seen(browser: Browser, services: Services) -> None:
    services.answers[RETRY] = (200, planned())
    await browser.sign_in("token-operator")
    page = await browser.get(
        "/change/workflow/retry?all=1&filter.state=crashed&filter.kind=order_life&filter.phone=123"
    )
    assert "crashed" in page
    services.calls.clear()
    page = await browser.post(
        "/change/workflow/retry",
        all="1",
        reason="for a test",
        **{"filter.state": "crashed", "filter.kind": "order_life"},
    )
    assert services.calls[0][1]["filter"] == {"state": "crashed", "kind": "order_life"}
    assert "there is nothing to do" in page


async def test_who_may_not_do_it_sees_which_role_may(browser: Browser, services: Services) -> None:
    await browser.sign_in("token-viewer")
    page = await browser.get("/change/workflow/retry?ids=7")
    assert "needs the role operator" in page
    assert re.search(r"<button class=\"primary\" disabled", page)
    services.answers["GET /admin/v1/workflows"] = (200, {"items": [{"id": 7, "state_name": "crashed"}], "count": 1})
    page = await browser.get("/workflows")
    assert re.search(r'formaction="/change/workflow/retry" disabled title="needs the role operator"', page)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"reason": ""}, "Say why"),
        ({"reason": "for a test", "field.amount": "ten"}, "amount is no sum of money"),
        ({"reason": "for a test", "field.amount": "1.005"}, "amount is no sum of money"),
        ({"reason": "for a test", "field.amount": "NaN"}, "amount is no sum of money"),
    ],
)
async def test_what_makes_no_sense_is_said_and_what_was_typed_stays(
    browser: Browser, services: Services, fields: dict[str, str], problem: str
) -> None:
    services.answers["GET /orders/v1/orders/N"] = (200, {"number": "N", "currency": "RUB", "version": 1})
    await browser.sign_in("token-operator")
    await browser.get("/change/order/refund?ids=N")
    page = await browser.post("/change/order/refund", ids="N", **fields)
    assert browser.status == 400
    assert problem in page
    assert all(
        html.escape(text, quote=True) in page or html.escape(text).replace("&quot;", "&#34;") in page
        for text in fields.values()
    )
    assert not any(line.startswith("POST") for line, _, _ in services.calls)


async def test_money_is_filled_in_as_people_write_it(browser: Browser, services: Services) -> None:
    services.answers["GET /orders/v1/orders/N"] = (200, {"number": "N", "currency": "RUB", "version": 4})
    services.answers["POST /admin/v1/orders/N/refund"] = (200, {"outcome": "asked"})
    await browser.sign_in("token-operator")
    await browser.get("/change/order/refund?ids=N")
    await browser.post("/change/order/refund", ids="N", reason="half of it", **{"field.amount": "1 010,50"})
    body = next(body for line, body, _ in services.calls if line.startswith("POST"))
    assert body == {"reason": "half of it", "dry_run": True, "amount": 101050, "expected_version": 4}


async def test_a_refusal_of_the_service_is_shown_beside_the_form(browser: Browser, services: Services) -> None:
    problem = {"code": "conflict", "detail": "somebody was quicker", "fields": [{"field": "ids", "problem": "gone"}]}
    services.answers[RETRY] = (409, problem)
    await browser.sign_in("token-operator")
    await browser.get("/change/workflow/retry?ids=7")
    page = await browser.post("/change/workflow/retry", ids="7", reason="for a test")
    assert browser.status == 409
    assert "somebody was quicker" in page
    assert "ids: gone" in page


@pytest.mark.parametrize("sent", ["", "{}", "[]", "null", '{"wish": {"ids": []}}', "\x00", '{"wish": 1, "items": 2}'])
@pytest.mark.parametrize("path", ["/apply", "/watch"])
async def test_a_page_that_holds_no_plan_does_nothing(
    browser: Browser, services: Services, path: str, sent: str
) -> None:
    await browser.sign_in("token-operator")
    await browser.get("/change/workflow/retry?ids=1")
    services.calls.clear()
    await browser.post(path, plan=sent, done=sent)
    assert browser.status == 400
    assert services.calls == []


async def test_every_act_has_its_form(browser: Browser) -> None:
    await browser.sign_in("token-admin")
    for act in ACTS.values():
        page = await browser.get(f"/change/{act.noun}/{act.verb}?ids=1")
        assert browser.status == 200, act.name
        assert html.escape(act.summary_of(1)).replace("&#x27;", "&#39;").lower() in page.lower(), act.name


ORDER = {
    "number": "N",
    "version": 4,
    "totals": {"currency": "RUB"},
    "customer": {"name": "Ольга", "phone": "+79990001122", "email": None},
    "address": {"text": "Москва,\nТверская 1", "parts": {}},
    "store_id": "17",
    "positions": [
        {"id": "milk", "name": "Milk", "quantity": "2", "price": 8500, "discount_price": 8000, "replaces": None},
        {"id": "bread", "name": "Bread", "quantity": "1", "price": 4000, "discount_price": None, "replaces": None},
    ],
}


async def sent(browser: Browser, services: Services, act: str, *, order: Any = ORDER, **changed: str) -> Any:
    """Send the form of an act on an order as it stands, but for what is filled in; returns what the service was asked."""
    services.answers["GET /orders/v1/orders/N"] = (200, order)
    services.answers[f"POST /admin/v1/orders/N/{act}"] = (200, {"outcome": "done"})
    page = await browser.get(f"/change/order/{act}?ids=N")
    stands = {html.unescape(name): html.unescape(text) for name, text in _STANDS.findall(page) if name != "form_token"}
    stands |= {html.unescape(name): html.unescape(text) for name, text in _TEXTS.findall(page)}
    services.calls.clear()
    fields = {**stands, "reason": "for a test", **changed}
    fields = {name: text.replace("\n", "\r\n") for name, text in fields.items()}  # as browsers send lines
    await browser.post(f"/change/order/{act}", **fields)
    bodies = [body for line, body, _ in services.calls if line.startswith("POST")]
    return {name: each for name, each in bodies[0].items() if name not in ("reason", "dry_run", "expected_version")}


_STANDS = re.compile(r'<input(?! type="checkbox")[^>]* name="([^"]*)" value="([^"]*)"')
_TEXTS = re.compile(r'<textarea[^>]* name="([^"]*)"[^>]*>([^<]*)</textarea>')


async def test_a_correction_says_only_what_is_otherwise(browser: Browser, services: Services) -> None:
    await browser.sign_in("token-operator")
    assert await sent(browser, services, "correct") == {}
    told = await sent(browser, services, "correct", **{"field.customer.phone": "+79990003344"})
    assert told == {"customer": {"name": "Ольга", "phone": "+79990003344"}}
    told = await sent(browser, services, "correct", **{"field.address.city": "Тверь", "field.address.house": "5"})
    assert told == {"address": {"city": "Тверь", "house": "5"}}
    assert await sent(browser, services, "correct", **{"field.address": "Тверь"}) == {"address": "Тверь"}
    told = await sent(
        browser, services, "correct", **{"field.positions.0.quantity": "1", "field.positions.2.id": "tea"}
    )
    assert told["positions"] == [
        {"id": "milk", "name": "Milk", "quantity": "1", "price": "85.00", "discountPrice": "80.00"},
        {"id": "bread", "name": "Bread", "quantity": "1", "price": "40.00"},
        {"id": "tea"},
    ]
    told = await sent(browser, services, "correct", **{"field.positions.1.id": ""})
    assert [each["id"] for each in told["positions"]] == ["milk"]
    told = await sent(browser, services, "correct", **{"field.delivery_window.starts": "2026-12-01T10:00"})
    assert told == {"delivery_window": {"starts": "2026-12-01T10:00:00+03:00"}}


async def test_goods_go_back_by_rows_and_money_by_a_sum(browser: Browser, services: Services) -> None:
    await browser.sign_in("token-operator")
    assert await sent(browser, services, "refund") == {}
    assert '<p class="text">Milk · 2</p>' in await browser.get("/change/order/refund?ids=N")
    told = await sent(browser, services, "refund", **{"field.positions.0.quantity": "1"})
    assert told == {"positions": [{"id": "milk", "quantity": "1"}]}
    assert await sent(browser, services, "refund", **{"field.tips": "1"}) == {"tips": True}
    assert await sent(browser, services, "refund", **{"field.amount": "85,50"}) == {"amount": 8550}


async def test_labels_and_weeks_are_filled_in_part_by_part(browser: Browser, services: Services) -> None:
    services.answers["POST /admin/v1/silences"] = (200, {"id": None})
    services.answers["POST /admin/v1/roster/overrides"] = (200, {"items": []})
    services.answers["GET /admin/v1/roster"] = (200, {"version": 1, "revision": 7, "overrides": []})
    await browser.sign_in("token-operator")
    page = await browser.get('/change/silence/add?field.match={"kind":["order.*","stock"],"colour":"red"}')
    assert 'name="field.match.kind" value="order.*, stock"' in page
    fields = {
        "field.match.kind": "order.*, stock",
        "field.match.severity": "!critical",
        "field.ends_at": "2026-12-01T10:00",
    }
    await browser.post("/change/silence/add", reason="for a test", **fields)
    swap = {"field.swap.one": "2026-11-30", "field.swap.other": "2026-12-07"}
    await browser.post("/change/duty/override", reason="for a test", **swap)
    bodies = [body for line, body, _ in services.calls if line.startswith("POST")]
    assert bodies[0]["match"] == {"kind": ["order.*", "stock"], "severity": ["!critical"]}
    assert (bodies[1]["swap"], bodies[1]["expected_version"]) == (["2026-11-30", "2026-12-07"], 7)
    for wrong, said in (
        ({"field.swap.one": "2026-11-30"}, "swap does not fit"),
        ({"field.starts_at": "soon"}, "starts at is no time"),
    ):
        assert said in await browser.post("/change/duty/override", reason="for a test", **wrong)
        assert browser.status == 400
    page = await browser.post("/change/order/enter-event", reason="for a test", **{"field.payload": "[{"})
    assert "source is missing" in page


async def test_an_old_form_changes_nothing_that_is_otherwise_than_it_showed(
    browser: Browser, services: Services
) -> None:
    correct, mend = "POST /admin/v1/orders/N/correct", "POST /admin/v1/endangered-orders/E/mend"
    stale = {"code": "changed_since", "detail": "look at it again"}
    services.answers["GET /orders/v1/orders/N"] = (200, ORDER)
    services.answers[correct] = services.answers[mend] = lambda body: (
        (200, {"outcome": "done"}) if body["expected_version"] > 4 else (409, stale)
    )
    await browser.sign_in("token-operator")
    shown = hidden(await browser.get("/change/order/correct?ids=N"), "version")
    services.answers["GET /orders/v1/orders/N"] = (200, {**ORDER, "version": 5})  # a hook came
    changed = {"ids": "N", "reason": "for a test", "field.comment": "ring twice"}
    page = await browser.post("/change/order/correct", version=shown, **changed)
    assert (browser.status, hidden(page, "version")) == (409, "4")
    assert 'name="plan"' not in page
    shown = hidden(await browser.get("/change/order/correct?ids=N"), "version")
    plan = json.loads(hidden(await browser.post("/change/order/correct", version=shown, **changed), "plan"))
    assert (plan["wish"]["version"], plan["items"][0]["version"]) == (5, 5)
    body = {"ids": "E", "reason": "for a test", "field.body": "{}", "version": "4"}
    await browser.post("/change/endangered/mend", **body)
    assert browser.status == 409


async def test_a_part_of_an_address_leaves_the_rest_as_it_is(browser: Browser, services: Services) -> None:
    parts = {"country": "Россия", "city": "Москва", "street": "Тверская", "house": "1", "flat": "5"}
    await browser.sign_in("token-operator")
    at = {**ORDER, "address": {"text": "Москва, Тверская, д. 1, кв. 5", "parts": parts}}
    assert await sent(browser, services, "correct", order=at) == {}
    told = await sent(browser, services, "correct", order=at, **{"field.address.house": "3"})
    assert told == {"address": {**parts, "house": "3"}}
    told = await sent(browser, services, "correct", order=at, **{"field.address.flat": "7"})
    assert told == {"address": {"flat": "7"}}  # more of the same place, whose words stay
    told = await sent(browser, services, "correct", order=at, **{"field.address.flat": ""})
    assert told == {"address": {name: text for name, text in parts.items() if name != "flat"}}
    told = await sent(browser, services, "correct", order=at, **{"field.address": "Тверь"})
    assert told == {"address": "Тверь"}
    both = {"field.address": "Тверь", "field.address.house": "3"}
    with pytest.raises(IndexError):  # nothing was asked of the service
        await sent(browser, services, "correct", order=at, **both)
    assert browser.status == 400


async def test_a_result_is_shown_though_its_effect_cannot_be_read(browser: Browser, services: Services) -> None:
    services.answers[RETRY] = (200, planned({"id": "7", "outcome": "retried", "notices": ["Workflow 7 goes on"]}))
    services.answers["GET /admin/v1/workflows/7"] = (503, {"code": "unavailable", "detail": "the database is away"})
    await browser.sign_in("token-operator")
    await browser.get("/change/workflow/retry?ids=7")
    plan = hidden(await browser.post("/change/workflow/retry", ids="7", reason="for a test"), "plan")
    page = await browser.post("/apply", plan=plan)
    assert browser.status == 200
    assert all(text in page for text in ("Workflow 7 goes on", "not known yet", "Look again", 'hx-trigger="load'))
    services.answers["GET /admin/v1/workflows/7"] = (200, {"id": 7, "state_name": "finished", "pending": 0})
    done = hidden(page, "done")

    async def seen() -> bool:
        return "1 finished" in await browser.post("/watch", done=done)

    await eventually(seen, what="the effect")


async def test_several_orders_are_not_refunded_by_one_sum(browser: Browser, services: Services) -> None:
    await browser.sign_in("token-admin")
    assert "A sum is for one order" in await browser.get("/change/order/refund?ids=N1&ids=N2")
    async with browser.session.get(browser.url + "/change/order/refund?ids=N1") as answer:
        assert "A sum is for one order" not in await answer.text()
    data = aiohttp.FormData([("form_token", hidden(browser.page, "form_token")), ("ids", "N1"), ("ids", "N2")])
    data.add_field("reason", "for a test")
    address = browser.url + "/change/order/refund"
    async with browser.session.post(address, data=data, headers={"Origin": browser.url}) as answer:
        assert answer.status == 400
        assert "A sum is for one order" in await answer.text()
    assert not any(line.startswith("POST") for line, _, _ in services.calls)
