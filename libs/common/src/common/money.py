"""Money: integer minor units plus an ISO 4217 currency, and the way to decimal strings; ``common.reading`` reads them."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from common.currencies import DECIMAL_DIGITS


def exponent(currency: str) -> int:
    """Return how many decimal digits the currency has (ISO 4217). Unknown currencies raise ``ValueError``."""
    try:
        return DECIMAL_DIGITS[currency]
    except KeyError:
        raise ValueError(f"unknown currency {currency!r}") from None


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
