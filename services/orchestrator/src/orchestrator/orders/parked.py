"""Orders whose ``created`` does not come: after a time limit, longer than the oldest record a spool may hold, a person is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from common.clock import Clock
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.ids import derived_id
from orchestrator.engine.model import Parked
from orchestrator.orders.messages import SERVICE, Encoded, encode_message


class ParkedOrders(Protocol):
    """Where parked orders are kept."""

    async def raise_overdue(self, *, before: datetime, alert: AlertOf) -> int:
        """Mark those parked before this moment and not marked yet, and promise an alert for each, in one transaction."""
        ...


class AlertOf(Protocol):
    """Makes the alert of one parked order."""

    def __call__(self, parked: Parked, since: datetime) -> Encoded:
        """Return the encoded event."""
        ...


class RaiseOverdue:
    """Raises an incident for each order that has been parked for longer than ``limit``."""

    def __init__(self, orders: ParkedOrders, clock: Clock, *, limit: timedelta) -> None:
        self._orders = orders
        self._clock = clock
        self._limit = limit

    async def __call__(self) -> int:
        """Raise what is due; return how many there were. An order is raised once."""
        return await self._orders.raise_overdue(before=self._clock.now() - self._limit, alert=self._alert)

    def _alert(self, parked: Parked, since: datetime) -> Encoded:
        now = self._clock.now()
        message = ProblemRaisedV1(
            kind="order_never_created",
            severity="critical",
            fingerprint=parked_fingerprint(parked.order_number),
            summary="Events of an order arrived, its order.created did not; the order is not known to the store",
            details={"first_hook": parked.hook, "parked_since": since.isoformat()},
            service=SERVICE,
            order_number=parked.order_number,
            source=parked.source,
            occurred_at=now,
        )
        return encode_message(
            message,
            event_id=derived_id(message.TYPE, message.fingerprint),
            subject=parked.order_number,
            now=now,
            traceparent=None,
        )


def unparked(number: str, *, now: datetime) -> Encoded:
    """Return the end of the incident of a parked order whose ``created`` came after all."""
    message = ProblemResolvedV1(
        fingerprint=parked_fingerprint(number),
        summary="order.created arrived",
        service=SERVICE,
        occurred_at=now,
    )
    event_id = derived_id(message.TYPE, message.fingerprint)
    return encode_message(message, event_id=event_id, subject=number, now=now, traceparent=None)


def parked_fingerprint(number: str) -> str:
    """Return what makes alerts about one parked order one problem."""
    return f"order:{number}:never_created"
