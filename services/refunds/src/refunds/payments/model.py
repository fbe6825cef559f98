"""Does a refund fit what was captured?"""

from __future__ import annotations

from dataclasses import dataclass

from refunds.providers.model import PaymentInfo
from refunds.refunds.model import Payment


@dataclass(frozen=True, slots=True)
class Fits:
    """The refund is of this sum, and the payment has it."""

    amount: int


@dataclass(frozen=True, slots=True)
class DoesNotFit:
    """It cannot be made. ``code`` is stable, callers rely on it."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class NotKnownYet:
    """What was captured is not known yet; the gateway has to be asked first."""


def fit(payment: Payment, *, amount: int | None, currency: str) -> Fits | DoesNotFit | NotKnownYet:
    """Decide whether a refund of ``amount`` (None: all that is left) can be taken from the payment as it is now."""
    if payment.captured is None:
        return NotKnownYet()
    if payment.currency != currency:
        return DoesNotFit("currency_mismatch", f"the payment is in {payment.currency}, the refund in {currency}")
    if payment.captured == 0:
        return DoesNotFit("nothing_captured", "nothing was captured: the payment is to be cancelled, not refunded")
    if payment.left <= 0:
        return DoesNotFit("nothing_left", f"all of the captured {payment.captured} is refunded or on its way")
    if amount is None:
        return Fits(payment.left)
    if amount > payment.left:
        return DoesNotFit(
            "exceeds_captured", f"{amount} is more than the {payment.left} left of the captured {payment.captured}"
        )
    return Fits(amount)


def is_cancellation(info: PaymentInfo, *, amount: int | None, currency: str) -> bool:
    """Tell whether the wish is for all of a payment of which nothing was captured: it is cancelled instead of refunded.

    A wish for a part of it is not: cancelling would take everything from the shop.
    """
    if info.captured > 0 or info.currency != currency:
        return False
    return amount is None or (info.held is not None and amount == info.held)
