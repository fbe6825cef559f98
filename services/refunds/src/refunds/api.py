"""The table of routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from common.clock import Clock
from common.http import Changes, Route, audit_routes
from common.postgres import Database
from common.service import (
    LookAtQueues,
    dead_letter_routes,
    erasure_routes,
    in_turn,
    queue_routes,
    repeated_acts_routes,
    verdict_routes,
)
from refunds import erase
from refunds.payments.model import GatewayRoutes
from refunds.providers.calls import GatewayCalls
from refunds.reconciliation.check_refund import CheckRefund
from refunds.reconciliation.handle_notification import HandleNotification
from refunds.reconciliation.metrics import ReconciliationMetrics
from refunds.reconciliation.reconcile import Reconcile
from refunds.reconciliation.routes import ReconciliationRoutes
from refunds.reconciliation.settle_difference import SettleDifference
from refunds.reconciliation.settling_routes import SettlingRoutes
from refunds.refunds.admin_routes import RefundAdminRoutes
from refunds.refunds.captured import RereadCaptured
from refunds.refunds.close import CloseRefund
from refunds.refunds.restart import RestartRefund
from refunds.refunds.restart_many import RestartMany
from refunds.refunds.routes import RefundRoutes
from refunds.refunds.store import RefundTransactions
from refunds.refunds.transition import SERVICE

_TARGETS_OF_ORDER = """
SELECT 'refund:' || id FROM refunds WHERE order_number = {order}
UNION ALL SELECT 'difference:' || id FROM refund_differences WHERE order_number = {order}
"""


def routes(
    database: Database,
    transactions: RefundTransactions,
    calls: GatewayCalls,
    restart: RestartRefund,
    close: CloseRefund,
    check: CheckRefund,
    reread: RereadCaptured,
    on_notification: HandleNotification,
    reconcile: Reconcile,
    metrics: ReconciliationMetrics,
    clock: Clock,
    *,
    gateways: GatewayRoutes,
    queues: Sequence[LookAtQueues],
    committed: Callable[[], None],
    reconciling: Callable[[], AbstractContextManager[None]],
) -> list[Route]:
    """Return every HTTP route; opens nothing. ``committed`` wakes whoever works on what a request has changed."""
    changes = Changes(database, committed=committed)
    return [
        *RefundRoutes(transactions, changes, reread, clock, gateways=gateways).routes(),
        *RefundAdminRoutes(database, transactions, changes, restart, RestartMany(changes, restart), close).routes(),
        *SettlingRoutes(changes, check, SettleDifference(database, transactions, calls, clock)).routes(),
        *ReconciliationRoutes(
            calls, on_notification, reconcile, changes, metrics, clock, noticed=committed, task=reconciling
        ).routes(),
        *dead_letter_routes(database, service=SERVICE, after_commit=committed),
        *audit_routes(database, of_order=_TARGETS_OF_ORDER),
        *repeated_acts_routes(database),
        *verdict_routes(database),
        *queue_routes(queues),
        *erasure_routes(changes, in_turn(erase.PLACES), kept=erase.KEPT),
    ]
