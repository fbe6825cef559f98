"""What is read of a refused order to get its customer back, and when two baskets are the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from webhook_gateway.website.basket import Rescue, basket_state, rescue_from, same_goods

ORDER: dict[str, Any] = {
    "positions": [{"id": "1", "quantity": "2", "price": 85}],
    "customer": {"name": "Анна", "phone": "+7 (999) 000-11-22", "email": "A@example.org"},
    "address": {"full_address": "Москва, Тверская 1"},
}


def read(**changes: Any) -> Rescue:
    """What is read of an order with these changes."""
    return rescue_from(json.dumps({**ORDER, **changes}).encode())


def test_customer_address_and_basket_are_rescued_from_a_whole_body() -> None:
    said = read()
    assert said == Rescue(
        customer={"name": "Анна", "phone": "+79990001122", "email": "A@example.org"},
        address="Москва, Тверская 1",
        basket=[{"id": "1", "quantity": "2", "price": "85"}],
    )
    assert (said.phone, said.email) == ("+79990001122", "a@example.org")


def test_a_structured_address_is_read_with_its_cellar_floor() -> None:
    address = read(address={"city": "Москва", "street": "Тверская", "house": "1", "floor": -1}).address or ""
    assert [part for part in ("Москва", "Тверская", "1", "этаж -1") if part not in address] == []


def test_a_customer_whose_fields_stand_outside_of_the_customer_is_found() -> None:
    assert read(customer=None, phone="89990001122", email="a@example.org", customerName="Анна").customer == {
        "name": "Анна",
        "phone": "+79990001122",
        "email": "a@example.org",
    }


@pytest.mark.parametrize(
    ("body", "rescue"),
    [
        (b"nonsense", Rescue(customer={}, address=None, basket=[])),
        (b"[]", Rescue(customer={}, address=None, basket=[])),
        (
            '{"positions": [{"name": "Мёд"}], "customer": {"name": "Ан\\u043da", "phone": "+7"}, "address": {"full_address": "Тв'.encode(),
            Rescue(customer={"name": "Аннa", "phone": "+7"}, address=None, basket=[]),
        ),
        (
            b'\xef\xbb\xbf{"customer": {"phone": 7}, "address": "x", "positions": ["a", {"b": {}, "c": null}]}',
            Rescue(customer={"phone": "7"}, address="x", basket=["a", {"c": "None"}]),
        ),
    ],
)
def test_what_can_be_read_of_a_broken_body_is_rescued(body: bytes, rescue: Rescue) -> None:
    assert rescue_from(body) == rescue


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ([{"id": 1, "quantity": "2.000", "price": "99"}], True),
        ([{"id": "1", "originalQuantity": 2}], True),
        ([{"id": "1", "quantity": "много"}], True),
        ([{"id": "1", "quantity": 3}], False),
        ([{"id": "2", "quantity": 2}], False),
        ([{"id": "1", "quantity": 2}, {"id": "1", "quantity": 2}], False),
        ([], False),
    ],
)
def test_baskets_are_the_same_if_goods_and_readable_quantities_are(other: list[Any], same: bool) -> None:
    basket = read().basket
    assert (same_goods(basket, other), same_goods(other, basket)) == (same, same)


def test_the_state_of_a_basket_names_goods_and_prices_and_no_person() -> None:
    positions = [{"id": "1", "quantity": "2", "price": 85, "comment": "для Анны, 79990001122", "gift": {"to": "Анна"}}]
    body = json.dumps({**ORDER, "positions": positions}).encode()
    assert json.loads(basket_state(body)) == [{"id": "1", "quantity": "2", "price": "85"}]
    assert basket_state(b"nonsense") == "[]"
