"""The composition root of the notifier: a straight line from settings to listening, consuming and sending."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from common.clock import SystemClock
from common.errors import ConfigurationError, Unavailable
from common.http import HttpServer, TokenBook, build_app
from common.messaging import Broker, Consumer, MessagingMetrics, OutboxRelay
from common.postgres import Database, require_schema
from common.service import Application, Lifecycle, required
from common.telemetry import get_logger
from common.telemetry.metrics import new_registry
from notifier.api import DESCRIPTION, NAME, VERSION, people_routes, routes_of
from notifier.channels.telegram import TelegramSender
from notifier.delivery.deliver import Deliver, Dispatcher
from notifier.delivery.fail_over import FailOver
from notifier.delivery.heartbeat import Beat, pinger
from notifier.delivery.notifications import NotificationStore
from notifier.delivery.outcomes import RetryPolicy
from notifier.delivery.queue import DeliveryQueues
from notifier.delivery.reads import NotificationReads
from notifier.delivery.retention import Retention
from notifier.incidents.problems import Problems
from notifier.inputs.events import QUEUES, IngestEvents
from notifier.messages.channels import CHANNELS
from notifier.messages.words import Words
from notifier.metrics import NotifierMetrics, PeopleMetrics
from notifier.providers import configured, open_channels
from notifier.routing.file import read_routes
from notifier.routing.model import Routes
from notifier.settings import NotifierSettings
from notifier.silences.file import read_inhibitions
from notifier.silences.model import Inhibition
from notifier.worker import every
from notifier.workers import load_people, people_of, start_people

_SWEEP_SECONDS = 1.0
_GAUGES_SECONDS = 5.0
_RETENTION_SECONDS = 300.0
_UNMUTE_SECONDS = 2.0
_UNMUTED_AT_A_TIME = 100
_log = get_logger()


async def build(settings: NotifierSettings, lifecycle: Lifecycle) -> Application:
    """Open everything, serve, then consume and send. Waits for PostgreSQL and RabbitMQ while they are away; ``/readyz`` says so."""
    dsn = required(settings.postgres_dsn, NotifierSettings, "postgres_dsn")
    amqp_url = required(settings.amqp_url, NotifierSettings, "amqp_url")
    tokens = TokenBook.load(settings.tokens_file)
    table, inhibitions = load_routes(settings)
    words = Words(settings.language)
    registry = new_registry()
    metrics = NotifierMetrics(registry)
    people_metrics = PeopleMetrics(registry)
    messaging_metrics = MessagingMetrics(registry, queues=QUEUES)

    database = Database(dsn, application_name=NAME, max_size=settings.pool_size)
    await database.open()
    lifecycle.on_stop(database.close, name="database")
    lifecycle.health.add_check("postgres", database.check)
    broker = Broker(amqp_url, name=NAME)
    lifecycle.health.add_check("rabbitmq", broker.check)
    schema = Gate("the schema has not been checked yet")
    lifecycle.health.add_check("schema", schema.check)
    wakers: list[Callable[[], None]] = []

    def wake() -> None:
        """Say that something was committed: promises to relay, notices to send."""
        for waker in wakers:
            waker()

    directory = load_people(settings)
    problems = Problems(
        routes=table, words=words, environment=settings.environment, directory=directory, inhibitions=inhibitions
    )
    people = people_of(settings, directory=directory, problems=problems, database=database)
    routes = [
        *routes_of(settings, table=table, words=words, problems=problems, act=people.act, database=database, wake=wake),
        *people_routes(settings, people, database=database, words=words, wake=wake),
    ]
    app = build_app(
        service=NAME,
        version=VERSION,
        description=DESCRIPTION,
        routes=routes,
        health=lifecycle.health,
        registry=registry,
        tokens=tokens,
    )
    server = await lifecycle.enter(HttpServer(app, settings.host, settings.port))
    await require_schema(database, NAME)
    schema.open()

    relay = OutboxRelay(database, broker.publisher, metrics=messaging_metrics)
    wakers.append(relay.wake)
    lifecycle.supervise("broker", broker.run, stop=broker.stop)
    lifecycle.supervise("outbox-relay", relay.run, stop=relay.stop)

    channels = await open_channels(settings, lifecycle)
    silent = sorted(name for name, place in table.destinations.items() if place.channel not in configured(settings))
    if silent:
        _log.warning("destinations_without_a_channel", destinations=silent)  # what is routed there waits in the log
    for channel in channels:
        queues = DeliveryQueues(database, channel=channel.name, limits=channel.limits, edit_limits=channel.edit_limits)
        deliver = Deliver(
            channel=channel.name,
            queues=queues,
            sender=channel.sender,
            words=words,
            watch=metrics,
            environment=settings.environment,
            deadline=settings.call_deadline,
            retry_policy=RetryPolicy(give_up_after=timedelta(seconds=settings.give_up_after)),
            combine_above=settings.combine_above,
            storm_above=settings.storm_above,
            directory=directory,
        )
        dispatcher = Dispatcher(
            deliver,
            queues,
            concurrency=settings.concurrency,
            after_commit=relay.wake,
            prepare=channel.prepare,
        )
        wakers.append(dispatcher.wake)
        lifecycle.supervise(f"dispatcher-{channel.name}", dispatcher.run, stop=dispatcher.stop)

    senders = [channel.sender for channel in channels if isinstance(channel.sender, TelegramSender)]
    start_people(
        settings,
        people,
        lifecycle,
        database=database,
        problems=problems,
        table=table,
        words=words,
        metrics=people_metrics,
        telegram=senders[0] if senders else None,
        wake=wake,
        wakers=wakers,
    )

    any_queue = DeliveryQueues(database, channel="", limits=lambda _: ())

    async def sweep() -> None:
        """Have notices sent again whose sender died; end storms that are over."""
        if await any_queue.close_quiet_digests(settings.storm_quiet):
            wake()
        expired = await any_queue.expire()
        if expired:
            metrics.expired.inc(expired)
            wake()

    lifecycle.supervise("leases", lambda: every(_SWEEP_SECONDS, sweep, name="leases"))
    retention = Retention(database, keep=timedelta(days=settings.keep_days))

    async def forget() -> None:
        """Delete what is older than the operator wants to keep."""
        gone = await retention.forget()
        if gone:
            _log.info("old_rows_forgotten", rows=gone)

    lifecycle.supervise("retention", lambda: every(_RETENTION_SECONDS, forget, name="retention"))

    async def unmute() -> None:
        """Tell of what is not over although its silence is."""
        async with database.transaction() as connection:
            told = await problems.unmute(NotificationStore(connection), limit=_UNMUTED_AT_A_TIME)
        if told:
            wake()

    fail_over = FailOver(database=database, routes=table, patience=timedelta(seconds=settings.failover_after))

    async def tell_elsewhere() -> None:
        """Have the next channel tell what one does not take."""
        told = await fail_over()
        if told:
            metrics.failed_over.inc(told)
            wake()

    lifecycle.supervise("failover", lambda: every(_SWEEP_SECONDS, tell_elsewhere, name="failover"))
    beat = Beat(
        database=database,
        clock=SystemClock(),
        every=timedelta(seconds=settings.heartbeat_every or 60.0),
        patience=timedelta(seconds=settings.heartbeat_patience),
        show=metrics.heartbeat,
        ping=None if settings.heartbeat_url is None else pinger(settings.heartbeat_url, seconds=settings.call_deadline),
    )
    if settings.heartbeat_every > 0:
        lifecycle.supervise("heartbeat", lambda: every(settings.heartbeat_every, beat.send, name="heartbeat"))
    else:
        metrics.no_heartbeat()
    lifecycle.supervise("pulse", lambda: every(_GAUGES_SECONDS, beat.look, name="pulse"))
    lifecycle.supervise("unmute", lambda: every(_UNMUTE_SECONDS, unmute, name="unmute"))
    reader = NotificationReads(database)
    lifecycle.supervise("gauges", lambda: every(_GAUGES_SECONDS, lambda: show(reader, metrics), name="gauges"))

    ingest_events = IngestEvents(routes=table, words=words, environment=settings.environment, problems=problems)
    for spec in QUEUES:
        consumer = Consumer(
            amqp_url,
            spec,
            database=database,
            name=spec.name,
            service=NAME,
            handler=ingest_events,
            metrics=messaging_metrics,
            after_commit=wake,
        )
        dead = consumer.dead_letter_collector
        lifecycle.supervise(f"dead-letters-{spec.name}", dead.run, stop=dead.stop)
        lifecycle.supervise(f"consumer-{spec.name}", consumer.run, stop=consumer.stop)
        lifecycle.health.add_check(spec.name, connected_check(consumer))
    return Application(server=server, lifecycle=lifecycle)


def load_routes(settings: NotifierSettings) -> tuple[Routes, tuple[Inhibition, ...]]:
    """Read the routes file. Raises ``ConfigurationError`` with one line."""
    try:
        text = settings.routes_file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the routes file {settings.routes_file} cannot be read: {error.strerror}") from None
    name = str(settings.routes_file)
    return read_routes(text, name=name), read_inhibitions(text, name=name)


async def show(reader: NotificationReads, metrics: NotifierMetrics) -> None:
    """Set the gauges of the queue and of the incidents."""
    queue, digests = await reader.queue(), await reader.open_digests()
    metrics.muted.set(await reader.muted())
    for channel in CHANNELS:
        metrics.digests.labels(channel).set(digests.get(channel, 0))
        waiting, oldest = queue.get(channel, (0, 0.0))
        metrics.waiting.labels(channel).set(waiting)
        metrics.oldest.labels(channel).set(oldest)
    open_incidents = await reader.open_incidents()
    for severity in ("critical", "warning", "info"):
        metrics.incidents.labels(severity).set(open_incidents.get(severity, 0))


class Gate:
    """A readiness check that fails with a reason until it is opened."""

    def __init__(self, reason: str) -> None:
        self._reason: str | None = reason

    def open(self) -> None:
        """Pass from now on."""
        self._reason = None

    async def check(self) -> None:
        """Raise ``Unavailable`` while closed."""
        if self._reason is not None:
            raise Unavailable(self._reason)


def connected_check(consumer: Consumer) -> Callable[[], Any]:
    """Return the readiness check of a consumer."""

    async def check() -> None:
        """Raise `Unavailable` while the queue is not being read."""
        if not consumer.connected:
            raise Unavailable("the queue is not being read")

    return check
