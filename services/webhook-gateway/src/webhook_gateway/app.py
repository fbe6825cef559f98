"""Composition root."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from time import monotonic

from common.clock import SystemClock
from common.http import Changes, HttpServer, build_app
from common.messaging import Broker, MessagingMetrics, OutboxRelay, topology
from common.postgres import Database
from common.resilience import CircuitBreaker
from common.service import (
    Application,
    Lifecycle,
    PlatformRetention,
    ProposeAutomation,
    TableSizes,
    Tls,
    accepted_tokens,
    every,
    guard_audit,
    required,
    tell_of_failures,
    watch_files,
)
from common.telemetry.metrics import new_registry
from webhook_gateway import erase, rounds
from webhook_gateway.api import routes
from webhook_gateway.countdowns.metrics import CountdownMetrics
from webhook_gateway.countdowns.routes import CountdownRoutes
from webhook_gateway.countdowns.store import CountdownStore
from webhook_gateway.countdowns.watch import WatchAnswers
from webhook_gateway.deliveries.consumers import make_arrivals, make_recorder
from webhook_gateway.deliveries.digest_old import DigestOld
from webhook_gateway.deliveries.digests import PeopleDigests
from webhook_gateway.deliveries.event_routes import EventRoutes
from webhook_gateway.deliveries.foretell import ForetellHook
from webhook_gateway.deliveries.ledger import Ledger, WatchLedger
from webhook_gateway.deliveries.metrics import DeliveryMetrics
from webhook_gateway.deliveries.record import RecordDeliveries
from webhook_gateway.deliveries.retention import Retention, retention_job
from webhook_gateway.deliveries.routes import DeliveryRoutes
from webhook_gateway.deliveries.search import DeliverySearch
from webhook_gateway.deliveries.unarrived import UnarrivedOrders
from webhook_gateway.durable.batches import HookBatches
from webhook_gateway.durable.keep_safe import KeepSafe
from webhook_gateway.durable.metrics import DurabilityMetrics
from webhook_gateway.durable.relay import RelaySpool
from webhook_gateway.durable.spool import Spool
from webhook_gateway.durable.spool_states import SpoolStates
from webhook_gateway.edge.addresses import IntakeAddresses
from webhook_gateway.edge.metrics import EdgeMetrics
from webhook_gateway.edge.read_log import ReadEdgeLog
from webhook_gateway.edge.settle_late import SettleLateOrders
from webhook_gateway.hooks.accept import AcceptHook
from webhook_gateway.hooks.metrics import RequestMetrics
from webhook_gateway.hooks.model import SERVICE, WEBSITE
from webhook_gateway.hooks.refusals import CountRefusals
from webhook_gateway.hooks.routes import HookRoutes
from webhook_gateway.hooks.sending import Sending
from webhook_gateway.hooks.sources import load_sources
from webhook_gateway.hooks.store import RefusalStore
from webhook_gateway.rescue.metrics import RescueMetrics
from webhook_gateway.rescue.report_store import ReportQueue
from webhook_gateway.rescue.retention import EndangeredRetention
from webhook_gateway.rescue.routes import RescueRoutes
from webhook_gateway.rescue.search import EndangeredSearch
from webhook_gateway.rescue.send_reports import SendReports
from webhook_gateway.rescue.settle import SettleSecondTries
from webhook_gateway.rescue.store import EndangeredStore
from webhook_gateway.rescue.write_report import Addresses
from webhook_gateway.rights import TABLES
from webhook_gateway.settings import Settings
from webhook_gateway.source_watch.budget import ReadingBudget
from webhook_gateway.source_watch.metrics import SourceMetrics
from webhook_gateway.source_watch.model import Week
from webhook_gateway.source_watch.refused import WatchRefused
from webhook_gateway.source_watch.silence import WatchSilence
from webhook_gateway.website.accept import AcceptWebsiteOrder
from webhook_gateway.website.ban_routes import BanRoutes
from webhook_gateway.website.bans import Bans
from webhook_gateway.website.budget import RecordBudget
from webhook_gateway.website.callers import trusted_networks
from webhook_gateway.website.known_tokens import KnownTokens
from webhook_gateway.website.limits import OrderLimits
from webhook_gateway.website.metrics import WebsiteMetrics
from webhook_gateway.website.routes import WebsiteRoutes
from webhook_gateway.website.sites import load_sites

PACKAGE = "webhook_gateway"
DESCRIPTION = "Takes hooks of marketplaces and orders of websites; a positive answer means that the event is on disk."

_SCHEMA_PATIENCE_S = 2.0
_REFUSALS_EVERY_S = 1.0
_LIMITS_EVERY_S = 600.0
_BANS_EVERY_S = 1.0
_TOKENS_EVERY_S = 60.0
_REPORTS_EVERY_S = 1.0
_GAUGES_EVERY_S = 5.0
_REPEATED_EVERY_S = 3600.0
_SIZES_EVERY_S = 60.0
_DIGEST_EVERY_S = 30.0
_SETTLE_EVERY_S = 2.0
_LEDGER_EVERY_S = 30.0


async def build(settings: Settings, lifecycle: Lifecycle) -> Application:
    """Open everything and serve. The drain runs in reverse: HTTP first, so that what was accepted is stored, the database last."""
    clock = SystemClock()
    amqp_url = required(settings.amqp_url, Settings, "amqp_url")
    dsn = required(settings.postgres_dsn, Settings, "postgres_dsn")
    sources = load_sources(settings.sources_file)
    registry, tls = new_registry(), Tls(settings)
    tokens = await accepted_tokens(lifecycle, registry, settings, trusted=tls.trusted)
    sites = load_sites(settings.websites_file, currency=settings.website_currency)
    watched = {"tokens": (settings.tokens_file, tokens.read), "sources": (settings.sources_file, sources.read)}
    if settings.websites_file is not None:
        watched["websites"] = (settings.websites_file, sites.read)
    watch_files(lifecycle, registry, {**watched, **tls.files})
    request_metrics = RequestMetrics(registry, sources=(*sources, WEBSITE))
    durability_metrics = DurabilityMetrics(registry, spool_oldest_allowed=settings.spool_oldest_allowed)
    delivery_metrics = DeliveryMetrics(registry)
    rescue_metrics = RescueMetrics(registry)
    messaging = MessagingMetrics(registry, queues=(topology.RECORDER, topology.GATEWAY_ORDERS))

    # The schema is judged at once when PostgreSQL answers; when it is away, hooks are taken all the same and the recorder waits.
    database = Database(dsn, application_name=f"{SERVICE} {settings.replica}")
    await database.open()
    lifecycle.on_stop(database.close)
    recordable = asyncio.Event()
    await_schema = partial(rounds.await_schema, database, PACKAGE, recordable)
    try:
        await asyncio.wait_for(await_schema(), _SCHEMA_PATIENCE_S)
    except TimeoutError:
        lifecycle.supervise("schema", await_schema, may_finish=True)
    tell_of_failures(lifecycle, database, registry, service=SERVICE, after=recordable)

    # Storage paths
    spool = Spool(
        settings.spool_dir,
        limit=settings.spool_limit_bytes,
        deadline=settings.spool_deadline,
        metrics=durability_metrics,
    )
    await spool.open()
    lifecycle.on_stop(spool.close)
    spools = SpoolStates(database=database, spool=spool, replica=settings.replica, clock=clock)
    every(lifecycle, _GAUGES_EVERY_S, spools.note, name="spool-noted", last_round=True, after=recordable)
    broker = Broker(amqp_url, name=f"{SERVICE}.{settings.replica}")
    lifecycle.supervise("broker", broker.run, stop=broker.stop)
    publisher = broker.publisher
    durability_metrics.watch_broker(lambda: publisher.ready)
    breaker = CircuitBreaker(failures=settings.breaker_failures, pause=settings.breaker_pause)
    batches = HookBatches(publisher, metrics=durability_metrics) if settings.batch_hooks else None
    outbox_relay = OutboxRelay(database, publisher, metrics=messaging, lines_together=settings.batch_hooks)
    lifecycle.supervise("outbox-relay", outbox_relay.run, stop=outbox_relay.stop, after=recordable)
    spool_relay = RelaySpool(
        publisher=publisher,
        spool=spool,
        breaker=breaker,
        metrics=durability_metrics,
        monotonic=monotonic,
        batches=batches,
    )
    lifecycle.supervise("spool-relay", spool_relay.run, stop=spool_relay.stop)

    # Deliveries
    digests = PeopleDigests(settings.keys_of_search(tokens))
    record = RecordDeliveries(digests=digests)
    foretell = ForetellHook(record)
    sending = Sending(clock=clock, replica=settings.replica, foretell=foretell)
    recorder = make_recorder(
        amqp_url, database=database, record=record, metrics=messaging, after_commit=outbox_relay.wake
    )
    if settings.record:
        lifecycle.supervise("recorder", recorder.run, stop=recorder.stop, after=recordable)
    dead = recorder.dead_letter_collector
    lifecycle.supervise("dead-letters", dead.run, stop=dead.stop, after=recordable)
    arrivals = make_arrivals(amqp_url, database=database, metrics=messaging, after_commit=outbox_relay.wake)
    lifecycle.supervise("arrivals", arrivals.run, stop=arrivals.stop, after=recordable)
    dead = arrivals.dead_letter_collector
    lifecycle.supervise("arrivals-dead-letters", dead.run, stop=dead.stop, after=recordable)
    keep = timedelta(days=settings.retention_days)
    retention = Retention(database, keep=keep, keep_ledger=timedelta(days=settings.ledger_days))
    show_retention = partial(retention_job, retention, clock, delivery_metrics)
    every(lifecycle, settings.upkeep_every, show_retention, name="retention", after=recordable)
    forget = PlatformRetention.of(settings, database, clock, keep_inbox=keep)
    every(lifecycle, settings.upkeep_every, forget, name="platform-retention", after=recordable)
    guard_audit(lifecycle, database, registry, after=recordable)
    propose = ProposeAutomation(database=database, service=SERVICE, clock=clock)
    every(lifecycle, _REPEATED_EVERY_S, propose, name="repeated-acts", after=recordable)
    sizes = TableSizes(registry, TABLES)
    every(lifecycle, _SIZES_EVERY_S, partial(sizes.measure, database), name="table-sizes", after=recordable)
    every(lifecycle, _DIGEST_EVERY_S, DigestOld(database, digests), name="digest-old", after=recordable)
    unarrived = UnarrivedOrders(database)
    ledger = Ledger(database, spools)
    watch_ledger = WatchLedger(ledger, clock=clock, metrics=delivery_metrics)
    every(lifecycle, _LEDGER_EVERY_S, watch_ledger.step, name="ledger", after=recordable)

    # What ended at nginx
    edge_metrics = EdgeMetrics(registry, sources=(*sources, WEBSITE), reads=settings.edge_log_dir is not None)
    if settings.edge_log_dir is not None:
        read_edge_log = ReadEdgeLog(
            database,
            record,
            directory=settings.edge_log_dir,
            sources=sources,
            sites=sites,
            clock=clock,
            metrics=edge_metrics,
            committed=outbox_relay.wake,
        )
        every(lifecycle, settings.edge_log_every, read_edge_log.step, name="edge-log", after=recordable)

    # Refusals and countdowns
    refusal_store = RefusalStore(database)
    refusals = CountRefusals(refusal_store, replica=settings.replica, clock=clock)
    flush = partial(rounds.flush, refusals, lifecycle)
    every(lifecycle, _REFUSALS_EVERY_S, flush, name="refusals", last_round=True, after=recordable)
    countdowns = CountdownStore(database)
    watch = WatchAnswers(
        countdowns,
        schedules=sources.schedules,
        replica=settings.replica,
        now=clock.now,
        metrics=CountdownMetrics(registry, schedules=sources.schedules),
    )
    watch_refused = WatchRefused(
        database,
        sources=sources.schedules,  # also those that were taken out: who still sends is told that he is refused
        start_countdown=partial(rounds.start_countdown, watch),
        clock=clock,
        committed=outbox_relay.wake,
    )
    every(lifecycle, _REFUSALS_EVERY_S, watch_refused.step, name="refused-sources", after=recordable)
    watch_silence = WatchSilence(
        database,
        week=Week(slot=timedelta(seconds=settings.silence_slot), period=timedelta(seconds=settings.silence_period)),
        clock=clock,
        metrics=SourceMetrics(registry, sources=(*sources, WEBSITE)),
    )
    every(lifecycle, _GAUGES_EVERY_S, watch_silence.step, name="silent-sources", after=recordable)
    watch_job = partial(
        rounds.watch,
        watch,
        refusal_store,
        unarrived,
        delivery_metrics,
        lambda: request_metrics.received(refusals.totals()),
    )
    every(lifecycle, settings.watch_every, watch_job, name="watch", last_round=True)  # also without a database

    # Hooks
    keep_safe = KeepSafe(
        publisher=publisher,
        spool=spool,
        breaker=breaker,
        metrics=durability_metrics,
        monotonic=monotonic,
        deadline=settings.confirm_deadline,
        disown=refusals.disown,
        batches=batches,
    )
    lifecycle.health.add_check("lanes", keep_safe.check)
    hooks = HookRoutes(
        sources=sources,
        accept=AcceptHook(keep_safe, replica=settings.replica),
        refusals=refusals,
        watch=watch,
        refused=watch_refused.refused,
        reading=ReadingBudget(monotonic),
        metrics=request_metrics,
        clock=clock,
        largest=settings.max_body_bytes,
        kept=settings.kept_body_bytes,
        slowest=settings.body_deadline,
    )

    # Website orders. The limits have a pool of their own: neither a busy recorder nor busy operators may cost a customer's order
    # its limits, nor the other way round.
    counting = Database(dsn, application_name=f"{SERVICE} {settings.replica} limits", max_size=4)
    await counting.open()
    lifecycle.on_stop(counting.close)
    bans = Bans(counting, monotonic=monotonic)
    limits = OrderLimits(
        counting,
        bans,
        limits=settings.orders_by,
        window=settings.orders_window,
        secret=settings.key_of_limits(tokens),
        deadline=settings.orders_limit_deadline,
        pause=settings.breaker_pause,
        monotonic=monotonic,
    )
    every(lifecycle, _LIMITS_EVERY_S, limits.forget, name="order-limits", after=recordable)
    every(lifecycle, _BANS_EVERY_S, bans.sync, name="order-bans", last_round=True, after=recordable)
    known_tokens = KnownTokens(database, tokens.digests_of, revoked=tokens.revoked)
    every(lifecycle, _TOKENS_EVERY_S, known_tokens.refresh, name="known-tokens", after=recordable)
    website = WebsiteRoutes(
        tokens=tokens,
        sites=sites,
        role_once=known_tokens.role_of,
        accept=AcceptWebsiteOrder(
            keep_safe,
            partial(record.directly, database),
            limits=limits,
            budget=RecordBudget(
                proven=settings.refused_bytes_per_hour, unproven=settings.unproven_bytes_per_hour, monotonic=monotonic
            ),
            metrics=WebsiteMetrics(registry),
            replica=settings.replica,
        ),
        refusals=refusals,
        metrics=request_metrics,
        clock=clock,
        trusted=trusted_networks(settings.trusted_proxies),
        largest=settings.max_body_bytes,
        slowest=settings.body_deadline,
    )

    # Endangered orders, and what operators change
    changes = Changes(database, committed=outbox_relay.wake)
    endangered = EndangeredStore(database, public_url=settings.public_url)
    reports_kept = ReportQueue(database, endangered)
    every(lifecycle, _SETTLE_EVERY_S, SettleSecondTries(database), name="second-tries", after=recordable)
    every(lifecycle, _SETTLE_EVERY_S, SettleLateOrders(database, clock=clock), name="late-orders", after=recordable)
    old = EndangeredRetention(database, keep=timedelta(days=settings.endangered_retention_days), clock=clock)
    every(lifecycle, settings.upkeep_every, old, name="endangered-retention", after=recordable)
    mail_due = None
    mail_server = settings.mail_server()
    if mail_server is not None:
        send_reports = SendReports(
            reports_kept,
            mail_server,
            metrics=rescue_metrics,
            clock=clock,
            deadline=settings.smtp_deadline,
            retry=settings.report_retry,
            patience=settings.report_patience,
        )
        reports = every(
            lifecycle, _REPORTS_EVERY_S, send_reports, name="endangered-reports", finish=True, after=recordable
        )
        mail_due = reports.wake
    show_endangered = partial(rounds.show_endangered, endangered, rescue_metrics)
    every(lifecycle, _GAUGES_EVERY_S, show_endangered, name="endangered-gauges", after=recordable)
    rescue = RescueRoutes(
        changes,
        endangered,
        EndangeredSearch(database),
        reports_kept,
        addresses=Addresses.of(settings.mail_from, to=settings.report_recipient, copies=settings.report_copies),
        mail_due=mail_due,
        metrics=rescue_metrics,
        clock=clock,
        sending=sending,
        currency_of=lambda source: sites.named(source).currency,
    )

    search = DeliverySearch(database, digests)
    deliveries = DeliveryRoutes(changes, search, unarrived, ledger, clock=clock, sending=sending)
    app = build_app(
        service=SERVICE,
        description=DESCRIPTION,
        routes=routes(
            hooks=hooks,
            website=website,
            addresses=IntakeAddresses(
                hook=hooks.take,
                order=website.order,
                misplaced_hook=hooks.misplaced,
                misplaced_order=website.misplaced,
                comes_from_source=lambda request: hooks.sender(request) is not None,
                comes_from_website=website.speaks_for_a_website,
            ),
            deliveries=deliveries,
            events=EventRoutes(changes, sources=sources, sites=sites, tokens=tokens, sending=sending),
            rescue=rescue,
            bans=BanRoutes(changes, bans, key=limits.key),
            countdowns=CountdownRoutes(countdowns),
            foretell=foretell,
            database=database,
            erasures=erase.places(digests, endangered),
            queues=rounds.queues(database, broker, spools, unarrived, endangered),
            committed=outbox_relay.wake,
        ),
        health=lifecycle.health,
        registry=registry,
        tokens=tokens,
        database=database,
    )
    malformed = partial(rounds.malformed, refusals, request_metrics)
    server = HttpServer(app, settings.host, settings.port, malformed=malformed, certificate=tls.certificate)
    await server.start()
    lifecycle.on_stop(server.stop)
    lifecycle.on_stop(recordable.set)
    return Application(server=server, lifecycle=lifecycle)
