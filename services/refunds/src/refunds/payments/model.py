"""Payments: at which gateway each is, what of it was captured, and whether a refund fits into it. Sums are integer minor units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from common.errors import Conflict
from common.money import to_decimal_string
from refunds.providers.model import PaymentInfo

_FRESH = timedelta(seconds=1)  # many requests of one payment at once ask the gateway once


@dataclass(frozen=True, slots=True)
class GatewayRoutes:
    """By the beginning of the payment's id (the longest that fits), else by the order's source, else the usual one.

    Decided once, when the payment is first heard of; a later setting moves no payment.
    """

    usual: str
    of_payment: Mapping[str, str] = field(default_factory=dict)
    of_source: Mapping[str, str] = field(default_factory=dict)

    def choose(self, payment_id: str, *, source: str | None) -> str:
        """Return the gateway's name."""
        for beginning in sorted(self.of_payment, key=len, reverse=True):
            if payment_id.startswith(beginning):
                return self.of_payment[beginning]
        return self.of_source.get(source or "", self.usual)

    @property
    def names(self) -> frozenset[str]:
        """Every gateway that can be chosen."""
        return frozenset({self.usual, *self.of_payment.values(), *self.of_source.values()})


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment at a gateway. ``captured`` and ``currency`` are what the gateway says, None until it was asked;
    ``captured_at`` is when it said so.

    ``reserved`` is the sum of all refunds that are not proven failures; the database keeps it, and keeps it ≤ ``captured``.
    """

    payment_id: str
    gateway: str
    captured: int | None
    currency: str | None
    reserved: int
    captured_at: datetime | None = None

    def is_fresh(self, now: datetime) -> bool:
        """Return whether the gateway has just said what was captured."""
        return self.captured_at is not None and now - self.captured_at < _FRESH

    def must_be_asked(self, *, amount: int | None, currency: str, now: datetime) -> bool:
        """Return whether the gateway has to be asked what is captured before a refund of ``amount`` is decided.

        What fits what is known needs nobody. What does not, and what takes all that is left, may be decided wrongly by a sum that was
        read before the payment changed.
        """
        if self.captured is None:
            return True
        if self.is_fresh(now):
            return False
        return amount is None or isinstance(fit(self, amount=amount, currency=currency), DoesNotFit)

    @property
    def left(self) -> int:
        """What can still be refunded; 0 while the captured sum is not known."""
        return 0 if self.captured is None else self.captured - self.reserved


class DoesNotFit(Conflict):
    """The refund cannot be taken from the payment. Each kind has a stable ``code``."""


class ExceedsCaptured(DoesNotFit):
    """More than what was captured and is not refunded yet."""

    code = "exceeds_captured"


class NothingLeft(DoesNotFit):
    """Everything that was captured is refunded or on its way."""

    code = "nothing_left"


class NothingCaptured(DoesNotFit):
    """Nothing was captured: the payment is to be cancelled, not refunded."""

    code = "nothing_captured"


class CurrencyMismatch(DoesNotFit):
    """The payment is in another currency."""

    code = "currency_mismatch"


def fit(payment: Payment, *, amount: int | None, currency: str) -> int | DoesNotFit | None:
    """Return what a refund of ``amount`` (None: all that is left) takes from the payment as it is now, or why it cannot be.

    None while it is not known what was captured: the gateway has to be asked first.
    """
    if payment.captured is None:
        return None
    if payment.currency != currency:
        return CurrencyMismatch(f"the payment is in {payment.currency}, the refund in {currency}")
    if payment.captured == 0:
        return NothingCaptured("nothing was captured: the payment is to be cancelled, not refunded")
    if payment.left <= 0:
        return NothingLeft(f"all of the captured {_told(payment.captured, currency)} is refunded or on its way")
    if amount is None:
        return payment.left
    if amount > payment.left:
        asked, left, captured = (_told(sum_, currency) for sum_ in (amount, payment.left, payment.captured))
        return ExceedsCaptured(f"{asked.split()[0]} is more than the {left} left of the captured {captured}")
    return amount


def _told(minor: int, currency: str) -> str:
    """Write a sum as people agree to it. A currency that a gateway has and this release does not know is told in minor units."""
    try:
        return f"{to_decimal_string(minor, currency)} {currency}"
    except ValueError:
        return f"{minor} {currency}"


def is_cancellation(info: PaymentInfo, *, amount: int | None, currency: str) -> bool:
    """Return whether the request is for all of a payment of which nothing was captured: it is cancelled instead of refunded.

    A request for a part of it is not: cancelling would take everything from the shop.
    """
    if info.captured > 0 or info.currency != currency:
        return False
    return amount is None or (info.held is not None and amount == info.held)
