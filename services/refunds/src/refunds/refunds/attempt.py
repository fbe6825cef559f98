"""``TCreateRefund``, the message that begins an attempt of a refund: publish it, and begin the attempt."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from common.contracts.refunds import TCreateRefundV1
from common.ids import derived_id
from refunds.refunds.errors import UnknownRefund
from refunds.refunds.model import Refund
from refunds.refunds.states import RefundState
from refunds.refunds.store import RefundStore


async def publish_attempt(store: RefundStore, refund: Refund, *, now: datetime) -> None:
    """Publish TCreateRefund for the refund's present attempt. Its id is a function of (refund, attempt): it is consumed once."""
    message = TCreateRefundV1(refund_id=refund.id, attempt=refund.attempt)
    event_id = derived_id("tcreate-refund", refund.id, str(refund.attempt))
    await store.publish_about(refund, message, event_id=event_id, now=now)


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
