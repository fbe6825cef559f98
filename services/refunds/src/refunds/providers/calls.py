"""Calls to gateways: guarded, timed, counted, and noted as evidence. Never made inside a transaction."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import TypeVar

from common.clock import Clock
from refunds.providers.guard import Guard, GuardLimits
from refunds.providers.model import GatewayPolicy, GatewayStatus, PaymentInfo, Receipt, RegisterPage
from refunds.providers.provider import (
    Gateway,
    GatewayAway,
    GatewayCall,
    GatewayRefused,
    Gateways,
    GatewaySilent,
    Observer,
)
from refunds.refunds.model import Attempt, Refund

T = TypeVar("T")
_MOST_NOTED = 1000


@dataclass(frozen=True, slots=True)
class _About:
    """What a call is about, for the evidence."""

    refund: Refund
    attempt: Attempt
    request: str


class GatewayCalls:
    """The gateways by name. Each call raises ``GatewayAway``, ``GatewaySilent`` or ``GatewayRefused``, see the port ``Gateway``.

    ``admit`` asks the gateway's circuit breaker and retry budget first. What was called for a refund is kept until ``take``: it is
    written with the transaction that follows the call.
    """

    def __init__(self, gateways: Gateways, observer: Observer, clock: Clock, *, limits: GuardLimits) -> None:
        self._gateways = gateways
        self._observer = observer
        self._clock = clock
        self._guards = {name: Guard(limits) for name in gateways}
        self._noted: dict[str, list[GatewayCall]] = {}

    @property
    def guards(self) -> dict[str, Guard]:
        """The breaker and budget of each gateway."""
        return self._guards

    def policy(self, gateway: str) -> GatewayPolicy:
        """What the gateway declares. Raises ``GatewayAway`` when it is not configured (any more)."""
        return self._gateway(gateway).policy

    def admit(self, gateway: str, *, retry: bool) -> None:
        """Let the next call through, or raise ``GatewayAway``: the circuit is open, or too much is being tried again."""
        self._gateway(gateway)
        why = self._guards[gateway].refusal(retry=retry, now=self._clock.now())
        if why is not None:
            raise GatewayAway(f"{gateway} is not called for now: {why}")

    def take(self, refund_id: str) -> list[GatewayCall]:
        """Return what was called for the refund since the last time, and forget it."""
        return self._noted.pop(refund_id, [])

    async def payment(self, gateway: str, refund: Refund, attempt: Attempt) -> PaymentInfo:
        """What was captured."""
        about = _About(refund, attempt, f"payment {refund.payment_id}")
        call = self._gateway(gateway).payment(refund.payment_id)
        return await self._timed(gateway, "payment", call, about)

    async def create(self, gateway: str, refund: Refund, attempt: Attempt) -> Receipt:
        """Make the refund."""
        request = f"refund {refund.amount} {refund.currency} of {refund.payment_id} under key {attempt.gateway_key}"
        call = self._gateway(gateway).create(refund, attempt)
        return await self._timed(gateway, "create", call, _About(refund, attempt, request))

    async def start(self, gateway: str, refund: Refund, attempt: Attempt) -> Receipt:
        """Set it going."""
        about = _About(refund, attempt, f"start {attempt.gateway_refund_id}")
        return await self._timed(gateway, "start", self._gateway(gateway).start(attempt), about)

    async def look_up(self, gateway: str, refund: Refund, attempt: Attempt) -> Receipt:
        """What has become of it."""
        request = f"look up {attempt.gateway_refund_id or f'key {attempt.gateway_key}'}"
        call = self._gateway(gateway).look_up(refund, attempt)
        return await self._timed(gateway, "look_up", call, _About(refund, attempt, request))

    async def cancel(self, gateway: str, refund: Refund, attempt: Attempt) -> None:
        """Cancel the payment, which was not captured."""
        about = _About(refund, attempt, f"cancel payment {refund.payment_id}")
        call = self._gateway(gateway).cancel(refund.payment_id, key=attempt.gateway_key)
        await self._timed(gateway, "cancel", call, about)

    async def register(self, gateway: str, *, since: datetime, until: datetime, cursor: str | None) -> RegisterPage:
        """A page of what the gateway itself has."""
        call = self._gateway(gateway).register(since=since, until=until, cursor=cursor)
        return await self._timed(gateway, "register", call, None)

    def named_in(self, gateway: str, notification: bytes) -> str | None:
        """The refund that a notification is about, by the gateway's id."""
        return self._gateway(gateway).named_in(notification)

    def _gateway(self, name: str) -> Gateway:
        try:
            return self._gateways[name]
        except KeyError:
            raise GatewayAway(f"the gateway {name} is not configured") from None

    async def _timed(self, gateway: str, operation: str, call: Awaitable[T], about: _About | None) -> T:
        started, at, outcome, answered = perf_counter(), self._clock.now(), "failed", "no answer"
        guard = self._guards[gateway]
        try:
            answer = await call
            outcome, answered = "answered", _words(answer)
            guard.answered()
        except GatewayRefused as error:
            outcome, answered = error.code, error.detail
            guard.answered()
            raise
        except (GatewayAway, GatewaySilent) as error:
            outcome, answered = error.code, error.detail
            guard.failed(self._clock.now())
            raise
        finally:
            seconds = perf_counter() - started
            self._observer.gateway_called(gateway, operation, outcome, seconds)
            if about is not None and _worth_noting(operation, outcome, answered):
                self._note(about, at, operation, outcome, answered, seconds)
        return answer

    def _note(self, about: _About, at: datetime, operation: str, outcome: str, answer: str, seconds: float) -> None:
        if len(self._noted) >= _MOST_NOTED and about.refund.id not in self._noted:
            self._noted.pop(next(iter(self._noted)))  # of a refund that nobody came back to
        self._noted.setdefault(about.refund.id, []).append(
            GatewayCall(
                refund_id=about.refund.id,
                attempt=about.attempt.number,
                at=at,
                operation=operation,
                request=about.request,
                outcome=outcome,
                answer=answer,
                seconds=seconds,
            )
        )


def _words(answer: object) -> str:
    if isinstance(answer, Receipt):
        return " ".join(part for part in (answer.status, answer.gateway_refund_id, answer.detail) if part)
    if isinstance(answer, PaymentInfo):
        return f"captured {answer.captured} {answer.currency}, {answer.status}"
    return "done"


def _worth_noting(operation: str, outcome: str, answer: str) -> bool:
    """Leave out what says nothing new: what was captured, and that the gateway is still working on it."""
    routine = operation == "payment" or (operation == "look_up" and answer.startswith(GatewayStatus.PENDING))
    return outcome != "answered" or not routine
