"""Payloads of orders as sources really spell them: a Hypothesis strategy over the kinds of values that were misread before."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NUMBERS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        ["85.00", "85,5", "1 299,00", "1\u00a0299", "1,299", "1,299.00", "1.299,00", "-1", "-5", "0", "", " ", "1e3", "1e300", "NaN",
         "100000", "123456789", "99999999.99", "999999999999999", "0.000001", "007", "dear", "85 ₽", "٣", True, None, [],
         {}, -83, 10**20, 0.5, 2]
    ),
    st.integers(-3, 10**16),
    st.floats(),
    st.decimals(0, 10**6, places=2).map(str),
)  # fmt: skip
CURRENCIES: st.SearchStrategy[Any] = st.sampled_from(
    ["RUB", "RUR", "rub", "руб.", "руб", 643, "810", "HKD", "hkd", "JPY", "KWD", "KZT", "CLF", "тг", "$", "XXX", "", None, True, [], 7]
)  # fmt: skip
IDS: st.SearchStrategy[Any] = st.sampled_from(
    ["milk", "milk", "tv", " milk ", "", " ", "a\x00b", 5, 5.0, 1.5, True, None, [], "x" * 256, "ж"]
)
POSITIONS: st.SearchStrategy[Any] = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"id": IDS},
            optional=dict.fromkeys(
                (
                    "quantity",
                    "originalQuantity",
                    "price",
                    "discountPrice",
                    "totalPrice",
                    "totalDiscountPrice",
                    "weight",
                ),
                NUMBERS,
            ),
        ),
        st.sampled_from([None, "milk", 7, [], {}]),
    ),
    max_size=4,
)
PEOPLE: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([None, "", "Анна", [], 7, True]),
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["Анна", "", 7, {}]),
            "phone": st.sampled_from(["8 (912) 345-67-89", 79123456789, "нет", [], None]),
            "email": st.sampled_from(["a@b.ru", "", {}]),
        },
    ),
)
PLACES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([None, "", "Москва, Ленина, 1", [], 7]),
    st.fixed_dictionaries(
        {},
        optional={
            "full_address": st.sampled_from(["Москва, Ленина, 1", "", None]),
            "city": st.sampled_from(["Москва", {"name": "Москва"}, []]),
            "street": st.just("Ленина"),
            "floor": st.sampled_from([-1, "цокольный", None]),
        },
    ),
)
WINDOWS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([None, "", "утром", "2026-11-21T10:00:00+03:00/2026-11-21T12:00:00+03:00", 7, []]),
    st.fixed_dictionaries(
        {},
        optional={
            "from": st.sampled_from(["2026-11-21T10:00:00Z", "10:00", 1795244400, None, []]),
            "to": st.just("12:00"),
        },
    ),
)


def payloads() -> st.SearchStrategy[dict[str, Any]]:
    """Payloads with any of these, and with positions missing, empty, null or something else."""
    return st.fixed_dictionaries(
        {},
        optional={
            "positions": st.one_of(POSITIONS, POSITIONS, st.sampled_from([None, [], {}, "x"])),
            "currency": CURRENCIES,
            "total": st.one_of(
                st.fixed_dictionaries({}, optional={"totalPrice": NUMBERS, "discountTotalPrice": NUMBERS}), st.sampled_from([None, [], "x"])
            ),
            "customer": PEOPLE,
            "address": PLACES,
            "delivery_window": WINDOWS,
            "comment": st.sampled_from(["", "АЛЛЕРГИЯ НА ОРЕХИ", "\x00", 7, [], None]),
            "storeID": st.sampled_from(["17", 17, 17.0, None, {}, True]),
            "payment": st.sampled_from([{"method": "card"}, {"id": 7}, None, [], "card"]),
        },
    )  # fmt: skip
