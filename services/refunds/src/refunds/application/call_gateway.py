"""Calls to gateways, timed and counted. Never made inside a transaction."""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter
from typing import TypeVar

from refunds.application.ports import (
    Gateway,
    GatewayAway,
    GatewayRefused,
    Gateways,
    GatewaySilent,
    Observer,
)
from refunds.domain.gateway import GatewayPolicy, PaymentInfo, Receipt
from refunds.domain.refund import Attempt, Refund

T = TypeVar("T")


class GatewayCalls:
    """The gateways by name. Each call raises ``GatewayAway``, ``GatewaySilent`` or ``GatewayRefused``, see the port ``Gateway``."""

    def __init__(self, gateways: Gateways, observer: Observer) -> None:
        self._gateways = gateways
        self._observer = observer

    def policy(self, gateway: str) -> GatewayPolicy:
        """What the gateway declares."""
        return self._gateway(gateway).policy

    async def payment(self, gateway: str, payment_id: str) -> PaymentInfo:
        """What was captured."""
        return await self._timed(gateway, "payment", self._gateway(gateway).payment(payment_id))

    async def create(self, gateway: str, refund: Refund, attempt: Attempt) -> Receipt:
        """Make the refund."""
        return await self._timed(gateway, "create", self._gateway(gateway).create(refund, attempt))

    async def start(self, gateway: str, attempt: Attempt) -> Receipt:
        """Set it going."""
        return await self._timed(gateway, "start", self._gateway(gateway).start(attempt))

    async def look_up(self, gateway: str, refund: Refund, attempt: Attempt) -> Receipt:
        """What has become of it."""
        return await self._timed(gateway, "look_up", self._gateway(gateway).look_up(refund, attempt))

    def _gateway(self, name: str) -> Gateway:
        return self._gateways[name]

    async def _timed(self, gateway: str, operation: str, call: Awaitable[T]) -> T:
        started, outcome = perf_counter(), "failed"
        try:
            answer = await call
            outcome = "answered"
        except (GatewayAway, GatewaySilent, GatewayRefused) as error:
            outcome = error.code
            raise
        finally:
            self._observer.gateway_called(gateway, operation, outcome, perf_counter() - started)
        return answer
