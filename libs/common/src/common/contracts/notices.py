"""How a change names the messages to people that follow from it: the same words before it is carried out and after.

A notice is one line: ``<event> [or <event> …] [of <order>]: <whom>``, as ``orders.order.cancelled.v1 of 7Q3M: pickers and store``. Which of
several events it will be is decided elsewhere; ``nothing`` stands for none of them. What follows of one outcome only, later, says so in
front: ``if it succeeds: ticket.closed of TRAVELSUP-1: who follows the ticket``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.orders import (
    OrderCancelledV1,
    OrderChangedV1,
    OrderCorrectedV1,
    OrderCreatedV1,
    OrderDeliveredV1,
    OrderPaidV1,
    OrderReceivedV1,
    RefundWantedV1,
    WorkflowCrashedV1,
    WorkflowStoppedV1,
)
from common.contracts.refunds import RefundRejectedV1, TCreateRefundV1

NOTHING = "nothing"
"""Stands for none of the other events of a notice."""
ORDERS_PEOPLE, NOBODY, ON_CALL, WHO_KNOWS = "pickers and store", "nobody", "on call", "who was told of it"
FOLLOWERS = "who follows the ticket"
"""Whom a notice is for: an order's pickers and store; nobody; people on call; whoever was told of the problem that is over; of a ticket."""

ORDER_EVENTS = frozenset(
    model.TYPE
    for model in (
        OrderCreatedV1,
        OrderChangedV1,
        OrderPaidV1,
        OrderReceivedV1,
        OrderDeliveredV1,
        OrderCancelledV1,
        OrderCorrectedV1,
    )
)
_PROBLEMS = (ProblemRaisedV1, ProblemResolvedV1, WorkflowStoppedV1, WorkflowCrashedV1, RefundRejectedV1)
_MONEY = frozenset({RefundWantedV1.TYPE, TCreateRefundV1.TYPE})
_TOLD = ORDER_EVENTS | _MONEY | {model.TYPE for model in _PROBLEMS}

IF_IT_SUCCEEDS, IF_IT_FAILS = "if it succeeds", "if it fails"
"""Of which outcome a notice follows."""


def notice(*events: str, of: str | None, to: str) -> str:
    """Return the line of one notice: of one of these events, about this order or refund, for these people."""
    return " or ".join(events) + ("" if of is None else f" of {of}") + f": {to}"


def only(condition: str, lines: Iterable[str]) -> list[str]:
    """Return these notices as those of one outcome."""
    return [f"{condition}: {line}" for line in lines]


def perhaps(line: str) -> str:
    """Return a notice as one that may not come at all."""
    what, of, rest = line.partition(" of ")
    if not of:
        what, of, rest = line.partition(": ")
    return f"{what} or {NOTHING}{of}{rest}"


def refund_notice(number: str | None) -> str:
    """Return the line of money that is to go back: the payment system decides whether people are told."""
    return notice(RefundRejectedV1.TYPE, ProblemRaisedV1.TYPE, NOTHING, of=number, to=ON_CALL)


def problem_over_notice(number: str | None) -> str:
    """Return the line of a problem that ends if there is one and all goes well."""
    return notice(ProblemResolvedV1.TYPE, NOTHING, of=number, to=WHO_KNOWS)


def notices_of(events: Iterable[tuple[str, bytes]]) -> list[str]:
    """Return the notices of events that are published, given as (type, encoded envelope), in their order.

    What no person is ever told of (timelines, states) has none. Of money that is to go back the payment system decides what is told.
    """
    found = (_notice_of(kind, orjson.loads(body)) for kind, body in events if kind in _TOLD)
    return list(found)


def _notice_of(kind: str, envelope: Mapping[str, Any]) -> str:
    data = envelope.get("data") or {}
    subject = envelope.get("subject")
    if kind in _MONEY:
        return refund_notice(subject)
    if kind in ORDER_EVENTS:
        to = ORDERS_PEOPLE if data.get("notify") else NOBODY
    else:
        to = WHO_KNOWS if kind == ProblemResolvedV1.TYPE else ON_CALL
    named = f"{kind} ({data['kind']})" if kind == ProblemRaisedV1.TYPE else kind
    return notice(named, of=subject, to=to)
