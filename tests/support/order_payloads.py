"""Payloads of orders as sources really spell them: the kinds of values that were misread before, by the thousand and for Hypothesis."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st

GOOD_NUMBERS: list[Any] = [
    "85.00",
    "85,5",
    "1 299,00",
    "1\u00a0299",
    "1,299.00",
    "1.299,00",
    "0",
    "1e3",
    "100000",
    "007",
    2,
    0.5,
    85,
    "2",
]
NUMBERS: list[Any] = GOOD_NUMBERS * 3 + [
    "1,299", "-1", "-5", "", " ", "1e300", "NaN", "99999999999", "123456789", "99999999.99", "999999999999999",
    "1.299", "85.000", "85.0000", "1234.500", "33.3333", 1.299, 255.29999999999998, "0.000001", "dear", "85 ₽", "٣",
    True, None, [], {}, -83, 10**18, 1e300, -0.0,
]  # fmt: skip
CURRENCIES: list[Any] = [
    "RUB", "RUR", "rub", "руб.", "руб", 643, "810", "HKD", "hkd", "JPY", "KWD", "KZT", "CLF", "тг", "$", "XXX", "", None, True, [], 7,
]  # fmt: skip
IDS: list[Any] = ["milk", "milk", "tv", " milk ", "ж", 5, 5.0, "", " ", "a\x00b", 1.5, True, None, [], "x" * 256]
LONG = "".join(chr(97 + place * place * 7919 % 26) for place in range(9000))
"""A text that no index holds, and that does not shrink much."""
PEOPLE: list[Any] = [
    None, "", "Анна", [], 7, True, {}, {"name": "Анна", "phone": "8 (912) 345-67-89"}, {"phone": 79123456789}, {"phone": "нет"},
    {"name": {"first": "Анна"}, "phone": ["89123456789", 7], "email": [None]},
    {"name": {}, "email": "a@b.ru"}, {"name": 7, "phone": []}, {"name": "ж" * 9000, "phone": "7" * 4000, "email": LONG + "@x.ru"},
]  # fmt: skip
PLACES: list[Any] = [
    None, "", "Москва, Ленина, 1", [], 7, {}, {"full_address": "Москва, Ленина, 1"}, {"city": "Москва", "street": "Ленина", "floor": -1},
    {"city": {"name": "Москва"}, "floor": "цокольный"}, {"full_address": None, "city": []},
    ["Москва", "Ленина, 1"], [{"city": "Москва"}], [{}, None],
    {"address": {"street": ["Ленина", {}]}}, {"lat": 55.75, "lon": "37.61", "geo": 1},
]  # fmt: skip
WINDOWS: list[Any] = [
    None, "", "утром", "2026-11-21T10:00:00+03:00/2026-11-21T12:00:00+03:00", 7, [], {}, {"from": "2026-11-21T10:00:00Z", "to": "12:00"},
    {"from": 1795244400}, {"from": []}, ["10:00", "12:00"], [{"from": "10:00"}], {"day": "2026-11-21", "slot": {"to": "12:00"}},
]  # fmt: skip
TOTALS: list[Any] = [None, [], "x", {}]
_NUMBER_FIELDS = (
    "quantity",
    "originalQuantity",
    "price",
    "discountPrice",
    "totalPrice",
    "totalDiscountPrice",
    "weight",
)


def random_payload(chance: random.Random) -> dict[str, Any]:
    """Make a payload; about half of those that name their positions can be read."""
    payload: dict[str, Any] = {"positions": _positions(chance)}
    if chance.random() < 0.1:
        payload["positions"] = chance.choice([None, [], {}, "x", ["milk"]])
    for name, values, share in (
        ("currency", CURRENCIES, 0.3),
        ("customer", PEOPLE, 0.5),
        ("address", PLACES, 0.5),
        ("delivery_window", WINDOWS, 0.3),
        ("comment", ["", "АЛЛЕРГИЯ НА ОРЕХИ", "\x00", 7, [], None], 0.3),
        ("storeID", ["17", 17, 17.0, None, {}, True, LONG], 0.5),
        ("payment", [{"method": "card"}, {"id": 7}, None, [], "card", {"id": LONG, "method": LONG}], 0.3),
        (
            "total",
            [*TOTALS, {"totalPrice": chance.choice(NUMBERS), "discountTotalPrice": chance.choice(GOOD_NUMBERS)}],
            0.3,
        ),
    ):
        if chance.random() < share:
            payload[name] = chance.choice(values)
    return payload


def _positions(chance: random.Random) -> list[dict[str, Any]]:
    odd = chance.random() < 0.5
    positions = []
    for _ in range(chance.randint(1, 3)):
        position: dict[str, Any] = {"id": chance.choice(IDS if odd else IDS[:7])}
        for name in _NUMBER_FIELDS:
            if chance.random() < (0.9 if name == "quantity" else 0.4):
                position[name] = chance.choice(NUMBERS if odd else GOOD_NUMBERS)
        positions.append(position)
    return positions


def payloads() -> st.SearchStrategy[dict[str, Any]]:
    """The same for Hypothesis."""
    return st.randoms(use_true_random=False).map(random_payload)
