"""Events of the refunds service, as events for the workflows that wait for them."""

from __future__ import annotations

from common.contracts.refunds import RefundRejectedV1, RefundStateChangedV1
from orchestrator.engine.model import REFUND_REQUEST, UPDATE_TRANSACTIONS, NewEvent
from orchestrator.refunds.follow import REFUND_REJECTED, REFUND_STATE
from orchestrator.refunds.messages import to_workflow

_MOVES_MONEY = frozenset({"SUCCESS", "REVERSED"})


def moved(message: RefundStateChangedV1, *, traceparent: str | None) -> list[NewEvent]:
    """Tell who follows the refund, and, when money moved, who works out the sum to pay."""
    identity = f"{message.refund_id}:{message.version}"
    events = [
        to_workflow(
            message.order_number,
            REFUND_REQUEST,
            REFUND_STATE,
            identity,
            key=message.business_key,
            attributes={
                "refund_id": message.refund_id,
                "state_name": message.state_name,
                "version": message.version,
                "error": message.error,
            },
            now=message.occurred_at,
            traceparent=traceparent,
        )
    ]
    if message.state_name in _MOVES_MONEY:
        events.append(
            to_workflow(
                message.order_number,
                UPDATE_TRANSACTIONS,
                "refund.changed",
                identity,
                attributes={"refund_id": message.refund_id, "state_name": message.state_name},
                now=message.occurred_at,
                traceparent=traceparent,
            )
        )
    return events


def rejected(message: RefundRejectedV1, *, traceparent: str | None) -> NewEvent:
    """Tell who asked for a refund that it cannot be made."""
    return to_workflow(
        message.order_number,
        REFUND_REQUEST,
        REFUND_REJECTED,
        message.code,
        key=message.business_key,
        attributes={"code": message.code, "detail": message.detail},
        now=message.occurred_at,
        traceparent=traceparent,
    )
