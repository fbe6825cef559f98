"""Money: integer minor units plus an ISO 4217 currency, and the way from and to a marketplace's decimal strings."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Self

from common.currencies import DECIMAL_DIGITS

_LIMIT = 10**15  # minor units; far above any order, far below what bigint holds even when a store's sums are added up


def exponent(currency: str) -> int:
    """Return how many decimal digits the currency has (ISO 4217). Unknown currencies raise ``ValueError``."""
    try:
        return DECIMAL_DIGITS[currency]
    except KeyError:
        raise ValueError(f"unknown currency {currency!r}") from None


def to_minor(value: str | float | Decimal, currency: str) -> int:
    """Turn ``"85.00"`` into ``8500``.

    Sources send numbers as strings and strings as numbers. A value with more digits than the currency has is
    rounded half up, once. Anything that is not a finite number of a sane size raises ``ValueError``.
    """
    try:
        number = Decimal(str(value).strip().replace(",", "."))
    except InvalidOperation:
        raise ValueError("not a number") from None
    if not number.is_finite():
        raise ValueError("not a finite number")
    if abs(number) > _LIMIT:
        raise ValueError("too large")
    digits = exponent(currency)
    minor = int(number.scaleb(digits).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    if abs(minor) > _LIMIT:
        raise ValueError("too large")
    return minor


def to_decimal_string(minor: int, currency: str) -> str:
    """Turn ``8500`` into ``"85.00"``, the way a marketplace writes sums."""
    digits = exponent(currency)
    return f"{Decimal(minor).scaleb(-digits):.{digits}f}"


def worth_of_part(
    paid: int, *, quantity: Decimal, of_quantity: Decimal, taken_quantity: Decimal, taken_amount: int
) -> int:
    """Return what ``quantity`` of the ``of_quantity`` that ``paid`` minor units were paid for is worth when it goes back.

    ``taken_quantity`` went back before, for ``taken_amount``. A part is its share of ``paid``, rounded half up once; whoever takes the last
    gets what is left of ``paid``. So the parts add up to ``paid`` to the last unit, in whatever order they are taken, whichever
    of them fails in between, and when price or quantity of the line changed meanwhile: never more than ``paid``, never below 0.
    """
    rest = max(paid - taken_amount, 0)
    if taken_quantity + quantity >= of_quantity:
        return rest
    return min(int((paid * quantity / of_quantity).quantize(Decimal(1), rounding=ROUND_HALF_UP)), rest)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of one currency. Adding two currencies is an error, never a conversion."""

    amount: int
    currency: str

    def __post_init__(self) -> None:
        exponent(self.currency)

    def __add__(self, other: Self) -> Money:
        self._same_currency(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: Self) -> Money:
        self._same_currency(other)
        return Money(self.amount - other.amount, self.currency)

    def __str__(self) -> str:
        return f"{to_decimal_string(self.amount, self.currency)} {self.currency}"

    def _same_currency(self, other: Money) -> None:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")
