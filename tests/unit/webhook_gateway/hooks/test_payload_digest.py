"""One digest for every spelling of one payload, and different digests for different payloads."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_gateway.hooks.reading import DEEPEST, NUMERIC, TEXTUAL, TooDeep, digest, number_text

PAYLOAD = {
    "originalOrderId": "H123",
    "storeID": "17",
    "comment": "007",
    "positions": [{"id": "1", "quantity": 2, "price": "85.00", "weight": "0.5"}],
    "total": {"totalPrice": "170.00"},
    "extra": {"flag": True, "none": None, "ratio": 1.5},
}

keys = st.text(alphabet="abcxyz", min_size=1, max_size=4)
leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
payloads = st.dictionaries(keys, trees, max_size=5)


@settings(deadline=None)
@given(payloads, st.randoms(use_true_random=False), st.sampled_from([None, 1, 4]))
def test_order_of_keys_and_spacing_do_not_matter(payload: dict[str, Any], random: Any, indent: int | None) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = list(value.items())
            random.shuffle(items)
            return {key: shuffled(item) for key, item in items}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    again = orjson.loads(json.dumps(shuffled(payload), indent=indent))
    assert digest(again) == digest(orjson.loads(orjson.dumps(payload)))


@settings(deadline=None)
@given(st.sampled_from(sorted(NUMERIC)), st.decimals(-(10**9), 10**9, places=2), st.integers(0, 3))
def test_a_number_field_has_one_digest_however_it_is_spelled(name: str, value: Decimal, zeros: int) -> None:
    text = f"{value:f}" + "0" * zeros
    spellings: list[Any] = [text, float(value), f" {text} ", text.replace(".", ",")]
    if value == value.to_integral_value():
        spellings += [int(value), str(int(value)), f"{int(value)}e0"]
    assert {digest({"positions": [{name: spelling}]}) for spelling in spellings} == {
        digest({"positions": [{name: text}]})
    }


@settings(deadline=None)
@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_a_json_number_has_one_digest_as_integer_and_as_float(value: int) -> None:
    assert digest({"unknown": [value, {"deep": float(value)}]}) == digest({"unknown": [float(value), {"deep": value}]})


@pytest.mark.parametrize("name", sorted(TEXTUAL))
def test_an_id_may_come_as_a_number(name: str) -> None:
    assert digest({name: 17}) == digest({name: "17"}) == digest({name: 17.0})


@pytest.mark.parametrize(
    "change",
    [
        {"comment": "7"},
        {"comment": 7},
        {"storeID": "18"},
        {"positions": [{"id": "1", "quantity": 3, "price": "85.00", "weight": "0.5"}]},
        {"positions": [{"id": "1", "quantity": 2, "price": "85.01", "weight": "0.5"}]},
        {"positions": []},
        {"extra": {"flag": False, "none": None, "ratio": 1.5}},
        {"extra": {"flag": True, "ratio": 1.5}},
    ],
)
def test_a_real_difference_shows(change: dict[str, Any]) -> None:
    assert digest({**PAYLOAD, **change}) != digest(PAYLOAD)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("85.00", "85"),
        (85.0, "85"),
        (85, "85"),
        ("0.50", "0.5"),
        ("-0", "0"),
        (-0.0, "0"),
        ("+7", "7"),
        ("1e2", "100"),
        ("0,5", "0.5"),
        (1e22, "10000000000000000000000"),
        ("1e400", None),
        ("nan", None),
        ("Infinity", None),
        ("", None),
        ("a", None),
        ("9" * 65, None),
        (True, None),
        (None, None),
        ([], None),
    ],
)
def test_numbers_have_one_spelling(value: object, expected: str | None) -> None:
    assert number_text(value) == expected


def test_what_nests_too_deep_is_refused_before_the_stack_ends() -> None:
    payload: dict[str, Any] = {}
    for _ in range(900):
        payload = {"a": [payload]}
    with pytest.raises(TooDeep):
        digest(payload)


def test_the_deepest_allowed_payload_has_a_digest() -> None:
    payload: dict[str, Any] = {"a": 1}
    for _ in range(DEEPEST):
        payload = {"a": payload}
    assert len(digest(payload)) == 64


@pytest.mark.parametrize(
    "other", [{"flag": 1}, {"flag": True, "none": None}, {"flag": True, "none": None, "ratio": "1.5"}]
)
def test_unknown_fields_are_part_of_the_digest_with_their_types(other: dict[str, Any]) -> None:
    assert digest({**PAYLOAD, "extra": other}) != digest(PAYLOAD)
