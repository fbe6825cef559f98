"""What the composition root has done by the clock, or at an event, where it takes parts of several features."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from common.messaging import Broker
from common.messaging.topology import GATEWAY_ORDERS, RECORDER
from common.postgres import Database, require_schema
from common.service import Lifecycle, LookAtQueues, WaitingQueue, platform_queues, queue
from webhook_gateway.countdowns.watch import WatchAnswers
from webhook_gateway.deliveries.metrics import DeliveryMetrics
from webhook_gateway.deliveries.unarrived import UnarrivedOrders
from webhook_gateway.durable.spool_states import SpoolStates
from webhook_gateway.hooks.metrics import RequestMetrics
from webhook_gateway.hooks.refusals import CountRefusals
from webhook_gateway.hooks.store import RefusalStore
from webhook_gateway.rescue.metrics import RescueMetrics
from webhook_gateway.rescue.store import EndangeredStore
from webhook_gateway.source_watch.model import Refused


async def flush(refusals: CountRefusals, lifecycle: Lifecycle) -> None:
    """Write what was counted; for good, when nothing comes in any more."""
    await refusals.flush(last=lifecycle.health.draining)


async def watch(
    watch: WatchAnswers,
    refusals: RefusalStore,
    unarrived: UnarrivedOrders,
    metrics: DeliveryMetrics,
    show_received: Callable[[], None],
) -> None:
    """Look at countdowns, at disowned deliveries and at orders on their way."""
    show_received()
    await watch.step()
    await refusals.settle_disowned()
    metrics.unarrived(*await unarrived.count())


def queues(
    database: Database, broker: Broker, spools: SpoolStates, unarrived: UnarrivedOrders, endangered: EndangeredStore
) -> Sequence[LookAtQueues]:
    """Return the reads of everything that waits."""
    own = (spools.waiting, partial(orders_waiting, unarrived, endangered))
    return (*own, *platform_queues(database, broker, (RECORDER, GATEWAY_ORDERS), outbox_late_after=120.0))


async def orders_waiting(unarrived: UnarrivedOrders, endangered: EndangeredStore) -> Sequence[WaitingQueue]:
    """Read orders on their way to the orchestrator, endangered ones that wait for a person, and reports that wait for the mail server."""
    count, oldest = await unarrived.count()
    by_category, open_since, unsent, unsent_since = await endangered.waiting()
    known = sum(number for category, number in by_category.items() if category != "anonymous")
    return [
        queue("unarrived_orders", count, _age(oldest), late_after=300.0),
        queue("endangered_orders", known, _age(open_since), late_after=3600.0),
        queue("endangered_reports", unsent, _age(unsent_since), late_after=900.0),
    ]


def _age(since: datetime | None) -> float | None:
    return None if since is None else (datetime.now(UTC) - since).total_seconds()


async def show_endangered(store: EndangeredStore, metrics: RescueMetrics) -> None:
    """Show the endangered orders that wait for a person."""
    metrics.show(*await store.waiting())


def malformed(refusals: CountRefusals, metrics: RequestMetrics) -> None:
    """Count a request that is not well-formed HTTP, whatever address it was for."""
    refusals.malformed()
    metrics.malformed()


def start_countdown(watch: WatchAnswers, source: str, refused: Refused) -> None:
    """Start the countdown of an ``order.created`` that did not prove its source."""
    created = None if refused.claim is None else refused.claim.external_id
    watch.answered(source, created, received_at=refused.at, status=refused.status, late=None)


async def await_schema(database: Database, package: str, recordable: asyncio.Event) -> None:
    """Wait for PostgreSQL, judge its schema, and say that there is one to write to."""
    await require_schema(database, package)
    recordable.set()
