"""What waits in the refunds service: refunds that are not over, by state."""

from __future__ import annotations

from collections.abc import Sequence

from common.postgres import Database
from common.service import WaitingQueue, queue
from refunds.refunds.queries import count_unfinished
from refunds.refunds.states import TERMINAL, RefundState

_LATE_AFTER_S = {
    RefundState.CREATE: 900.0,
    RefundState.UNKNOWN: 3600.0,
    RefundState.PENDING: 86400.0,
    RefundState.ERROR: 0.0,
}
"""A refund in ``ERROR`` waits for a person."""


async def refunds_waiting(database: Database) -> Sequence[WaitingQueue]:
    """Read how many refunds are in each state that is not their last, and for how long the oldest has been."""
    found = await count_unfinished(database)
    return [
        queue(f"refunds.{state.name.lower()}", *found.get(state, (0, 0.0)), late_after=_LATE_AFTER_S.get(state))
        for state in RefundState
        if state not in TERMINAL
    ]
