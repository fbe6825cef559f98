"""Calls to gateways: guarded, timed, counted, and kept as evidence. Never made inside a transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import datetime
from time import perf_counter
from typing import TypeVar

from common.clock import Clock
from refunds.providers.gateway import Gateway, GatewayAway, GatewayRefused, GatewaySilent
from refunds.providers.guard import Guard, GuardLimits
from refunds.providers.metrics import GatewayMetrics
from refunds.providers.model import (
    Attempt,
    GatewayCall,
    GatewayPolicy,
    GatewayStatus,
    PaymentInfo,
    Receipt,
    RegisterPage,
)

T = TypeVar("T")
_MOST_KEPT = 1000  # refunds


class GatewayCalls:
    """The gateways by name. Each call raises ``GatewayAway``, ``GatewaySilent`` or ``GatewayRefused``, see ``Gateway``.

    ``admit`` asks the gateway's circuit breaker and retry budget first. What was called for a refund is kept until ``take_calls``: it is
    written with the transaction that follows the call.
    """

    def __init__(
        self, gateways: Mapping[str, Gateway], metrics: GatewayMetrics, clock: Clock, *, limits: GuardLimits
    ) -> None:
        self._gateways = gateways
        self._metrics = metrics
        self._clock = clock
        self._kept: dict[str, list[GatewayCall]] = {}
        self.guards = {name: Guard(limits) for name in gateways}

    def policy(self, gateway: str) -> GatewayPolicy:
        """What the gateway declares. Raises ``GatewayAway`` when it is not configured (any more)."""
        return self._gateway(gateway).policy

    def admit(self, gateway: str, *, retry: bool) -> None:
        """Let the next call through, or raise ``GatewayAway``: the circuit is open, or too much is being tried again."""
        self._gateway(gateway)
        why = self.guards[gateway].refusal(retry=retry, now=self._clock.now())
        if why is not None:
            raise GatewayAway(f"{gateway} is not called for now: {why}")

    def take_calls(self, refund_id: str) -> list[GatewayCall]:
        """Return what was called for the refund since the last time, and forget it."""
        return self._kept.pop(refund_id, [])

    async def payment(self, attempt: Attempt, *, payment_id: str) -> PaymentInfo:
        """What was captured."""
        call = self._gateway(attempt.gateway).payment(payment_id)
        return await self._about(attempt, "payment", f"payment {payment_id}", call)

    async def captured(self, gateway: str, *, payment_id: str) -> PaymentInfo:
        """What was captured, asked for no refund in particular."""
        return await self._timed(gateway, "payment", self._gateway(gateway).payment(payment_id))

    async def create(self, attempt: Attempt, *, payment_id: str, amount: int, currency: str) -> Receipt:
        """Make the refund."""
        request = f"refund {amount} {currency} of {payment_id} under key {attempt.gateway_key}"
        call = self._gateway(attempt.gateway).create(attempt, payment_id=payment_id, amount=amount, currency=currency)
        return await self._about(attempt, "create", request, call)

    async def start(self, attempt: Attempt) -> Receipt:
        """Start it."""
        call = self._gateway(attempt.gateway).start(attempt)
        return await self._about(attempt, "start", f"start {attempt.gateway_refund_id}", call)

    async def look_up(self, attempt: Attempt, *, payment_id: str) -> Receipt:
        """What has become of it."""
        request = f"look up {attempt.gateway_refund_id or f'key {attempt.gateway_key}'}"
        call = self._gateway(attempt.gateway).look_up(attempt, payment_id=payment_id)
        return await self._about(attempt, "look_up", request, call)

    async def cancel(self, attempt: Attempt, *, payment_id: str) -> None:
        """Cancel the payment, which was not captured."""
        call = self._gateway(attempt.gateway).cancel(payment_id, key=attempt.gateway_key)
        await self._about(attempt, "cancel", f"cancel payment {payment_id}", call)

    async def register(self, gateway: str, *, since: datetime, until: datetime, cursor: str | None) -> RegisterPage:
        """A page of what the gateway itself has."""
        call = self._gateway(gateway).register(since=since, until=until, cursor=cursor)
        return await self._timed(gateway, "register", call)

    def named_in(self, gateway: str, notification: bytes) -> str | None:
        """The refund that a notification is about, by the gateway's id."""
        return self._gateway(gateway).named_in(notification)

    def _gateway(self, name: str) -> Gateway:
        try:
            return self._gateways[name]
        except KeyError:
            raise GatewayAway(f"the gateway {name} is not configured") from None

    async def _about(self, attempt: Attempt, operation: str, request: str, call: Awaitable[T]) -> T:
        """Make a call about a refund and keep it as evidence, unless it says nothing new."""
        started, at, outcome, words = perf_counter(), self._clock.now(), "failed", "no answer"
        try:
            answer = await self._timed(attempt.gateway, operation, call)
            outcome, words = "answered", _words(answer)
        except (GatewayAway, GatewayRefused, GatewaySilent) as error:
            outcome, words = error.code, error.detail
            raise
        finally:
            if not (outcome == "answered" and _is_routine(operation, answer)):
                self._keep(
                    GatewayCall(
                        refund_id=attempt.refund_id,
                        attempt=attempt.number,
                        at=at,
                        operation=operation,
                        request=request,
                        outcome=outcome,
                        answer=words,
                        seconds=perf_counter() - started,
                    )
                )
        return answer

    async def _timed(self, gateway: str, operation: str, call: Awaitable[T]) -> T:
        started, outcome, guard = perf_counter(), "failed", self.guards[gateway]
        try:
            answer = await call
            outcome = "answered"
            guard.answered()
        except GatewayRefused as error:
            outcome = error.code
            guard.answered()
            raise
        except (GatewayAway, GatewaySilent) as error:
            outcome = error.code
            guard.failed(self._clock.now())
            raise
        finally:
            self._metrics.called(gateway, operation, outcome, perf_counter() - started)
        return answer

    def _keep(self, call: GatewayCall) -> None:
        if len(self._kept) >= _MOST_KEPT and call.refund_id not in self._kept:
            self._kept.pop(next(iter(self._kept)))  # of a refund that nobody came back to
        self._kept.setdefault(call.refund_id, []).append(call)


def _words(answer: object) -> str:
    if isinstance(answer, Receipt):
        return " ".join(part for part in (answer.status, answer.gateway_refund_id, answer.detail) if part)
    if isinstance(answer, PaymentInfo):
        return f"captured {answer.captured} {answer.currency}, {answer.status}"
    return "done"


def _is_routine(operation: str, answer: object) -> bool:
    """What was captured, and that the gateway is still working on the refund, say nothing new."""
    return operation == "payment" or (
        operation == "look_up" and isinstance(answer, Receipt) and answer.status is GatewayStatus.PENDING
    )
