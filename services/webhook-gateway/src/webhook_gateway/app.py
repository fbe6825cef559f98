"""Composition root."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from importlib.metadata import version
from time import monotonic
from typing import Any

from common.clock import SystemClock
from common.errors import Unavailable
from common.http import HttpServer, TokenBook, build_app
from common.messaging import Broker, MessagingMetrics, OutboxRelay, topology
from common.postgres import Database, migrate, require_schema
from common.service import Application, Lifecycle, dead_letter_routes, required
from common.telemetry.metrics import new_registry
from webhook_gateway.countdowns.metrics import WatchMetrics
from webhook_gateway.countdowns.routes import WatchDesk
from webhook_gateway.countdowns.store import PostgresCountdowns
from webhook_gateway.countdowns.watch import WatchAnswers
from webhook_gateway.deliveries import unarrived as created_orders
from webhook_gateway.deliveries.consumers import make_arrivals, make_recorder
from webhook_gateway.deliveries.dismiss import Dismissals
from webhook_gateway.deliveries.record import SERVICE, RecordDeliveries
from webhook_gateway.deliveries.retention import Retention
from webhook_gateway.deliveries.routes import Desk
from webhook_gateway.deliveries.search import DeliveryReads
from webhook_gateway.deliveries.store import (
    PostgresDesk,
    PostgresLastResort,
    PostgresRecorder,
    PostgresRefusals,
)
from webhook_gateway.durable.breaker import CircuitBreaker
from webhook_gateway.durable.broker import RabbitLane
from webhook_gateway.durable.keep_safe import KeepSafe
from webhook_gateway.durable.relay import RelaySpool
from webhook_gateway.durable.spool import Spool
from webhook_gateway.hooks.accept import AcceptHook
from webhook_gateway.hooks.metrics import GatewayMetrics
from webhook_gateway.hooks.refusals import CountRefusals
from webhook_gateway.hooks.routes import Intake, Limits
from webhook_gateway.hooks.sources import load_sources
from webhook_gateway.jobs import Every
from webhook_gateway.rescue.mail import SmtpMailer
from webhook_gateway.rescue.routes import RescueDesk
from webhook_gateway.rescue.send_reports import SendReports
from webhook_gateway.rescue.store import PostgresReports, PostgresRescue, RescueQueries
from webhook_gateway.rescue.write_report import Addresses
from webhook_gateway.settings import Settings
from webhook_gateway.website.accept import AcceptWebsiteOrder
from webhook_gateway.website.budget import HourlyBudget
from webhook_gateway.website.callers import trusted_networks
from webhook_gateway.website.limits import PostgresOrderLimits
from webhook_gateway.website.manager_tokens import ManagerTokens
from webhook_gateway.website.metrics import WebsiteMetrics
from webhook_gateway.website.routes import WebsiteOrders

PACKAGE = "webhook_gateway"
VERSION = version("suite-webhook-gateway")
DESCRIPTION = "Takes hooks of marketplaces and orders of websites; a positive answer means that the event is on disk."

_SCHEMA_PATIENCE_S = 2.0
_REFUSALS_EVERY_S = 1.0
_LIMITS_EVERY_S = 600.0
_MANAGERS_EVERY_S = 60.0
_REPORTS_EVERY_S = 1.0
_GAUGES_EVERY_S = 5.0


async def build(settings: Settings, lifecycle: Lifecycle) -> Application:
    """Open everything and serve. The drain runs in reverse: HTTP first, so that what was accepted is stored, the database last."""
    clock = SystemClock()
    amqp_url = required(settings.amqp_url, Settings, "amqp_url")
    dsn = required(settings.postgres_dsn, Settings, "postgres_dsn")
    sources = load_sources(settings.sources_file)
    tokens = TokenBook.load(settings.tokens_file)

    registry = new_registry()
    metrics = GatewayMetrics(registry, sources=sources)
    schedules = {source.name: source.schedule for source in sources.values()}
    watching = WatchMetrics(registry, schedules=schedules, spool_oldest_allowed=settings.spool_oldest_allowed)
    messaging = MessagingMetrics(registry, queues=(topology.RECORDER, topology.GATEWAY_ORDERS))

    database = Database(dsn, application_name=f"{SERVICE} {settings.replica}")
    await database.open()
    lifecycle.on_stop(database.close)
    # The schema is judged at once when PostgreSQL answers; when it is away, hooks are taken all the same and the recorder waits.
    recordable = asyncio.Event()

    async def await_schema() -> None:
        """Wait for PostgreSQL and judge its schema."""
        await require_schema(database, PACKAGE)
        recordable.set()

    try:
        await asyncio.wait_for(await_schema(), _SCHEMA_PATIENCE_S)
    except TimeoutError:
        lifecycle.supervise("schema", await_schema, may_finish=True)

    def once_recordable(run: Callable[[], Awaitable[None]]) -> Callable[[], Any]:
        """Return a task that starts when the schema is there."""

        async def wait_and_run() -> None:
            """Wait, then run."""
            await recordable.wait()
            await run()

        return wait_and_run

    spool = Spool(
        settings.spool_dir, limit=settings.spool_limit_bytes, deadline=settings.spool_deadline, metrics=metrics
    )
    await spool.open()
    lifecycle.on_stop(spool.close)

    broker = Broker(amqp_url, name=f"{SERVICE}.{settings.replica}")
    lifecycle.supervise("broker", broker.run, stop=broker.stop)
    lane = RabbitLane(broker.publisher)
    metrics.watch_broker(lambda: lane.ready)
    breaker = CircuitBreaker(failures=settings.breaker_failures, pause=settings.breaker_pause)

    outbox_relay = OutboxRelay(database, broker.publisher, metrics=messaging)
    lifecycle.supervise("outbox-relay", once_recordable(outbox_relay.run), stop=outbox_relay.stop)

    spool_relay = RelaySpool(broker=lane, spool=spool, breaker=breaker, observer=metrics, monotonic=monotonic)
    lifecycle.supervise("spool-relay", spool_relay.run, stop=spool_relay.stop)

    record = RecordDeliveries(public_url=settings.public_url)
    recorder = make_recorder(
        amqp_url,
        database=database,
        record=record,
        unit=PostgresRecorder,
        metrics=messaging,
        after_commit=outbox_relay.wake,
    )
    if settings.record:
        lifecycle.supervise("recorder", once_recordable(recorder.run), stop=recorder.stop)
    graveyard = recorder.dead_letter_collector
    lifecycle.supervise("dead-letters", once_recordable(graveyard.run), stop=graveyard.stop)

    arrivals = make_arrivals(
        amqp_url, database=database, note=created_orders.arrived, metrics=messaging, after_commit=outbox_relay.wake
    )
    lifecycle.supervise("arrivals", once_recordable(arrivals.run), stop=arrivals.stop)
    lost_arrivals = arrivals.dead_letter_collector
    lifecycle.supervise("arrivals-dead-letters", once_recordable(lost_arrivals.run), stop=lost_arrivals.stop)

    retention = Retention(database, keep=timedelta(days=settings.retention_days))

    async def keep_house() -> None:
        """Make partitions ahead, drop what is old."""
        kept = await retention(clock.now())
        watching.partitions(ahead=kept.ahead, misplaced=kept.misplaced)

    house = Every("retention", settings.upkeep_every, keep_house)
    lifecycle.supervise("retention", once_recordable(house.run))

    refusal_store = PostgresRefusals(database)
    refusals = CountRefusals(refusal_store, replica=settings.replica, clock=clock)
    flush = Every("refusals", _REFUSALS_EVERY_S, refusals.flush)
    lifecycle.supervise("refusals", once_recordable(flush.run), stop=flush.stop)

    countdowns = PostgresCountdowns(database)
    awaited = created_orders.AwaitedOrders(database)
    watch = WatchAnswers(
        countdowns,
        schedules=schedules,
        replica=settings.replica,
        now=clock.now,
        observer=watching,
    )

    async def look() -> None:
        """Settle what is known since the last look, and show it."""
        await watch.step()
        await refusal_store.settle_disowned()
        watching.unarrived(*await awaited.standing())

    looks = Every("watch", settings.watch_every, look)
    lifecycle.supervise("watch", looks.run, stop=looks.stop)  # also without a database: memory is shown too

    keep_safe = KeepSafe(
        broker=lane,
        spool=spool,
        breaker=breaker,
        observer=metrics,
        monotonic=monotonic,
        deadline=settings.confirm_deadline,
        disown=refusals.disown,
    )
    intake = Intake(
        sources=sources,
        accept_hook=AcceptHook(keep_safe, replica=settings.replica),
        refusals=refusals,
        watch=watch,
        observer=metrics,
        clock=clock,
        limits=Limits(body=settings.max_body_bytes, kept=settings.kept_body_bytes, slowest=settings.body_deadline),
    )
    # A pool of their own: neither a busy recorder nor a busy desk may cost a customer's order its limits, nor the other way round.
    counting = Database(dsn, application_name=f"{SERVICE} {settings.replica} limits", max_size=4)
    await counting.open()
    lifecycle.on_stop(counting.close)
    limits = PostgresOrderLimits(
        counting,
        limits={
            "phone": settings.orders_per_phone,
            "address": settings.orders_per_address,
            "ip": settings.orders_per_ip,
        },
        window=settings.orders_window,
        secret=limit_key(settings, tokens),
        deadline=settings.orders_limit_deadline,
        pause=settings.breaker_pause,
        monotonic=monotonic,
    )
    forget_limits = Every("order-limits", _LIMITS_EVERY_S, limits.forget)
    lifecycle.supervise("order-limits", once_recordable(forget_limits.run))
    managers = ManagerTokens(database, tokens.digests_of("website_manager"))
    remember = Every("manager-tokens", _MANAGERS_EVERY_S, managers.refresh)
    lifecycle.supervise("manager-tokens", once_recordable(remember.run))
    website_metrics = WebsiteMetrics(registry)
    website = WebsiteOrders(
        tokens=tokens,
        was_manager=managers.was_manager,
        accept=AcceptWebsiteOrder(
            keep_safe,
            PostgresLastResort(database, record),
            limits=limits,
            budget=HourlyBudget(
                proven=settings.refused_bytes_per_hour, unproven=settings.unproven_bytes_per_hour, monotonic=monotonic
            ),
            observer=website_metrics,
            replica=settings.replica,
            currency=settings.website_currency,
        ),
        refusals=refusals,
        observer=metrics,
        clock=clock,
        trusted=trusted_networks(settings.trusted_proxies),
        largest=settings.max_body_bytes,
        slowest=settings.body_deadline,
    )
    desk = Desk(
        database,
        reads=DeliveryReads(database),
        unit=lambda connection, dry_run: PostgresDesk(connection, dry_run=dry_run),
        clock=clock,
        replica=settings.replica,
        wake=outbox_relay.wake,
    )
    addresses = Addresses.of(
        sender=settings.mail_from,
        to=settings.report_to if settings.smtp_host is not None else None,
        copies=settings.report_copies,
    )
    rescue_reads = RescueQueries(database, public_url=settings.public_url)
    wakers = [outbox_relay.wake]
    if settings.smtp_host is not None:
        password = settings.smtp_password
        mailer = SmtpMailer(
            host=settings.smtp_host,
            port=settings.smtp_port,
            user=settings.smtp_user,
            password=None if password is None else password.get_secret_value(),
            tls=settings.smtp_tls,
            deadline=settings.smtp_deadline,
        )
        send_reports = SendReports(
            PostgresReports(database),
            mailer,
            observer=website_metrics,
            clock=clock,
            deadline=settings.smtp_deadline,
            retry=settings.report_retry,
            patience=settings.report_patience,
            public_url=settings.public_url,
        )
        reports = Every("endangered-reports", _REPORTS_EVERY_S, send_reports, last_round=False)
        lifecycle.supervise("endangered-reports", once_recordable(reports.run), stop=reports.stop)
        wakers.append(reports.wake)

    async def show_endangered() -> None:
        """Set the gauges of what waits for people."""
        waiting, oldest_at, unsent, unsent_at = await rescue_reads.waiting()
        website_metrics.show(waiting=waiting, oldest_at=oldest_at, unsent=unsent, unsent_at=unsent_at)

    gauges = Every("endangered-gauges", _GAUGES_EVERY_S, show_endangered)
    lifecycle.supervise("endangered-gauges", once_recordable(gauges.run))

    def wake_rescue() -> None:
        """Something was committed: events to publish, maybe a mail to send."""
        for waker in wakers:
            waker()

    rescue_desk = RescueDesk(
        database,
        reads=rescue_reads,
        unit=lambda connection, dry_run: PostgresRescue(connection, dry_run=dry_run, public_url=settings.public_url),
        addresses=addresses,
        clock=clock,
        replica=settings.replica,
        currency=settings.website_currency,
        wake=wake_rescue,
    )

    watch_desk = WatchDesk(database, countdowns=countdowns, unarrived=awaited, quarantine=Dismissals())

    async def one_lane() -> None:
        """Readiness: one lane must be able to take an order durably."""
        if not lane.ready:
            try:
                await spool.check()
            except Unavailable as error:
                raise Unavailable(f"no lane can take an order: RabbitMQ is away, and {error.detail}") from error

    lifecycle.health.add_check("lanes", one_lane)
    app = build_app(
        service=SERVICE,
        version=VERSION,
        description=DESCRIPTION,
        routes=[
            *intake.routes(),
            *website.routes(),
            *desk.routes(),
            *rescue_desk.routes(),
            *watch_desk.routes(),
            *dead_letter_routes(database, after_commit=outbox_relay.wake),
        ],
        health=lifecycle.health,
        registry=registry,
        tokens=tokens,
    )
    server = HttpServer(app, settings.host, settings.port)
    await server.start()
    lifecycle.on_stop(server.stop)
    lifecycle.on_stop(recordable.set)
    return Application(server=server, lifecycle=lifecycle)


def limit_key(settings: Settings, tokens: TokenBook) -> bytes:
    """Return the key of the digests of phones: the setting, else one made of the website's tokens, which all replicas share."""
    if settings.orders_limit_key is not None:
        return settings.orders_limit_key.get_secret_value().encode()
    return b"".join(sorted(tokens.digests_of("website") | tokens.digests_of("website_manager")))


async def migrate_database(settings: Settings) -> None:
    """Bring the database to this release's schema."""
    await migrate(required(settings.postgres_dsn, Settings, "postgres_dsn"), PACKAGE)
