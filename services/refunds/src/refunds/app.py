"""The composition root of refunds: a straight line from settings to listening, consuming and carrying refunds on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import partial
from operator import attrgetter
from typing import Any
from uuid import uuid4

from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from common.clock import Clock, SystemClock
from common.http import HttpServer, build_app, describe, new_session
from common.http.sent_token import SentToken
from common.messaging import Broker, Consumer, MessagingMetrics, OutboxRelay
from common.messaging.topology import REFUNDS_WANTED, REFUNDS_WORK
from common.postgres import Database, require_schema
from common.service import (
    Application,
    Lifecycle,
    LookAtQueues,
    PlatformRetention,
    ProposeAutomation,
    ReadyGate,
    TableSizes,
    Tls,
    accepted_tokens,
    every,
    guard_audit,
    platform_queues,
    required,
    tell_of_failures,
    watch_files,
)
from common.telemetry.metrics import new_registry
from refunds import api
from refunds.differences.store import count_differences
from refunds.providers.calls import GatewayCalls
from refunds.providers.gateway import Gateway
from refunds.providers.metrics import GatewayMetrics
from refunds.providers.trust import TrustGateway
from refunds.providers.yookassa import YooKassaGateway
from refunds.reconciliation.check_refund import CheckRefund
from refunds.reconciliation.compare import CompareRefund
from refunds.reconciliation.daily import DailyReconciliation
from refunds.reconciliation.forget import Forget
from refunds.reconciliation.handle_notification import HandleNotification
from refunds.reconciliation.metrics import ReconciliationMetrics
from refunds.reconciliation.reconcile import Reconcile
from refunds.reconciliation.store import ReconciliationStore
from refunds.refunds.advance import AdvanceRefund
from refunds.refunds.apply_answer import ApplyAnswer
from refunds.refunds.captured import RereadCaptured
from refunds.refunds.close import CloseRefund
from refunds.refunds.confirm import ConfirmRequest, OrchestratorsRecord
from refunds.refunds.consumers import RefundConsumers, attempt_key
from refunds.refunds.evidence import FindEvidence
from refunds.refunds.metrics import RefundMetrics
from refunds.refunds.queries import RefundQueue, count_unfinished
from refunds.refunds.queues import refunds_waiting
from refunds.refunds.restart import RestartRefund
from refunds.refunds.store import RefundTransactions
from refunds.refunds.transition import SERVICE
from refunds.refunds.worker import RefundWorker
from refunds.rights import TABLES
from refunds.settings import TRUST, YOOKASSA, RefundsSettings

NAME = "refunds"
DESCRIPTION = "Gives money back through the payment systems: each refund at most once, never more than was captured."
QUEUES = (REFUNDS_WANTED, REFUNDS_WORK)
GATEWAYS = (TRUST, YOOKASSA)
_GAUGES_SECONDS = 5.0
_RECONCILIATION = "reconciliation"
_RECONCILE_EVERY_SECONDS = 60.0
_REPEATED_SECONDS = 3600.0
_RETENTION_SECONDS = 3600.0
_SIZES_SECONDS = 60.0


async def build(settings: RefundsSettings, lifecycle: Lifecycle, *, clock: Clock | None = None) -> Application:
    """Open everything, serve, then consume and work. Waits for PostgreSQL and RabbitMQ while they are away; ``/readyz`` says so.

    Payment systems are no readiness check: while they are away refunds wait, and requests are still taken.
    """
    dsn = required(settings.postgres_dsn, RefundsSettings, "postgres_dsn")
    amqp_url = required(settings.amqp_url, RefundsSettings, "amqp_url")
    registry, tls = new_registry(), Tls(settings)
    tokens = await accepted_tokens(lifecycle, registry, settings, trusted=tls.trusted)
    sent = None if settings.internal_token_file is None else SentToken(settings.internal_token_file)
    ours = {} if sent is None else {"internal_token": (sent.path, sent.read)}
    watch_files(lifecycle, registry, {"tokens": (settings.tokens_file, tokens.read), **ours, **tls.files})
    messaging_metrics = MessagingMetrics(registry, queues=QUEUES)

    database = Database(dsn, application_name=NAME, max_size=settings.database_connections)
    await database.open()
    lifecycle.on_stop(database.close, name="database")
    lifecycle.health.add_check("postgres", database.check)
    broker = Broker(amqp_url, name=NAME)
    lifecycle.health.add_check("rabbitmq", broker.check)
    schema = ReadyGate("the schema has not been checked yet")
    lifecycle.health.add_check("schema", schema.check)
    relay = OutboxRelay(database, broker.publisher, metrics=messaging_metrics)
    session = await lifecycle.enter(
        new_session(
            total=settings.gateway_deadline, limit=settings.gateway_connections, service=NAME, trusted=tls.trusted
        )
    )
    parts = _Parts(
        settings,
        database,
        gateways_of(settings, session),
        registry,
        clock or SystemClock(),
        queues=platform_queues(database, broker, QUEUES, outbox_late_after=120.0),
        wake_relay=relay.wake,
        reconciling=partial(lifecycle.failures.of, _RECONCILIATION),
        record=await _record(lifecycle, settings, sent, tls),
    )
    app = build_app(
        service=NAME,
        description=DESCRIPTION,
        routes=parts.routes,
        health=lifecycle.health,
        registry=registry,
        tokens=tokens,
        database=database,
    )
    server = await lifecycle.enter(HttpServer(app, settings.host, settings.port, certificate=tls.certificate))
    await require_schema(database, NAME)
    schema.open()
    tell_of_failures(lifecycle, database, registry, service=NAME)

    lifecycle.supervise("broker", broker.run, stop=broker.stop)
    lifecycle.supervise("outbox-relay", relay.run, stop=relay.stop)
    lifecycle.supervise("worker", parts.worker.run, stop=parts.worker.stop)
    every(lifecycle, _RECONCILE_EVERY_SECONDS, parts.daily_reconciliation, name=_RECONCILIATION)
    every(lifecycle, _GAUGES_SECONDS, parts.show_gauges, name="gauges")
    forget = Forget(database=database, clock=parts.clock, keep=timedelta(days=settings.evidence_days))
    every(lifecycle, _RETENTION_SECONDS, forget, name="retention")
    keep = timedelta(days=settings.inbox_days)
    forget_platform = PlatformRetention.of(settings, database, parts.clock, keep_inbox=keep)
    every(lifecycle, _RETENTION_SECONDS, forget_platform, name="platform-retention")
    guard_audit(lifecycle, database, registry)
    sizes = TableSizes(registry, TABLES)
    every(lifecycle, _SIZES_SECONDS, partial(sizes.measure, database), name="table-sizes")
    propose = ProposeAutomation(database=database, service=SERVICE, clock=parts.clock)
    every(lifecycle, _REPEATED_SECONDS, propose, name="repeated-acts")
    for spec, handler, key in (
        (REFUNDS_WANTED, parts.consumers.request_refunds, attrgetter("id")),
        (REFUNDS_WORK, parts.consumers.begin_attempts, attempt_key),
    ):
        consumer = Consumer(
            amqp_url,
            spec,
            database=database,
            name=spec.name,
            service=NAME,
            handler=handler,
            key=key,
            metrics=messaging_metrics,
            after_commit=parts.committed,
        )
        dead = consumer.dead_letter_collector
        lifecycle.supervise(f"dead-letters-{spec.name}", dead.run, stop=dead.stop)
        lifecycle.supervise(f"consumer-{spec.name}", consumer.run, stop=consumer.stop)
        lifecycle.health.add_check(spec.name, consumer.check)
    return Application(server=server, lifecycle=lifecycle)


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document; opens and reads nothing."""
    database = Database("postgresql://", application_name=NAME)
    settings = RefundsSettings.model_construct()
    parts = _Parts(settings, database, {}, new_registry(), SystemClock(), queues=(), wake_relay=lambda: None)
    return describe(service=NAME, description=DESCRIPTION, routes=parts.routes)


def gateways_of(settings: RefundsSettings, session: ClientSession) -> dict[str, Gateway]:
    """Return the payment systems that are configured, by name."""
    gateways: dict[str, Gateway] = {
        TRUST: TrustGateway(
            session,
            url=str(settings.trust_url),
            service_token=settings.trust_service_token.get_secret_value(),
            key_retention=timedelta(seconds=settings.key_retention),
        )
    }
    if settings.yookassa_shop_id is not None and settings.yookassa_secret_key is not None:
        gateways[YOOKASSA] = YooKassaGateway(
            session,
            url=str(settings.yookassa_url),
            shop_id=settings.yookassa_shop_id,
            secret_key=settings.yookassa_secret_key.get_secret_value(),
            key_retention=timedelta(seconds=settings.yookassa_key_retention),
        )
    return gateways


async def _record(
    lifecycle: Lifecycle, settings: RefundsSettings, token: SentToken | None, tls: Tls
) -> OrchestratorsRecord | None:
    if settings.orchestrator_url is None or token is None:
        return None
    session = await lifecycle.enter(new_session(service=NAME, limit=settings.concurrency, trusted=tls.trusted))
    return OrchestratorsRecord(
        session, url=str(settings.orchestrator_url), token=token, deadline=settings.gateway_deadline
    )


class _Parts:
    """What is between the outside and the entry points, put together; nothing of it runs yet."""

    def __init__(
        self,
        settings: RefundsSettings,
        database: Database,
        gateways: Mapping[str, Gateway],
        registry: CollectorRegistry,
        clock: Clock,
        *,
        queues: Sequence[LookAtQueues],
        wake_relay: Callable[[], None],
        reconciling: Callable[[], AbstractContextManager[None]] = nullcontext,
        record: OrchestratorsRecord | None = None,
    ) -> None:
        self._database = database
        self.clock = clock
        self._wake_relay = wake_relay
        self._refund_metrics = RefundMetrics(registry)
        self._reconciliation_metrics = ReconciliationMetrics(registry)
        self._gateway_metrics = GatewayMetrics(registry, gateways=GATEWAYS)
        self._calls = calls = GatewayCalls(gateways, self._gateway_metrics, clock, limits=settings.guard)
        transactions = RefundTransactions(database, self._refund_metrics, after_commit=wake_relay)
        apply_answer = ApplyAnswer(calls, clock, settings.retries)
        owner = f"{settings.replica}/{uuid4().hex[:8]}"
        self.worker = RefundWorker(
            RefundQueue(database, owner=owner, lease=timedelta(seconds=settings.lease)),
            AdvanceRefund(
                transactions,
                calls,
                apply_answer,
                clock,
                None
                if record is None
                else ConfirmRequest(transactions, record, clock, callers=settings.confirm_callers),
            ),
            clock,
            concurrency=settings.concurrency,
            poll=settings.poll,
            failed=self._refund_metrics.failures.inc,
        )
        self._books = books = ReconciliationStore(database, owner=owner)
        find = FindEvidence(transactions, calls, clock)
        reread = RereadCaptured(transactions, calls, clock)
        compare = CompareRefund(transactions, calls, apply_answer, clock)
        reconcile = Reconcile(transactions, calls, books, compare, clock)
        self.daily_reconciliation = DailyReconciliation(
            reconcile,
            books,
            self._reconciliation_metrics,
            clock,
            hour=settings.reconcile_at,
            back=timedelta(days=settings.reconcile_days),
        )
        self.consumers = RefundConsumers(transactions, clock, gateways=settings.routes)
        self.routes = api.routes(
            database,
            transactions,
            calls,
            RestartRefund(transactions, calls, find, reread, apply_answer, clock),
            CloseRefund(transactions, find, apply_answer, clock),
            CheckRefund(transactions, compare, reread, clock),
            reread,
            HandleNotification(transactions, compare, reread, clock),
            reconcile,
            self._reconciliation_metrics,
            clock,
            gateways=settings.routes,
            queues=(*queues, partial(refunds_waiting, database)),
            committed=self.committed,
            reconciling=reconciling,
        )

    def committed(self) -> None:
        """Wake whoever has work after a commit."""
        self._wake_relay()
        self.worker.wake()

    async def show_gauges(self) -> None:
        """Set the gauges from what the database holds."""
        self._refund_metrics.show(await count_unfinished(self._database))
        self._reconciliation_metrics.show_differences(await count_differences(self._database))
        self._reconciliation_metrics.show_reconciled(await self._books.last_reconciled())
        self._gateway_metrics.show_guards(self._calls.guards)
