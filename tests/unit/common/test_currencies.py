"""A currency is recognised however people write it, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.currencies import DECIMAL_DIGITS, currency_code
from common.money import exponent


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("RUB", "RUB"),
        ("rur", "RUB"),
        ("RUR", "RUB"),
        ("810", "RUB"),
        (810, "RUB"),
        ("643", "RUB"),
        (643, "RUB"),
        ("руб.", "RUB"),
        ("руб", "RUB"),
        (" Рублей ", "RUB"),
        ("р.", "RUB"),
        ("₽", "RUB"),
        ("HKD", "HKD"),
        ("hkd", "HKD"),
        ("008", "ALL"),
        (8, "ALL"),
        ("тг", "KZT"),
        ("€", "EUR"),
    ],
)
def test_a_currency_is_read_by_code_number_word_or_sign(written: object, code: str) -> None:
    assert currency_code(written) == code


@pytest.mark.parametrize(
    "written", ["", "  ", "$", "¥", "XXX", "XAU", "RU", "RUBB", "000", "999", -1, 1000, True, 1.0, None, [], "R" * 99]
)
def test_what_is_no_currency_or_could_be_several_is_none(written: object) -> None:
    assert currency_code(written) is None


@given(st.sampled_from(sorted(DECIMAL_DIGITS)), st.randoms(use_true_random=False))
def test_every_code_is_read_in_any_case(code: str, random: object) -> None:
    written = "".join(letter.lower() if random.random() < 0.5 else letter for letter in code)  # type: ignore[attr-defined]  # Hypothesis' own type has no stub
    assert (currency_code(f" {written} "), exponent(code)) == (code, DECIMAL_DIGITS[code])


def test_currencies_have_the_digits_of_iso_4217() -> None:
    digits = {code: DECIMAL_DIGITS[code] for code in ("RUB", "JPY", "KWD", "CLF", "HUF", "ISK", "TND", "BYN")}
    assert digits == {"RUB": 2, "JPY": 0, "KWD": 3, "CLF": 4, "HUF": 2, "ISK": 0, "TND": 3, "BYN": 2}
    assert len(DECIMAL_DIGITS) == 170
