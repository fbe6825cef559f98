"""Numbers are read in every spelling that can mean one thing only; what could mean two is refused, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.currencies import DECIMAL_DIGITS
from common.reading.values import LARGEST_SUM, Unfit, read_quantity, read_sum

NO_NUMBERS: list[object] = [
    "dear", "NaN", "Infinity", "12 34", "1,,2", "1,299,00", "12,99,9", "٣", "85 ₽", "0x10", "1_000", "9" * 65, "", " ",
    True, None, [], {}, float("nan"), float("inf"),
]  # fmt: skip
CODES = {"not_a_number", "ambiguous_number", "negative", "too_large"}


def outcome_of(read: Callable[[], bool]) -> bool | str:
    try:
        return read()
    except Unfit as refused:
        return refused.code


@pytest.mark.parametrize(
    ("written", "minor"),
    [
        ("85.00", 8500),
        (" 85 ", 8500),
        ("\ufeff85.00\u200b", 8500),
        ("\u202d1 299,00\u202c", 129_900),
        (85, 8500),
        (85.1, 8510),
        ("85,5", 8550),
        ("80,00", 8000),
        ("1 299,00", 129_900),
        ("1\u00a0299", 129_900),
        ("1\u2009299.5", 129_950),
        ("1'299.00", 129_900),
        ("1,299.00", 129_900),
        ("1.299,00", 129_900),
        ("1,234,567", 123_456_700),
        ("1.234.567", 123_456_700),
        ("1e3", 100_000),
        ("+5", 500),
        (".5", 50),
        ("5.", 500),
        ("0.050", 5),
        ("85.0000", 8500),
        ("1234.500", 123_450),
        ("1 299.000", 129_900),
        ("1,299.000", 129_900),
        (1.5, 150),
        (85.1 * 3, 25_530),
        ("255.29999999999998", 25_530),
        (0.1 + 0.2, 30),
        ("-0", 0),
        ("0085", 8500),
        (1.299, 130),
        ("0.005", 0),
        ("0.299", 30),
        ("1299.999", 130_000),
        ("1,299.005", 129_900),
        ("33.3333", 3333),
        (16.666666666666668, 1667),
        ("1e-3", 0),
    ],
)
def test_a_sum_is_read_in_any_spelling_with_one_meaning(written: object, minor: int) -> None:
    assert read_sum(written, "RUB") == minor


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("1,299", "ambiguous_number"),
        ("1 299,000", "ambiguous_number"),
        ("1.299", "ambiguous_number"),
        ("85.000", "ambiguous_number"),
        ("-1.299", "ambiguous_number"),
        ("-1", "negative"),
        (-1, "negative"),
        ("−83.00", "negative"),
        ("1" + "0" * 14, "too_large"),
        ("1e300", "too_large"),
        ("1e99", "too_large"),
        (10**40, "too_large"),
        *((value, "not_a_number") for value in NO_NUMBERS),
    ],
)
def test_a_sum_that_is_none_or_two_is_refused(written: object, code: str) -> None:
    with pytest.raises(Unfit) as refused:
        read_sum(written, "RUB")
    assert refused.value.code == code


def test_digits_behind_a_comma_or_point_are_those_of_the_currency() -> None:
    assert (read_sum("1,299", "KWD"), read_sum("1.299", "KWD"), read_sum(1.299, "KWD")) == (1299, 1299, 1299)
    assert (read_sum("1.00", "JPY"), read_sum(1.0, "JPY")) == (1, 1)
    with pytest.raises(Unfit, match="comma"):
        read_sum("1,29", "JPY")
    with pytest.raises(Unfit, match="point may stand"):
        read_sum("1.299", "JPY")
    assert read_sum("1.29", "JPY") == 1


@given(st.decimals(0, 10**9, places=5), st.sampled_from(sorted(DECIMAL_DIGITS)), st.sampled_from([str, float]))
def test_what_a_division_left_is_rounded_to_the_nearest_unit(
    sum_: Decimal, currency: str, kind: Callable[[Decimal], object]
) -> None:
    digits = DECIMAL_DIGITS[currency]
    assert abs(read_sum(kind(sum_), currency) - sum_.scaleb(digits)) <= Decimal("0.5001")


@given(st.integers(1, 999), st.integers(0, 999), st.sampled_from(",."), st.sampled_from(sorted(DECIMAL_DIGITS)))
def test_what_may_be_thousands_is_no_sum_where_the_currency_has_fewer_digits(
    whole: int, group: int, mark: str, currency: str
) -> None:
    digits = DECIMAL_DIGITS[currency]
    read = outcome_of(
        lambda: read_sum(f"{whole}{mark}{group:03d}", currency) == Decimal(whole * 1000 + group).scaleb(digits - 3)
    )
    assert read == (True if digits >= 3 else "ambiguous_number")


@given(
    st.integers(0, LARGEST_SUM), st.sampled_from(sorted(DECIMAL_DIGITS)), st.sampled_from([" ", "\u00a0", "'", ",", ""])
)
def test_every_sum_is_read_back_from_its_grouped_spelling(minor: int, currency: str, separator: str) -> None:
    digits = DECIMAL_DIGITS[currency]
    whole, fraction = divmod(minor, 10**digits)
    grouped = f"{whole:,}".replace(",", separator)
    if digits:
        assert read_sum(f"{grouped}.{fraction:0{digits}d}", currency) == minor
    elif separator != "," or whole < 1000 or whole >= 10**6:
        assert read_sum(grouped, currency) == minor


@given(st.text("0123456789.,-+eE '\u00a0", max_size=20) | st.floats() | st.integers())
def test_any_text_is_a_sane_sum_or_refused_with_a_code(written: object) -> None:
    assert outcome_of(lambda: 0 <= read_sum(written, "RUB") <= LARGEST_SUM) in {True, *CODES}
    assert outcome_of(lambda: 0 <= read_quantity(written) < 10**11) in {True, *CODES}


@pytest.mark.parametrize(
    ("written", "quantity"),
    [("2", 2), (2.5, "2.5"), ("0,5", "0.5"), ("0,250", "0.250"), ("1e-7", "0.000000"), (10**10, 10**10)],
)
def test_a_quantity_has_at_most_six_digits(written: object, quantity: object) -> None:
    assert read_quantity(written) == Decimal(str(quantity))


@pytest.mark.parametrize(
    ("written", "code"),
    [("1,500", "ambiguous_number"), ("-5", "negative"), (10**11, "too_large"), (True, "not_a_number")],
)
def test_a_quantity_that_is_none_or_two_is_refused(written: object, code: str) -> None:
    with pytest.raises(Unfit) as refused:
        read_quantity(written)
    assert refused.value.code == code
