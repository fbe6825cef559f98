"""Taking in what the refunds service sends, on top of the ``Intake``: whoever follows a refund is told, and M17's first place."""

from __future__ import annotations

from collections.abc import Sequence

from common.clock import Clock
from common.postgres import Connection
from orchestrator.engine.append import PostgresIntake, ingest
from orchestrator.engine.model import REFUND_REQUEST, NewEvent
from orchestrator.refunds.store import followed
from orchestrator.tips.store import zero_tips


class PostgresRefundIntake(PostgresIntake):
    """The ``Intake`` with what concerns refunds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def tell_followers(self, connection: Connection, events: Sequence[NewEvent]) -> None:
        """Append events to workflows of refunds that exist, and to ``update_transactions``, in the caller's transaction."""
        pairs = [(event.order_number, event.key) for event in events if event.kind == REFUND_REQUEST]
        known = await followed(connection, pairs) if pairs else set()
        await ingest(
            connection,
            [event for event in events if event.kind != REFUND_REQUEST or (event.order_number, event.key) in known],
        )

    async def zero_refunded(self, connection: Connection, number: str) -> None:
        """Set tips to zero for good (M17), in the caller's transaction; a repeat changes nothing."""
        await zero_tips(connection, number, "refund", actor="refunds", now=self._clock.now(), traceparent=None)
