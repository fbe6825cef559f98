"""What people are told by a workflow that follows a refund, before it is carried out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from common.clock import Clock
from common.postgres import Connection, Lent
from orchestrator.engine.foresee import foresee
from orchestrator.refunds.follow import FollowRefund
from orchestrator.refunds.store import RefundStore


class ForetellRefund:
    """Says what follows from what waits in a ``refund_request``; ``answer_within`` as ``FollowRefund`` has it."""

    def __init__(self, clock: Clock, *, answer_within: timedelta) -> None:
        self._clock = clock
        self._answer_within = answer_within

    async def __call__(self, connection: Connection, workflow_id: int) -> Sequence[str]:
        """Return the notices, in the caller's transaction."""
        handler = FollowRefund(RefundStore(Lent(connection)), self._clock, answer_within=self._answer_within)
        return await foresee(connection, workflow_id, handler, now=self._clock.now())
