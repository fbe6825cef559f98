"""What a payment system must offer so that refunds can be made through it, and how it fails."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from common.errors import SuiteError
from refunds.providers.model import Attempt, GatewayPolicy, PaymentInfo, Receipt, RegisterPage

NOT_OFFERED = "not_offered"


class GatewayAway(SuiteError):
    """The request definitely had no effect: there was no connection, or the gateway turned it away (429, 401)."""

    code = "gateway_away"
    retryable = True


class GatewaySilent(SuiteError):
    """The outcome is not known: time-out, reset, 5xx, or an answer that cannot be understood."""

    code = "gateway_silent"
    retryable = True


class GatewayRefused(SuiteError):
    """The gateway definitely refuses this request; the same request will be refused again. ``reason`` is the gateway's code."""

    code = "gateway_refused"

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Impossible(SuiteError):
    """The state machine refuses what happened: a gateway that contradicts itself, or a mistake of ours."""

    code = "impossible_transition"


class Gateway(Protocol):
    """A payment system that can move money back. Its ``policy`` says which of the operations mean something there.

    Sums are minor units. Every call is under a deadline of the gateway's own and raises ``GatewayAway``, ``GatewaySilent`` or
    ``GatewayRefused``. A gateway that refunds in one step answers ``create`` with more than ``OPENED``; ``start`` is then never called.
    """

    @property
    def policy(self) -> GatewayPolicy:
        """What the gateway declares."""
        ...

    async def payment(self, payment_id: str) -> PaymentInfo:
        """Return what was captured."""
        ...

    async def create(self, attempt: Attempt, *, payment_id: str, amount: int, currency: str) -> Receipt:
        """Make the refund under the attempt's key; the same key gives the same refund."""
        ...

    async def start(self, attempt: Attempt) -> Receipt:
        """Start a refund that ``create`` left ``OPENED``; starting it again changes nothing."""
        ...

    async def look_up(self, attempt: Attempt, *, payment_id: str) -> Receipt:
        """Say what has become of the attempt, moving no money: by the gateway's id, or by the key where the id is not known."""
        ...

    async def cancel(self, payment_id: str, *, key: str) -> None:
        """Cancel a payment that was not captured; cancelling it again changes nothing."""
        ...

    async def register(self, *, since: datetime, until: datetime, cursor: str | None) -> RegisterPage:
        """Return a page of the refunds that were made there in [since, until). ``GatewayRefused`` when it does not show them.

        ``NOT_OFFERED`` for its reason: it keeps no register.
        """
        ...

    def named_in(self, notification: bytes) -> str | None:
        """Return the gateway's id of the refund or payment that a notification is about. Nothing else of it is believed."""
        ...
