"""A change of an order says in both languages what is added, removed and changed: goods, sums, and what a customer asks for."""

from __future__ import annotations

from typing import Any

import pytest

from console.client.money import amount_told, difference_told

MILK = {"id": "a", "name": "Milk", "quantity": "2", "price": 8500, "weight": None}
BREAD = {"id": "b", "name": None, "quantity": "3", "price": None}
CLOSED = "The change came after the order had been closed; it was not applied, a person was called"
DIFFERENCE: dict[str, Any] = {
    "added": [BREAD],
    "removed": [MILK],
    "changed": [{"before": MILK, "after": {**MILK, "quantity": "1", "price": 9000}}],
    "fields": [
        ["total_price", "17000", None],
        ["customer.phone", "***67", "***67"],
        ["comment", None, "у двери"],
    ],
}
EFFECT = {"summary": CLOSED, "currency": "RUB", "difference": DIFFERENCE}
ENGLISH = [
    "added: b: 3",
    "removed: Milk: 2 × 85.00 RUB",
    "changed: Milk: quantity 2 → 1, price 85.00 RUB → 90.00 RUB",
    "total price: 170.00 RUB → –",
    "customer phone: changed, ***67",
    "comment: – → у двери",
]


def test_each_good_and_each_field_has_a_line_after_what_becomes_of_it() -> None:
    assert difference_told({"id": "7-5", "effect": EFFECT}) == [CLOSED, *ENGLISH]


def test_it_is_said_in_russian() -> None:
    assert difference_told({"effect": EFFECT}, language="ru") == [
        "Изменение пришло после закрытия заказа; оно не применено, позван человек",
        "добавлено: b: 3",
        "убрано: Milk: 2 × 85,00\u00a0₽",
        "изменено: Milk: количество 2 → 1, цена 85,00\u00a0₽ → 90,00\u00a0₽",
        "всего: 170,00\u00a0₽ → –",
        "телефон покупателя: изменено, ***67",
        "комментарий: – → у двери",
    ]


def test_a_correction_by_hand_says_it_the_same_way() -> None:
    assert difference_told({"number": "N", "currency": "RUB", "difference": DIFFERENCE}) == ENGLISH


@pytest.mark.parametrize(
    "shown", [{"effect": None}, {}, {"difference": 3}, {"difference": {"id": 1}, "currency": "RUB"}]
)
def test_what_changes_no_order_says_nothing_of_one(shown: dict[str, Any]) -> None:
    assert difference_told(shown) == []
    assert amount_told(shown) == {name: held for name, held in shown.items() if name != "effect"}


def test_what_is_said_line_by_line_is_not_said_again_as_data() -> None:
    assert amount_told({"id": "7-5", "effect": EFFECT}) == {"id": "7-5"}
    assert amount_told({"number": "N", "difference": DIFFERENCE}) == {"number": "N"}
