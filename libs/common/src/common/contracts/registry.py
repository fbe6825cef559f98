"""Every message type of the suite, by the name it has on the wire."""

from __future__ import annotations

from common.contracts import alerts, journal, orders, refunds
from common.contracts.envelope import Message

_MODELS: tuple[type[Message], ...] = (
    orders.OrderCreatedV1,
    orders.OrderChangedV1,
    orders.OrderPaidV1,
    orders.OrderReceivedV1,
    orders.OrderDeliveredV1,
    orders.OrderCancelledV1,
    orders.OrderCorrectedV1,
    orders.WorkflowStoppedV1,
    orders.WorkflowCrashedV1,
    orders.RefundWantedV1,
    orders.TipsHoldWantedV1,
    refunds.TCreateRefundV1,
    refunds.RefundStateChangedV1,
    refunds.RefundRejectedV1,
    alerts.ProblemRaisedV1,
    alerts.ProblemResolvedV1,
    alerts.HeartbeatV1,
    journal.JournalEntryV1,
)

MESSAGES: dict[str, type[Message]] = {model.TYPE: model for model in _MODELS}
"""Type on the wire → model of its data. Intake events carry raw bytes and have no model (see ``intake``)."""
