"""The table of routes, and the OpenAPI document made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from common.clock import Clock, SystemClock
from common.http import Changes, Route, audit_routes, describe
from common.postgres import Database
from common.service import (
    LookAtQueues,
    dead_letter_routes,
    erasure_routes,
    queue_routes,
    repeated_acts_routes,
    verdict_routes,
)
from orchestrator.documents.routes import DocumentRoutes
from orchestrator.documents.store import DocumentStore
from orchestrator.engine.foresee import Foretellers
from orchestrator.engine.mend import Mender
from orchestrator.engine.model import ORDER_LIFE, REFUND_REQUEST
from orchestrator.engine.routes import WorkflowRoutes
from orchestrator.engine.search import WorkflowSearch
from orchestrator.erasures.places import KEPT, erase_subject
from orchestrator.orders.foretell import ForetellLife
from orchestrator.orders.hooks import known_as
from orchestrator.orders.mend_hook import mend_hook
from orchestrator.orders.operator_routes import OperatorRoutes
from orchestrator.orders.parked_routes import ParkedRoutes
from orchestrator.orders.routes import OrderRoutes
from orchestrator.orders.search import OrderSearch
from orchestrator.orders.store import OrderStore
from orchestrator.refunds.foretell import ForetellRefund
from orchestrator.refunds.routes import RefundRoutes
from orchestrator.refunds.store import RefundStore
from orchestrator.timeline.routes import TimelineRoutes
from orchestrator.timeline.store import TimelineStore
from orchestrator.tips.routes import TipsRoutes

NAME = "orchestrator"
DESCRIPTION = "Owns the state of orders and the workflows that carry each of them through its life."

# Reading it with its customer is noted at the address that was read.
_TARGETS_OF_ORDER = """
SELECT prefix || {order} FROM unnest(ARRAY['order:', '/orders/v1/orders/']) AS prefix
UNION ALL SELECT '/admin/v1/orders/' || {order} || '/timeline'
UNION ALL SELECT 'workflow:' || id FROM workflow WHERE order_number = {order}
"""


def routes(
    database: Database,
    *,
    clock: Clock,
    queues: Sequence[LookAtQueues],
    notify: Callable[[], None],
    answer_within: timedelta,
) -> list[Route]:
    """Return all routes. ``notify`` is called after each commit, to wake workers and the outbox relay.

    ``answer_within``: how long the refunds service may be silent.
    """
    changes = Changes(database, committed=notify)
    life = ForetellLife(clock)
    foretellers: Foretellers = {ORDER_LIFE: life, REFUND_REQUEST: ForetellRefund(clock, answer_within=answer_within)}
    menders = {ORDER_LIFE: Mender(mend_hook, life.effect)}
    return [
        *OrderRoutes(OrderSearch(database), OrderStore(database), changes).routes(),
        *OperatorRoutes(changes, clock, life).routes(),
        *ParkedRoutes(database, changes, clock).routes(),
        *TimelineRoutes(TimelineStore(database)).routes(),
        *WorkflowRoutes(WorkflowSearch(database), changes, clock, menders, foretellers).routes(),
        *TipsRoutes(database, changes, clock).routes(),
        *RefundRoutes(RefundStore(database), changes, clock).routes(),
        *DocumentRoutes(DocumentStore(database), changes, clock).routes(),
        *erasure_routes(changes, erase_subject, kept=KEPT),
        *dead_letter_routes(database, service=NAME, foretell=life.of_letter, after_commit=notify, known_as=known_as),
        *audit_routes(database, of_order=_TARGETS_OF_ORDER),
        *repeated_acts_routes(database),
        *verdict_routes(database),
        *queue_routes(queues),
    ]


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document without opening anything."""
    described = routes(
        Database("", application_name=NAME),
        clock=SystemClock(),
        queues=(),
        notify=lambda: None,
        answer_within=timedelta(),
    )
    return describe(service=NAME, description=DESCRIPTION, routes=described)
