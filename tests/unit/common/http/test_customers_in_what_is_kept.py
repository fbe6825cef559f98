"""Customers' data inside bodies and messages: hidden from viewers, erased, found by phone and mail."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from common.contracts.alerts import ProblemRaisedV1
from common.http.kept_bodies import (
    erase_body,
    erase_message,
    mask_message,
    mask_text,
    message_mentions,
)
from common.reading.customers import mentions

GOODS = [{"id": "milk", "name": "Молоко", "quantity": 2, "price": "85.00"}]
PAYLOAD: dict[str, Any] = {
    "originalOrderId": "H1",
    "storeID": "17",
    "zone": "moscow",
    "comment": "позвоните Анне +7 916 123-45-67",
    "customer": {"name": "Анна", "phone": "+7 916 123-45-67", "email": "anna@example.ru", "tags": ["vip", None, True]},
    "address": {"full_address": "Тверская 1", "floor": -1},
    "positions": GOODS,
    "total": {"totalPrice": "170.00"},
}
BLANK: dict[str, Any] = {
    **PAYLOAD,
    "comment": None,
    "customer": {"name": None, "phone": None, "email": None, "tags": [None, None, True]},
    "address": {"full_address": None, "floor": None},
}


@pytest.mark.parametrize(("around", "within"), [(125, 127), (0, 900), (400, 400)])
def test_a_customer_is_erased_and_masked_however_deep_a_body_nests(around: int, within: int) -> None:
    customer = '{"customer":' + "[" * within + '"Анна"' + "]" * within + "}"
    body = '{"x":' + "[" * around + customer + "]" * around + "}"
    assert "Анна" not in erase_body(body.encode()).decode()
    assert "Анна" not in mask_text(body)


def test_an_erased_body_keeps_goods_sums_and_shape() -> None:
    body = orjson.dumps({"event_type": "order.created", "payload": PAYLOAD})
    assert orjson.loads(erase_body(body)) == {"event_type": "order.created", "payload": BLANK}
    assert erase_body(b'{"payload": {"customer": ') == b""
    assert erase_body(erase_body(body)) == erase_body(body)
    assert erase_body(b"\xef\xbb\xbf" + body) == erase_body(body)


@pytest.mark.parametrize("written", [b'"half \\ud83d"', b'"one\ntwo"', b"1e999", b"9" * 400])
def test_an_erased_order_is_still_one_whatever_its_reader_took(written: bytes) -> None:
    body = orjson.dumps({"event_type": "order.created", "payload": PAYLOAD}).replace(b'"17"', written)
    erased = json.loads(erase_body(body), strict=False)
    assert (erased["payload"]["customer"], erased["payload"]["positions"]) == (BLANK["customer"], GOODS)
    assert erase_body(erase_body(body)) == erase_body(body)


@pytest.mark.parametrize(
    "fields",
    [
        {"customerName": "Анна"},
        {"Customer-Phone": "89161234567"},
        {"recipient": "Анна"},
        {"delivery": {"street": "Тверская", "apartment": 7}},
        {"contacts": [{"phones": [{"number": "89161234567"}]}]},
        {"shippingAddress": {"line1": "Тверская 1", "state": "Москва"}},
        {"телефон": "89161234567"},
        {"address_city": "Москва", "address_text": "Тверская 7", "addressValue": "Тверская"},
        {
            "delivery_city": "Москва",
            "delivery_full": "Тверская 7",
            "shippingLine": "Тверская",
            "deliveryRaw": "Тверская",
        },
        {"cancellation": {"slug": "other", "description": "Анна не открыла"}},
        {"x-forwarded-for": "Анна, 9161234567", "X-Real-IP": "Москва", "CF-Connecting-IP": "Тверская"},
    ],
)
def test_a_customer_is_known_under_every_name_that_the_reader_knows(fields: dict[str, Any]) -> None:
    shown = mask_text(orjson.dumps({"payload": fields}).decode())
    for secret in ("Анна", "9161234567", "Тверская", "Москва", "7}"):
        assert secret not in shown


@pytest.mark.parametrize("key", ["replacementPolicy", "shipmentMethod", "x-note", "wer"])
def test_a_customers_names_and_phones_go_out_of_every_text_of_a_body(key: str) -> None:
    person = {"firstName": "Анна", "lastName": "Вознесенская", "secondPhone": "89167654321", "phone": "+79161234567"}
    said = "Спросить Анну Вознесенскую, +7 916 765-43-21 или 8(916)7654321, anna@example.ru"
    goods = [{"id": "anna-1", "name": "Торт «Анна»"}]
    payload = {"originalOrderId": "Анна-1", "customer": person, key: said, "x": {"y": [said]}, "positions": goods}
    body = orjson.dumps({"event_type": "order.created", "payload": {**payload, "phone2": "89167654321"}})
    left = orjson.loads(erase_body(body))["payload"]
    for text in (left[key], left["x"]["y"][0], orjson.loads(mask_text(body.decode()))["payload"][key]):
        assert text == "Спросить А*** В***, [masked] или [masked], [masked]"
    assert (left["originalOrderId"], left["positions"], left["phone2"]) == ("Анна-1", goods, None)
    assert set(left["customer"].values()) == {None}
    assert erase_body(orjson.dumps(left)) == orjson.dumps(left)


def test_a_description_of_goods_is_nobodys() -> None:
    goods = {"positions": [{"id": "milk", "description": "Молоко"}], "cancellation": {"slug": "other"}}
    assert orjson.loads(mask_text(orjson.dumps(goods).decode())) == goods


def test_viewers_see_a_body_with_the_customer_masked_and_no_text_with_a_phone() -> None:
    shown = mask_text(orjson.dumps({**PAYLOAD, "note_to_shop": "мой номер 89161234567"}).decode())
    assert "Молоко" in shown
    for secret in ("Анн", "916", "4567", "example.ru", "Тверская"):
        assert secret not in shown
    assert mask_text("name=Анна") == "[masked]"


def message(**more: Any) -> bytes:
    return orjson.dumps({"specversion": "1.0", "id": "e", "type": "t", "subject": "N1", **more})


def test_the_body_that_a_message_carries_is_erased_and_its_headers_go() -> None:
    carried = base64.b64encode(orjson.dumps({"payload": PAYLOAD})).decode()
    erased = orjson.loads(erase_message(message(data_base64=carried, requestheaders='{"X-Real-IP": "1.2.3.4"}')))
    assert orjson.loads(base64.b64decode(erased.pop("data_base64"))) == {"payload": BLANK}
    assert erased == {"specversion": "1.0", "id": "e", "type": "t", "subject": "N1"}
    assert orjson.loads(erase_message(message(data={"order": PAYLOAD})))["data"] == {"order": BLANK}
    assert erase_message(b"\xff") == erase_message(b"[1]") == b""
    assert orjson.loads(erase_message(message(data_base64="???")))["data_base64"] == ""


def test_what_people_wrote_in_a_message_goes_and_the_message_still_fits_its_type() -> None:
    problem = ProblemRaisedV1(
        kind="k",
        fingerprint="f",
        severity="critical",
        summary="Анна",
        details={"why": "Анна"},
        service="s",
        occurred_at=datetime.now(UTC),
    )
    erased = orjson.loads(erase_message(message(why="Анна просила", data=problem.model_dump(mode="json"))))
    assert "Анна" not in str(erased)
    assert ProblemRaisedV1.model_validate(erased["data"]).fingerprint == "f"


def test_viewers_see_neither_the_carried_bytes_nor_what_is_no_message() -> None:
    shown = mask_message(orjson.loads(message(data_base64="aGk=", data={"customer": {"name": "Анна"}})))
    assert (shown["data_base64"], shown["data"]["customer"]["name"], shown["subject"]) == ("[masked]", "[masked]", "N1")
    assert mask_message("Анна 89161234567") == "[masked]"
    assert mask_message(None) is None


@pytest.mark.parametrize("phone", ["۹۱۶ ۱۲۳ ۴۵ ۶۷", "+79161234567", "8 (916) 123-45-67", "916 123 45 67"])
@pytest.mark.parametrize(
    "text",
    ["٨ (٩١٦) ١٢٣-٤٥-٦٧", "＋７９１６１２３４５６７", "+7 916 123-45-67", "тел. 8-916-123-45-67, вечером", 79161234567],
)
def test_a_phone_is_found_however_it_is_spelled(phone: str, text: str | int) -> None:
    assert mentions({"a": [{"b": text}]}, phone=phone)
    assert not mentions({"a": "+7 916 123-45-68"}, phone=phone)


def test_a_message_is_found_by_what_its_carried_body_holds() -> None:
    carried = base64.b64encode(orjson.dumps({"payload": PAYLOAD})).decode()
    assert message_mentions(message(data_base64=carried), email="Anna@Example.ru")
    assert message_mentions(b"anna@example.ru, cut off", email="anna@example.ru")
    assert not message_mentions(message(data_base64=carried), email="hanna@example.ru")
