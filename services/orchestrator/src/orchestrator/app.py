"""The composition root of the orchestrator: a straight line from settings to a listening server."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from ssl import SSLContext

from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from common.clock import Clock, SystemClock
from common.http import HttpServer, build_app, new_session
from common.http.sent_token import SentToken
from common.ids import new_id
from common.messaging import Broker, Consumer, MessagingMetrics, OutboxRelay, topology
from common.postgres import Database, Lent, require_schema
from common.resilience import CircuitBreaker
from common.service import (
    Application,
    Lifecycle,
    LookAtQueues,
    PlatformRetention,
    ProposeAutomation,
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
from common.telemetry import get_logger
from common.telemetry.metrics import new_registry
from common.telemetry.tips_figures import TipsFigures
from orchestrator.api import DESCRIPTION, NAME, routes
from orchestrator.documents.issue import IssueDocument
from orchestrator.documents.store import DocumentStore
from orchestrator.engine.ingest import Ingest
from orchestrator.engine.model import ORDER_DOCUMENT, ORDER_LIFE, REFUND_REQUEST, UPDATE_TRANSACTIONS, WorkerPool
from orchestrator.engine.retention import Retention
from orchestrator.engine.store import WorkflowStore
from orchestrator.engine.wakeup import Wakeup
from orchestrator.engine.worker import Handler as WorkflowHandler
from orchestrator.engine.worker import Worker, WorkerLimits, free_leases
from orchestrator.erasures.forget import ForgetCustomers
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.orders.aggregate import Drift, derive_aggregates
from orchestrator.orders.hooks import event_id_of, ingest_hooks
from orchestrator.orders.life import OrderLife, Placement
from orchestrator.orders.measure import Measure, orders_waiting
from orchestrator.orders.parked import raise_overdue
from orchestrator.orders.store import OrderStore
from orchestrator.refunds.answers import store_answers
from orchestrator.refunds.follow import FollowRefund
from orchestrator.refunds.store import RefundStore
from orchestrator.refunds.unanswered import look_for_unanswered
from orchestrator.rights import TABLES
from orchestrator.settings import OrchestratorSettings
from orchestrator.timeline.store import add_journal_entries
from orchestrator.tips.decide import TipsCaller
from orchestrator.tips.experiment import Experiment, FlagProvider, FlagRows
from orchestrator.tips.feedback import FeedbackClient
from orchestrator.tips.metrics import TipsMetrics
from orchestrator.tips.service import TipsClient
from orchestrator.tips.store import TipsStore
from orchestrator.tips.update_transactions import UpdateTransactions

_log = get_logger()
_QUEUES = (topology.ORCHESTRATOR_INTAKE, topology.ORCHESTRATOR_JOURNAL, topology.ORCHESTRATOR_REFUNDS)
_REPEATED_SECONDS = 3600.0
_LINGER_S = 0.005
_JOURNAL_LINGER_S = 0.5  # nobody waits for a line of a timeline: a transaction for ten costs little more than one
_JITTER = 0.2


async def build(settings: OrchestratorSettings, lifecycle: Lifecycle, *, clock: Clock | None = None) -> Application:
    """Open everything, work and serve. Waits for PostgreSQL and its schema; starts while RabbitMQ is away and says so on ``/readyz``.

    A drain runs backwards: the server stops, then the jobs and consumers, then the workers, and last the relay, which has a last
    look at what they have put into the outbox.
    """
    clock = clock or SystemClock()
    dsn = required(settings.postgres_dsn, OrchestratorSettings, "postgres_dsn")
    amqp_url = required(settings.amqp_url, OrchestratorSettings, "amqp_url")
    registry, tls = new_registry(), Tls(settings)
    tokens = await accepted_tokens(lifecycle, registry, settings, trusted=tls.trusted)
    sent = {
        name: SentToken(path)
        for name, path in (
            ("internal_token", settings.internal_token_file),
            ("shadow_token", settings.shadow_token_file),
        )
        if path is not None and settings.tips_url is not None
    }
    watched = {"tokens": (settings.tokens_file, tokens.read), **{name: (it.path, it.read) for name, it in sent.items()}}
    watch_files(lifecycle, registry, {**watched, **tls.files})
    metrics = OrchestratorMetrics(registry, sources=settings.metric_sources)
    messaging = MessagingMetrics(registry, queues=_QUEUES)

    database = Database(dsn, application_name=NAME, max_size=settings.database_connections)
    await database.open()
    lifecycle.on_stop(database.close)
    lifecycle.health.add_check("postgres", database.check)
    broker = Broker(amqp_url, name=NAME)
    lifecycle.supervise("broker", broker.run, stop=broker.stop)
    lifecycle.health.add_check("rabbitmq", broker.check)

    relay = OutboxRelay(database, broker.publisher, metrics=messaging)
    wakeup = Wakeup(database)

    def notify(pool: WorkerPool | None = None) -> None:
        """Wake whoever has work now: a worker of the pool, or of each, and the relay."""
        wakeup.notify(pool)
        relay.wake()

    queues: tuple[LookAtQueues, ...] = (
        *platform_queues(database, broker, _QUEUES, outbox_late_after=60.0),
        partial(orders_waiting, database),
    )
    answer_within = timedelta(seconds=settings.refund_answer_within)
    app = build_app(
        service=NAME,
        description=DESCRIPTION,
        routes=routes(database, clock=clock, queues=queues, notify=notify, answer_within=answer_within),
        health=lifecycle.health,
        registry=registry,
        tokens=tokens,
        database=database,
    )
    # The server listens before PostgreSQL is there: /livez is true and /readyz says what is awaited.
    server = await lifecycle.enter(HttpServer(app, settings.host, settings.port, certificate=tls.certificate))
    await require_schema(database, NAME)
    tell_of_failures(lifecycle, database, registry, service=NAME)
    lifecycle.supervise("outbox-relay", relay.run, stop=relay.stop)
    lifecycle.supervise("wake", wakeup.run)

    update_transactions = await _update_transactions(
        settings, lifecycle, database, registry, clock, sent=sent, trusted=tls.trusted
    )
    orders, refunds = OrderStore(database), RefundStore(database)
    placement = Placement(zones_by_store=settings.zones_by_store, tariffs_by_shipment=settings.tariffs_by_shipment)
    handlers: Mapping[str, WorkflowHandler] = {
        ORDER_LIFE: OrderLife(orders, clock, placement),
        UPDATE_TRANSACTIONS: update_transactions,
        REFUND_REQUEST: FollowRefund(refunds, clock, answer_within=answer_within),
        ORDER_DOCUMENT: IssueDocument(orders, DocumentStore(database), clock),
    }
    workflows = WorkflowStore(database)
    worker_pools: list[tuple[str, WorkerPool, WorkflowStore, WorkerLimits]] = [
        *[("worker", WorkerPool.LIFE, workflows, settings.worker_limits)] * settings.workers,
        *[("calls", WorkerPool.CALLS, WorkflowStore(database, WorkerPool.CALLS), settings.call_limits)]
        * settings.call_workers,
    ]
    for index, (name, pool, store, limits) in enumerate(worker_pools):
        worker = Worker(
            store,
            handlers,
            owner=f"{settings.replica}/{name}-{index}/{new_id()}",
            wakeup=wakeup.listener(pool),
            metrics=metrics,
            clock=clock,
            notify_workers=notify,
            notify_relay=relay.wake,
            limits=limits,
        )
        lifecycle.supervise(f"{name}-{index}", worker.run, stop=worker.stop)

    retention = Retention(
        database=database,
        keep_events=timedelta(days=settings.keep_events_days),
        keep_timeline=timedelta(days=settings.keep_timeline_days),
        clock=clock,
        metrics=metrics,
    )
    keep = timedelta(days=settings.keep_inbox_days)
    forget_platform = PlatformRetention.of(settings, database, clock, keep_inbox=keep)
    keep_customers = timedelta(days=settings.keep_customers_days)
    forget_customers = ForgetCustomers(database=database, keep=keep_customers, clock=clock)
    measure = Measure(database, metrics)
    sizes = TableSizes(registry, TABLES)
    parking_limit = timedelta(seconds=settings.parking_limit)
    for job, seconds, work in (
        ("free-leases", min(settings.lease / 3, 5.0), partial(free_leases, workflows, metrics, notify)),
        (
            "raise-overdue",
            settings.upkeep_every,
            partial(raise_overdue, database, clock, limit=parking_limit, notify=notify),
        ),
        ("derive-aggregates", settings.upkeep_every, partial(derive_aggregates, database)),
        ("measure", settings.measure_every, measure.work),
        ("measure-tables", settings.measure_every * 12, partial(sizes.measure, database)),
        ("measure-sources", settings.measure_every * 12, measure.sources),
        ("look-for-drift", settings.measure_every, Drift(database, metrics)),
        ("look-for-unanswered-refunds", settings.measure_every * 12, partial(look_for_unanswered, database)),
        ("prune", settings.prune_every, retention),
        ("prune-platform", settings.prune_every, forget_platform),
        ("repeated-acts", _REPEATED_SECONDS, ProposeAutomation(database=database, service=NAME, clock=clock)),
        ("forget-customers", settings.prune_every, forget_customers),
    ):
        every(lifecycle, seconds, work, name=job, jitter=_JITTER)
    guard_audit(lifecycle, database, registry)

    ingest = Ingest(
        lambda connection: OrderLife(OrderStore(Lent(connection)), clock, placement),
        metrics=metrics,
        clock=clock,
        notify_workers=notify,
        notify_calls=partial(notify, WorkerPool.CALLS),
        notify_relay=relay.wake,
    )
    take_in, leave = partial(ingest_hooks, ingest=ingest), partial(ingest_hooks, ingest=ingest.append)
    for queue, handler, careful, after_commit, linger in (
        (topology.ORCHESTRATOR_INTAKE, take_in, leave, relay.wake, _LINGER_S),
        (topology.ORCHESTRATOR_JOURNAL, add_journal_entries, None, relay.wake, _JOURNAL_LINGER_S),
        (topology.ORCHESTRATOR_REFUNDS, partial(store_answers, clock=clock), None, notify, _LINGER_S),
    ):
        consumer = Consumer(
            amqp_url,
            queue,
            database=database,
            name=queue.name,
            service=NAME,
            handler=handler,
            careful=careful,
            metrics=messaging,
            key=event_id_of,
            after_commit=after_commit,
            batch_size=settings.intake_batch_size,
            linger=linger,
        )
        letters = consumer.dead_letter_collector
        lifecycle.supervise(f"{queue.name}.dead", letters.run, stop=letters.stop)
        lifecycle.supervise(queue.name, consumer.run, stop=consumer.stop)
        if queue is topology.ORCHESTRATOR_INTAKE:
            lifecycle.health.add_check("intake", consumer.check)

    lifecycle.on_stop(server.stop, name="http-server")  # opened early, it stops first all the same
    return Application(server=server, lifecycle=lifecycle)


async def _update_transactions(
    settings: OrchestratorSettings,
    lifecycle: Lifecycle,
    database: Database,
    registry: CollectorRegistry,
    clock: Clock,
    *,
    sent: Mapping[str, SentToken],
    trusted: SSLContext | None,
) -> UpdateTransactions:
    """Open what decides tips: the switches, the tips service and the feedback service, where their settings are given."""
    flags = FlagRows(database, max_age=settings.flags_max_age)
    await flags.read()  # before anybody asks
    lifecycle.supervise("flags", partial(flags.poll, settings.flags_every))
    experiment = Experiment(FlagProvider(flags), domain=f"{NAME}/{new_id()}", deadline=settings.experiment_deadline)
    lifecycle.on_stop(experiment.close, name="experiment")
    figures = TipsFigures(
        registry, zones=settings.tips_zones, tariffs=settings.tips_tariffs, currencies=settings.tips_currencies
    )
    metrics, store = TipsMetrics(registry, figures), TipsStore(database)
    caller: TipsCaller | None = None
    if settings.feedback_url is None:
        _log.warning("tips_not_configured", detail="without ORCHESTRATOR_FEEDBACK_URL nobody decides tips")
    else:
        limit = settings.call_concurrency * 2
        session = await lifecycle.enter(new_session(service=NAME, limit=limit, trusted=trusted))
        caller = TipsCaller(
            experiment=experiment,
            service=_tips_service(settings, sent, session, metrics),
            feedback=FeedbackClient(
                session, url=str(settings.feedback_url), deadline=settings.feedback_deadline, clock=clock
            ),
            store=store,
            breaker=CircuitBreaker(failures=settings.tips_breaker_failures, pause=settings.tips_breaker_pause),
            rules=settings.tips_rules,
            clock=clock,
            metrics=metrics,
        )
    return UpdateTransactions(
        store,
        caller,
        rules=settings.tips_rules,
        clock=clock,
        metrics=metrics,
        delay=settings.deferred_delay,
        concurrency=settings.call_concurrency,
    )


def _tips_service(
    settings: OrchestratorSettings, sent: Mapping[str, SentToken], session: ClientSession, metrics: TipsMetrics
) -> TipsClient | None:
    if settings.tips_url is None or settings.internal_token_file is None:
        return None
    return TipsClient(
        session,
        url=str(settings.tips_url),
        token=sent["internal_token"],
        explain_token=sent.get("shadow_token"),
        deadline=settings.tips_deadline,
        metrics=metrics,
    )
