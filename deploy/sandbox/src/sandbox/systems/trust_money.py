"""Trust's money: payments that were captured and what was given back of them.

One process, no await inside a change: keys and sums are exact whatever arrives at once.
"""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sandbox.kept import Kept

RefundStatus = Literal["created", "wait_for_notification", "success", "error", "failed"]
KEY_RETENTION = timedelta(days=7)
"""Trust forgets an idempotency key after a week; the same key then makes another refund."""
_PAYMENTS, _REFUNDS, _MADE = "trust payment", "trust refund", "trust refunds made"
FINAL: frozenset[RefundStatus] = frozenset({"success", "error", "failed"})


class TrustError(Exception):
    """A refusal: HTTP status, stable code, words."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.code = code


@dataclass(slots=True)
class Payment:
    """A payment; sums in minor units of `currency`. `polls` and `outcome` steer its refunds.

    `held` is what can still be captured; unholding it leaves nothing.
    """

    id: str
    captured: int
    currency: str
    status: str
    polls: int
    outcome: Literal["success", "error", "failed"]
    held: int | None = None


@dataclass(slots=True)
class Refund:
    """A refund; everything but a proven failure counts against the captured sum."""

    id: str
    payment: Payment
    amount: int
    currency: str
    key: str
    digest: str
    status: RefundStatus = "created"
    description: str = ""
    polls_left: int = 0
    declined: bool = False
    starts: int = 0
    payouts: int = 0
    """How often money went out for it; a reversal does not take that back."""
    made_at: datetime | None = None
    key_forgotten: bool = False

    def as_json(self) -> dict[str, Any]:
        """What a status request answers."""
        return {
            "trust_refund_id": self.id,
            "status": self.status,
            "status_desc": self.description,
            "payment_id": self.payment.id,
            "amount": self.amount,
            "currency": self.currency,
        }


@dataclass(slots=True)
class TrustMoney:
    """All payments and refunds, by id and by idempotency key. Every change is kept before it is answered."""

    kept: Kept = field(default_factory=Kept)
    payments: dict[str, Payment] = field(init=False)
    refunds: dict[str, Refund] = field(init=False)
    _by_key: dict[str, Refund] = field(init=False)
    _made: int = field(init=False)

    def __post_init__(self) -> None:
        """Know again what was kept."""
        self.payments, self.refunds = self.kept.all(_PAYMENTS, Payment), self.kept.all(_REFUNDS, Refund)
        self._made = self.kept.all(_MADE, int).get("", 0)  # a reset forgets refunds, it never gives one an id again
        for refund in self.refunds.values():
            refund.payment = self.payments.setdefault(refund.payment.id, refund.payment)
        self._by_key = {refund.key: refund for refund in self.refunds.values() if not refund.key_forgotten}

    def keep(self, changed: Payment | Refund) -> None:
        """Keep a payment or a refund as it is now."""
        self.kept.put(_PAYMENTS if isinstance(changed, Payment) else _REFUNDS, changed.id, changed)

    def payment(self, payment_id: str) -> Payment:
        """The payment, or TrustError 404."""
        try:
            return self.payments[payment_id]
        except KeyError:
            raise TrustError(404, "payment_not_found", "there is no such payment") from None

    def put_payment(self, payment: Payment) -> None:
        """Make the payment, or change the one its refunds already point at."""
        known = self.payments.setdefault(payment.id, payment)
        known.captured, known.currency, known.status = payment.captured, payment.currency, payment.status
        known.polls, known.outcome, known.held = payment.polls, payment.outcome, payment.held
        self.keep(known)

    def refund(self, refund_id: str) -> Refund:
        """The refund, or TrustError 404."""
        try:
            return self.refunds[refund_id]
        except KeyError:
            raise TrustError(404, "refund_not_found", "there is no such refund") from None

    def spent(self, payment: Payment) -> int:
        """Minor units given back or on their way back."""
        return sum(
            refund.amount
            for refund in self.refunds.values()
            if refund.payment is payment and refund.status not in ("error", "failed")
        )

    def unhold(self, payment: Payment) -> None:
        """Let go of what was not captured; doing it again changes nothing. Raises TrustError 422 when it was captured."""
        if payment.captured > 0:
            raise TrustError(422, "payment_captured", "the payment is captured; refund it instead")
        payment.held, payment.status = 0, "cancelled"
        self.keep(payment)

    def forget_keys(self) -> None:
        """What a gateway does past the retention of its keys: the same key makes another refund from now on."""
        for refund in self._by_key.values():
            refund.key_forgotten = True
            self.keep(refund)
        self._by_key.clear()

    def made_between(self, since: datetime, until: datetime) -> list[Refund]:
        """The refunds made in [since, until), oldest first."""
        return [one for one in self.refunds.values() if one.made_at is not None and since <= one.made_at < until]

    def create(self, *, key: str, body: dict[str, Any], declined: bool, now: datetime | None = None) -> Refund:
        """A new refund, or the one already made with the same key and the same body.

        Raises TrustError: 409 the key with another body, 404 unknown payment, 422 sum, currency or capture do not fit.
        """
        digest = hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()
        known = self._by_key.get(key)
        if known is not None and not self._forgotten(known, now):
            if known.digest != digest:
                raise TrustError(409, "idempotency_key_reused", "the key belongs to another request")
            return known
        payment = self.payment(body["payment_id"])
        if payment.captured == 0:
            raise TrustError(422, "payment_not_captured", "the payment is not captured; cancel it instead")
        if payment.currency != body["currency"]:
            raise TrustError(422, "currency_mismatch", "the payment has another currency")
        if self.spent(payment) + body["amount"] > payment.captured:
            raise TrustError(422, "refund_exceeds_captured", "the refunds would exceed the captured sum")
        self._made += 1
        refund = Refund(
            id=f"trust-refund-{self._made:06d}",
            payment=payment,
            amount=body["amount"],
            currency=body["currency"],
            key=key,
            digest=digest,
            declined=declined,
            made_at=now,
        )
        self.refunds[refund.id] = self._by_key[key] = refund
        self.kept.put(_MADE, "", self._made)
        self.keep(refund)
        return refund

    def _forgotten(self, refund: Refund, now: datetime | None) -> bool:
        return now is not None and refund.made_at is not None and now - refund.made_at >= KEY_RETENTION

    def start(self, refund: Refund, *, declined: bool) -> None:
        """Set the refund going; starting it again changes nothing."""
        refund.starts += 1
        refund.declined = refund.declined or declined
        if refund.status == "created":
            refund.status = "wait_for_notification"
            refund.polls_left = refund.payment.polls
        self.keep(refund)

    def poll(self, refund: Refund, *, declined: bool) -> None:
        """A status request: a going refund ends when its number of requests has been used up."""
        if refund.status != "wait_for_notification":
            return
        refund.declined = refund.declined or declined
        if refund.polls_left > 0:
            refund.polls_left -= 1
        else:
            refund.status = "failed" if refund.declined else refund.payment.outcome
            refund.payouts += refund.status == "success"
            if refund.status != "success":
                refund.description = "not_enough_funds" if refund.status == "failed" else "technical_error"
        self.keep(refund)

    def ledger(self) -> list[dict[str, Any]]:
        """Every payment with its refunds and sums, for a check that money moved at most once."""
        return [
            {
                "payment_id": payment.id,
                "captured": payment.captured,
                "currency": payment.currency,
                "refunded": sum(
                    refund.amount
                    for refund in self.refunds.values()
                    if refund.payment is payment and refund.status == "success"
                ),
                "spent": self.spent(payment),
                "refunds": [
                    refund.as_json()
                    | {"idempotency_key": refund.key, "starts": refund.starts, "payouts": refund.payouts}
                    for refund in self.refunds.values()
                    if refund.payment is payment
                ],
            }
            for payment in self.payments.values()
        ]

    def clear(self) -> None:
        """Forget everything."""
        self.kept.forget(_PAYMENTS, _REFUNDS)
        self.payments.clear()
        self.refunds.clear()
        self._by_key.clear()
