"""Order numbers, ids and money."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from common.ids import derived_id, new_id, order_number
from common.money import to_decimal_string
from common.reading.values import read_sum


def test_the_number_of_an_order_never_changes_from_release_to_release() -> None:
    """A changed function would give repeats of old orders new numbers: these are pinned for ever."""
    assert [order_number("sbermarket", "H123"), order_number("website", "H123"), order_number("сбермаркет", "Ж-1")] == [
        "97F9RBD7AXXXJDX4",  # the three X are digits of a number like any other, nothing to be filled in
        "N35QB5388BWAKXQB",
        "Q5BPMRGPZE787N8G",
    ]


@given(st.text(), st.text())
def test_a_number_is_sixteen_characters_that_can_be_read_out(source: str, external_id: str) -> None:
    """Crockford's base 32 has no I, L, O, U."""
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{16}", order_number(source, external_id))


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_two_orders_share_a_number_only_if_they_are_the_same(a: str, b: str, c: str, d: str) -> None:
    """Moving a character from the source to the id makes another order."""
    assert (order_number(a, b) == order_number(c, d)) == ((a, b) == (c, d))


@given(st.lists(st.text(max_size=6), max_size=4), st.lists(st.text(max_size=6), max_size=4))
def test_derived_ids_differ_unless_all_parts_are_equal(left: list[str], right: list[str]) -> None:
    """Parts cannot run into each other."""
    assert (derived_id(*left) == derived_id(*right)) == (left == right)


def test_new_ids_are_version_seven_and_never_repeat() -> None:
    """A thousand ids, all different, all of the RFC 9562 form."""
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", item) for item in ids
    )


@given(st.integers(min_value=0, max_value=10**13), st.sampled_from(["RUB", "JPY", "KWD"]))
def test_money_survives_the_way_to_a_decimal_string_and_back(minor: int, currency: str) -> None:
    """Nothing is lost or gained."""
    assert read_sum(to_decimal_string(minor, currency), currency) == minor
