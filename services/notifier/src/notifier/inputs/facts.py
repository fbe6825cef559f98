"""From messages on the wire to what the domain speaks of. Free text that people wrote is scrubbed of phones, mails and tokens here."""

from __future__ import annotations

import re

from common.contracts.alerts import ProblemRaisedV1
from common.contracts.orders import (
    OrderCancelledV1,
    OrderChangedV1,
    OrderCorrectedV1,
    OrderDifference,
    OrderEvent,
    OrderPaidV1,
    OrderSnapshot,
    Position,
    WorkflowCrashedV1,
    WorkflowStoppedV1,
)
from common.contracts.refunds import RefundRejectedV1
from common.telemetry import scrub_text
from notifier.incidents.model import ProblemFact
from notifier.messages.order_notices import Difference, Goods, Order, OrderFact
from notifier.messages.words import Words

_MASK = "[masked]"
_MOST = 4000  # far more than any notice shows; keeps a text of a megabyte from costing anything
_GAP = r"[\s().\-\u2010-\u2015/_]{0,3}"
_TAIL = re.compile(r"[\d\s().\-\u2010-\u2015/_+]+\Z")
# Ten digits or more, however they are parted, are a phone to us: in a comment nothing else of that length is worth reading.
_LONG_NUMBER = re.compile(rf"\+?\d(?:{_GAP}\d){{9,}}")
_DATE = re.compile(r"(?<!\d)(\d{1,2}[./-]\d{1,2}[./-]20[2-4]\d|20[2-4]\d-\d{2}-\d{2})(?!\d)")


def order_fact(event: OrderEvent) -> OrderFact:
    """Return what an order event says; its kind is the type without context's plural and version (``order.created``)."""
    difference = event.difference if isinstance(event, OrderChangedV1 | OrderPaidV1 | OrderCorrectedV1) else None
    reason = None
    if isinstance(event, OrderCancelledV1):
        reason = event.description or event.slug
    return OrderFact(
        kind=event.TYPE.removeprefix("orders.").rpartition(".")[0],
        order=_order(event.order),
        tell=event.notify,
        difference=None if difference is None else _difference(difference),
        reason=None if reason is None else free_text(reason),
    )


def workflow_fact(event: WorkflowStoppedV1 | WorkflowCrashedV1, words: Words) -> ProblemFact:
    """A stopped workflow is information, a crashed one is critical (M8). One workflow is one incident."""
    if isinstance(event, WorkflowStoppedV1):
        kind, severity = "workflow.stopped", "info"
        details = {"who": event.actor, "why": scrub_text(event.reason)}
    else:
        kind, severity = "workflow.crashed", "critical"
        details = {"event": event.event_type, "attempts": str(event.attempts), "error": scrub_text(event.error)}
    return ProblemFact(
        kind=kind,
        severity="info" if severity == "info" else "critical",
        fingerprint=f"workflow:{event.workflow_id}",
        summary=f"{event.kind} {event.workflow_id}",
        service="orchestrator",
        occurred_at=event.occurred_at,
        details=details,
        order_number=event.order_number,
        instruction=words[f"do.{kind}"].format(id=event.workflow_id),
    )


def problem_fact(event: ProblemRaisedV1) -> ProblemFact:
    """A problem that a service raised; ``kind`` gets the prefix ``problem.`` for the routes. Detail ``instruction`` is what to do."""
    details = {name: scrub_text(value) for name, value in event.details.items()}
    instruction = details.pop("instruction", None)
    return ProblemFact(
        kind=f"problem.{event.kind}",
        severity=event.severity,
        fingerprint=event.fingerprint,
        summary=scrub_text(event.summary),
        service=event.service,
        occurred_at=event.occurred_at,
        details=details,
        order_number=event.order_number,
        source=event.source,
        store_id=event.store_id,
        zone=event.zone,
        link=event.link,
        instruction=instruction,
    )


def rejection_fact(event: RefundRejectedV1) -> ProblemFact:
    """A refund that was wanted and cannot be made. Refunds in RS_ERROR are problems that the refunds service raises itself."""
    return ProblemFact(
        kind="refund.rejected",
        severity="warning",
        fingerprint=f"refund-rejected:{event.business_key}",
        summary=event.code,
        service="refunds",
        occurred_at=event.occurred_at,
        details={"why": scrub_text(event.detail)},
        order_number=event.order_number,
    )


def _order(order: OrderSnapshot) -> Order:
    return Order(
        number=order.number,
        external_id=order.external_id,
        version=order.version,
        status=order.status,
        source=order.source,
        store_id=order.store_id,
        zone=order.zone,
        comment=None if order.comment is None else free_text(order.comment),
        shipment_method=order.shipment_method,
        replacement_policy=order.replacement_policy,
        currency=order.currency,
        goods=tuple(_goods(position) for position in order.positions),
        total=order.total_price,
        discounted_total=order.total_discount_price,
    )


def _goods(position: Position) -> Goods:
    price = position.price if position.discount_price is None else position.discount_price
    return Goods(id=position.id, name=position.name, quantity=position.quantity, price=price)


def _difference(difference: OrderDifference) -> Difference:
    return Difference(
        added=tuple(_goods(position) for position in difference.added),
        removed=tuple(_goods(position) for position in difference.removed),
        changed=tuple((_goods(change.before), _goods(change.after)) for change in difference.changed),
        fields=tuple(
            (name, before if before is None else free_text(before), after if after is None else free_text(after))
            for name, before, after in difference.fields
        ),
    )


def free_text(text: str) -> str:
    """Mask phones (in every way people write them), mail addresses and tokens. Dates stay; what is beyond 4,000 characters goes."""
    if len(text) > _MOST:
        text = _TAIL.sub("", text[:_MOST]) + "…"  # not half a phone
    pieces = _DATE.split(scrub_text(text))
    return "".join(piece if index % 2 else _LONG_NUMBER.sub(_MASK, piece) for index, piece in enumerate(pieces))
