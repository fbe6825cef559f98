"""Customers, addresses and delivery windows are found under the names that shops give them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from common.reading import Address, Contact, Window, phone_key, read_order

FROM = datetime(2026, 11, 21, 7, tzinfo=UTC)
TO = datetime(2026, 11, 21, 9, tzinfo=UTC)


def read(payload: dict[str, Any]) -> tuple[Contact | None, Address | None, Window | None]:
    content = read_order(payload, event="order.paid", currency="RUB")
    return content.customer, content.address, content.delivery_window


@pytest.mark.parametrize(
    ("payload", "contact"),
    [
        (
            {"customer": {"name": "Анна", "phone": "8 (912) 345-67-89", "email": "a@b.ru"}},
            ("Анна", "+79123456789", "a@b.ru"),
        ),
        (
            {"customer": {"firstName": "Анна", "lastName": "Ли", "phone_number": "+7 912 345 67 89"}},
            ("Ли Анна", "+79123456789", None),
        ),
        ({"recipient": {"fullName": "Анна", "phones": [{"number": 79123456789}]}}, ("Анна", "+79123456789", None)),
        ({"customer": {"name": "Анна"}, "contact": {"mobile": "9123456789"}}, ("Анна", "+79123456789", None)),
        ({"phone": "+49 30 901820", "customerName": "Anna"}, ("Anna", "+4930901820", None)),
        ({"customer": {"phone": "нет"}}, (None, "нет", None)),
        ({"customer": {"phone": "8 912 345 67 89 (Анна)"}}, (None, "+79123456789", None)),
        ({"customer": {"phone": "8 912 345 67 89 доб. 12"}}, (None, "8 912 345 67 89 доб. 12", None)),
        ({"customer": "Анна"}, ("Анна", None, None)),
        (
            {"customer": {"phone": ["+79123456789", "+79120000000"]}},
            (None, "+79123456789, +79120000000", None),
        ),
        ({"customer": {"name": {"first": "Анна", "last": "Ли"}, "email": ["a@b.ru"]}}, ("Ли Анна", None, "a@b.ru")),
        (
            {"customer": {"name": "Анна", "phone": None}, "shipping_address": {"name": "Дача", "phone": "89123456789"}},
            ("Анна", "+79123456789", None),
        ),
        (
            {"billing": {"first_name": "Анна", "phone": "89123456789"}, "shipping": {"city": "Москва"}},
            ("Анна", "+79123456789", None),
        ),
        ({"customer": {}}, None),
        ({"first": 1, "last": 2, "billing": {"plan": "year"}}, None),
        ({"name": "the order's"}, None),
    ],
)
def test_a_customer_is_read_wherever_a_shop_puts_it(
    payload: dict[str, Any], contact: tuple[str | None, ...] | None
) -> None:
    customer, _, _ = read(payload)
    assert customer == (None if contact is None else Contact(name=contact[0], phone=contact[1], email=contact[2]))


@pytest.mark.parametrize(
    ("payload", "full"),
    [
        ({"address": {"full_address": "Москва, Ленина, 1"}}, "Москва, Ленина, 1"),
        ({"address": "Москва, Ленина, 1"}, "Москва, Ленина, 1"),
        ({"address": {"city": "Москва", "street": "Ленина", "floor": -1}}, "Москва, Ленина, этаж -1"),
        (
            {"deliveryAddress": {"City": {"name": "Москва"}, "street": "Ленина", "house": 1, "flat": "5", "Подъезд": 2}},
            "Москва, Ленина, д. 1, подъезд 2, кв. 5",
        ),
        ({"address": {"fullAddress": "Москва, Ленина, 1, кв. 5", "flat": "5", "intercom": "5К"}}, "Москва, Ленина, 1, кв. 5, домофон 5К"),
        ({"delivery": {"address": {"text": "Москва"}}}, "Москва"),
        ({"address": ["Москва", "Ленина, 1"]}, "Москва, Ленина, 1"),
        ({"address": [{"city": "Москва", "street": ["Ленина, 1", "кв. 5"]}]}, "Москва, Ленина, 1, кв. 5"),
        ({"address": [{"city": "Москва"}, {"city": "Тула"}]}, None),
        ({"address": {"address": {"city": "Москва", "street": "Ленина"}}}, "Москва, Ленина"),
        ({"address": {"full_address": None, "lat": 55.75, "lon": 37.61}}, "55.75, 37.61"),
        ({"address": {"coordinates": {"latitude": "55.75", "longitude": "37.61"}, "flat": 5}}, "55.75, 37.61, кв. 5"),
        ({"address": {"street": "Ленина", "lat": 55.75, "lon": 37.61}}, "Ленина"),
        ({"address": {"address": "ул. Ленина, 1", "city": "Тула", "entryphone": "5К"}}, "Тула, ул. Ленина, 1, домофон 5К"),
        ({"address": {"value": "г Москва, Ленина, 1", "city": "Москва г"}}, "г Москва, Ленина, 1"),
        ({"customer": {"name": "Анна", "address": {"address_tail": "г. Москва, Ленина, 1"}}}, "г. Москва, Ленина, 1"),
        ({"shipping": {"address_1": "Ленина, 1", "city": "Москва"}}, "Москва, Ленина, 1"),
        ({"delivery_city": "Москва", "delivery_street": "Ленина", "delivery_house": 1}, "Москва, Ленина, д. 1"),
        ({"delivery_comment": "быстрее", "delivery_value": 300, "delivery_state": "new"}, None),
        ({"delivery": {"name": "Курьер", "value": 300}}, None),
        ({"address": {}}, None),
        ({"address": [1]}, None),
    ],
)  # fmt: skip
def test_an_address_in_words_or_in_parts_is_read(payload: dict[str, Any], full: str | None) -> None:
    _, address, _ = read(payload)
    assert (address and address.full) == full


@pytest.mark.parametrize(
    ("payload", "window"),
    [
        (
            {"delivery_window": {"from": "2026-11-21T10:00:00+03:00", "to": "2026-11-21T12:00:00+03:00"}},
            Window(starts=FROM, ends=TO),
        ),
        ({"deliveryInterval": "2026-11-21T07:00:00Z/2026-11-21T09:00:00Z"}, Window(starts=FROM, ends=TO)),
        (
            {"delivery": {"date": "2026-11-21", "timeFrom": "22:00", "timeTo": "02:00"}},
            Window(text="2026-11-21 22:00 – 02:00"),
        ),
        (
            {"delivery_window": {"from": "2026-11-21T10:00:00", "to": "2026-11-21T12:00:00"}},
            Window(text="2026-11-21T10:00:00 – 2026-11-21T12:00:00"),
        ),
        ({"delivery_time": "2026-11-21 10:00"}, Window(text="2026-11-21 10:00")),
        ({"delivery_date": "2026-11-21"}, Window(text="2026-11-21")),
        ({"deliveryDate": "2026-11-21", "delivery": {"timeFrom": "10:00"}}, Window(text="2026-11-21 10:00")),
        ({"deliveryWindow": ["2026-11-21T10:00+03:00", "2026-11-21T12:00+03:00"]}, Window(starts=FROM, ends=TO)),
        ({"delivery_window": [{"from": "10:00", "to": "12:00"}]}, Window(text="10:00 – 12:00")),
        (
            {"timeslot": {"date": "2026-11-21", "interval": {"from": "10:00", "to": "12:00"}}},
            Window(text="2026-11-21 10:00 – 12:00"),
        ),
        ({"delivery": {"name": "Курьер", "value": 300}}, None),
        ({"deliveryTime": "10:00-12:00", "deliveryDate": "2026-11-21"}, Window(text="2026-11-21 10:00-12:00")),
        ({"delivery_time": "как можно скорее"}, Window(text="как можно скорее")),
        ({"deliveryWindow": {"start": "утром"}}, Window(text="утром")),
        ({"delivery_window": None}, None),
        ({"timestamp": "2026-11-21T07:00:00Z"}, None),
    ],
)
def test_a_delivery_window_is_read_as_moments_or_as_words(payload: dict[str, Any], window: Window | None) -> None:
    assert read(payload)[2] == window


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("8-912-345-67-89", "+79123456789"),
        ("+8 912 345 67 89", "+89123456789"),
        ("007 912 345 67 89", "+79123456789"),
        ("02", None),
        ("", None),
        ("+78 912 345 67 89", "+79123456789"),
        ("8 (912) 345-67-89 доб. 12", "+79123456789"),
        ("tel:+7-912-345-67-89;ext=12", "+79123456789"),
        ("8 912 345 67 89 / 8 912 345 67 90", "+79123456789"),
        ("8 912 345 67 89/8 912 345 67 90", "+79123456789"),
        ("8,912,345,67,89", "+79123456789"),
        ("моб. 8 912 345 67 89, спросить Анну, 2 подъезд", "+79123456789"),
    ],
)
def test_every_spelling_of_a_phone_has_one_key(written: str, key: str | None) -> None:
    assert phone_key(written) == key


@pytest.mark.parametrize(
    ("contact", "reachable"),
    [
        (Contact(phone="+79123456789"), True),
        (Contact(phone="8 912 345 67 89 / 8 912 345 67 90"), True),
        (Contact(phone="8,912,345,67,89"), True),
        (Contact(phone="1" * 30), False),
        (Contact(email="a@b.ru"), True),
        (Contact(name="Анна"), False),
        (Contact(phone="нет", email="нет"), False),
        (Contact(email="@b.ru"), False),
    ],
)
def test_a_customer_is_reachable_by_phone_or_mail(contact: Contact, reachable: bool) -> None:
    assert contact.reachable is reachable


def test_what_a_later_hook_leaves_out_of_a_contact_stays() -> None:
    first = Contact(name="Анна", phone="+79123456789")
    assert first.updated(Contact(email="a@b.ru")) == Contact(name="Анна", phone="+79123456789", email="a@b.ru")


def test_a_floor_alone_says_more_of_the_same_address_and_a_street_makes_another() -> None:
    first = Address(text="Москва, Ленина, 1", parts=(("flat", "5"),))
    assert first.updated(Address(parts=(("floor", "2"),))).full == "Москва, Ленина, 1, этаж 2, кв. 5"
    assert first.updated(Address(parts=(("street", "Мира"),))).full == "Мира"
