"""``TCreateRefund``: begin one attempt of a refund."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from refunds.refunds.errors import UnknownRefund
from refunds.refunds.states import RefundState
from refunds.refunds.store import RefundStore


async def begin_attempt(store: RefundStore, *, refund_id: str, attempt: int, now: datetime) -> bool:
    """Make the refund due, inside the caller's transaction; the worker does the rest. Returns whether there was anything to do.

    An event of another attempt, or of a refund that is under way already, changes nothing. Raises ``UnknownRefund``.
    """
    refund = await store.find(refund_id)
    if refund is None:
        raise UnknownRefund(f"there is no refund {refund_id}")
    if refund.state is not RefundState.CREATE or refund.attempt != attempt or refund.next_attempt_at is not None:
        return False
    await store.save(refund, replace(refund, next_attempt_at=now))
    return True
