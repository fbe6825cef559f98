"""The composition root of the notifier: a straight line from settings to listening, consuming and sending."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from common.clock import SystemClock
from common.http import HttpServer, build_app
from common.messaging import Broker, Consumer, MessagingMetrics, OutboxRelay
from common.moments import zone_named
from common.postgres import Database, require_schema
from common.service import (
    Application,
    Lifecycle,
    PlatformRetention,
    ProposeAutomation,
    ReadyGate,
    TableSizes,
    Tls,
    accepted_tokens,
    every,
    guard_audit,
    read_file,
    required,
    tell_of_failures,
    watch_files,
)
from common.telemetry import get_logger
from common.telemetry.metrics import new_registry
from notifier.api import ATTENTION, DESCRIPTION, NAME, desk_of, keep_roster_of, name_notices_of, routes_of
from notifier.buttons.answers import SlackAnswers, TelegramAnswers
from notifier.buttons.handle import HandleButtonAction
from notifier.buttons.store import ButtonActionStore
from notifier.buttons.workers import AnswerButtonActions, CarryOutButtonActions
from notifier.channels.telegram import TelegramSender, bot_id, telegram_limits
from notifier.coverage.check import CheckCoverage, ShowCoverage
from notifier.delivery.deliver import Deliver
from notifier.delivery.dispatch import Dispatcher, HandOver
from notifier.delivery.fail_over import FailOver
from notifier.delivery.heartbeat import Beat, pinger
from notifier.delivery.outcomes import RetryPolicy
from notifier.delivery.queue import DeliveryQueues
from notifier.delivery.reads import NotificationReads
from notifier.delivery.retention import Retention
from notifier.due import LookForDue, due_by_worker, due_in
from notifier.duty.call_store import CallStore
from notifier.duty.fire_timers import FireTimers
from notifier.duty.place_calls import PlaceCalls
from notifier.duty.timer_store import TimerStore
from notifier.gauges import queues_of, show_backlog, show_queues
from notifier.incidents.act import ActOnIncident
from notifier.incidents.look_again import LookAgain
from notifier.incidents.problems import Problems
from notifier.inputs.events import QUEUES, IngestEvents
from notifier.inputs.watchdog import Watchdog
from notifier.messages.links import Links
from notifier.messages.words import Words
from notifier.metrics import NotifierMetrics, PeopleMetrics
from notifier.people.current import CurrentPeople
from notifier.people.model import Directory
from notifier.providers import configured, open_call_provider, open_channels, open_tracker, secret
from notifier.recipes.http import HttpRecipes
from notifier.recipes.run import RunRecipes
from notifier.recipes.store import RecipeStore
from notifier.rights import TABLES
from notifier.routing.file import read_routes
from notifier.settings import NotifierSettings
from notifier.silences.file import read_inhibitions
from notifier.tickets.acknowledge_from_comment import AcknowledgeFromComment
from notifier.tickets.follow_tracker import FollowTracker
from notifier.tickets.follow_up import FollowUp
from notifier.tickets.follow_up_store import FollowUpStore
from notifier.tickets.sync_tracker import SyncTracker
from notifier.tickets.tracker_store import TrackerStore
from notifier.worker import Workers

_SWEEP_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 2.0
_GAUGES_SECONDS = 5.0
_ROSTER_SECONDS = 5.0
_PEOPLE_SECONDS = 2.0
_WEBHOOK_SECONDS = 60.0
_RETENTION_SECONDS = 300.0
_SIZES_SECONDS = 60.0
_BUTTONS_SECONDS = 3600.0
_REPEATED_SECONDS = 3600.0
_BUTTONS_KEPT = timedelta(days=7)
_log = get_logger()


async def build(settings: NotifierSettings, lifecycle: Lifecycle) -> Application:
    """Open everything, serve, then consume and send. Waits for PostgreSQL and RabbitMQ while they are away; ``/readyz`` says so."""
    dsn = required(settings.postgres_dsn, NotifierSettings, "postgres_dsn")
    amqp_url = required(settings.amqp_url, NotifierSettings, "amqp_url")
    name, text = str(settings.routes_file), read_file(settings.routes_file, "routes")
    table, inhibitions = read_routes(text, name=name), read_inhibitions(text, name=name)
    directory = Directory()
    people = CurrentPeople(directory=directory, name=str(settings.people_file))
    if settings.people_file is not None:
        people.read(read_file(settings.people_file, "people"))
    words, environment = Words(settings.language, zone_named(settings.time_zone)), settings.environment
    tickets_at = settings.tracker_page if settings.outside_tracker else None
    links = Links(settings.console_url, tickets_at, settings.sentry_url)
    registry, tls = new_registry(), Tls(settings)
    tokens = await accepted_tokens(lifecycle, registry, settings, trusted=tls.trusted)
    metrics, people_metrics = NotifierMetrics(registry), PeopleMetrics(registry)
    messaging_metrics = MessagingMetrics(registry, queues=QUEUES)
    database = Database(dsn, application_name=NAME, max_size=settings.pool_size)
    await database.open()
    lifecycle.on_stop(database.close, name="database")
    lifecycle.health.add_check("postgres", database.check)
    broker = Broker(amqp_url, name=NAME)
    lifecycle.health.add_check("rabbitmq", broker.check)
    schema = ReadyGate("the schema has not been checked yet")
    lifecycle.health.add_check("schema", schema.check)
    workers = Workers(lifecycle, LookForDue(database), due_by_worker(settings))
    wake = workers.wake

    # HTTP
    problems = Problems(
        routes=table, words=words, environment=environment, directory=directory, inhibitions=inhibitions, links=links
    )

    def read_routes_again(raw: bytes) -> None:
        """Take over what the file says now: all of it, or nothing."""
        read, rules = read_routes(raw, name=name), read_inhibitions(raw, name=name)
        table.take_over(read)
        problems.inhibit_by(rules)

    watched = {"tokens": (settings.tokens_file, tokens.read), "routes": (settings.routes_file, read_routes_again)}
    if settings.people_file is not None:
        watched["people"] = (settings.people_file, people.read)
    watch_files(lifecycle, registry, {**watched, **tls.files})
    act = ActOnIncident(problems=problems, ack_lasts=timedelta(seconds=settings.ack_lasts))
    acknowledge = AcknowledgeFromComment(act=act, directory=directory, wordings=settings.no_call_wordings)
    timers, follow_ups = TimerStore(database), FollowUpStore(database, outside=settings.outside_tracker)
    recipes = HttpRecipes(
        orchestrator_url=settings.orchestrator_url, refunds_url=settings.refunds_url, trusted=tls.trusted
    )
    lifecycle.on_stop(recipes.close, name="recipes-http")
    coverage = CheckCoverage(
        database=database,
        routes=table,
        directory=directory,
        environment=environment,
        channels=configured(settings),
        calls=settings.call_url is not None,
        policy=settings.policy,
        clock=SystemClock(),
    )
    name_notices = name_notices_of(settings, directory, problems)
    keep_roster = keep_roster_of(
        settings,
        database=database,
        problems=problems,
        table=table,
        directory=directory,
        words=words,
        metrics=people_metrics,
    )
    routes = routes_of(
        settings,
        coverage=coverage,
        tokens=tokens,
        table=table,
        words=words,
        people=people,
        problems=problems,
        act=act,
        recipes=recipes,
        acknowledge=acknowledge,
        name_notices=name_notices,
        keep_roster=keep_roster,
        database=database,
        queues=queues_of(database, broker, QUEUES, timers, follow_ups),
        refused=metrics.alert_refused,
        wake=wake,
    )
    app = build_app(
        service=NAME,
        description=DESCRIPTION,
        routes=routes,
        health=lifecycle.health,
        registry=registry,
        tokens=tokens,
        database=database,
    )
    server = await lifecycle.enter(HttpServer(app, settings.host, settings.port, certificate=tls.certificate))
    await require_schema(database, NAME)
    schema.open()
    tell_of_failures(lifecycle, database, registry, service=NAME)
    await people.look(database)
    every(lifecycle, _PEOPLE_SECONDS, partial(people.look, database), name="people")

    relay = OutboxRelay(database, broker.publisher, metrics=messaging_metrics, lines_together=settings.batch_lines)
    workers.woken(relay.wake)
    lifecycle.supervise("broker", broker.run, stop=broker.stop)
    lifecycle.supervise("outbox-relay", relay.run, stop=relay.stop)

    # What is sent
    channels, hand_over = await open_channels(settings, lifecycle), HandOver()
    silent = sorted(name for name, place in table.destinations.items() if place.channel not in configured(settings))
    if silent:
        _log.warning("destinations_without_a_channel", destinations=silent)  # what is routed there waits in the log
    for channel in channels:
        queues = channel.queues(database)
        deliver = Deliver(
            channel=channel.name,
            queues=queues,
            sender=channel.sender,
            words=words,
            watch=metrics,
            environment=environment,
            deadline=settings.call_deadline,
            retry_policy=RetryPolicy(give_up_after=timedelta(seconds=settings.give_up_after)),
            combine_above=settings.combine_above,
            storm_above=settings.storm_above,
            directory=directory,
            links=links,
        )
        dispatcher = Dispatcher(
            deliver, queues, concurrency=settings.concurrency, after_commit=relay.wake, prepare=channel.prepare
        )
        hand_over.to(dispatcher)
        workers.woken(dispatcher.wake, due=due_in(channel.name))
        lifecycle.supervise(f"dispatcher-{channel.name}", dispatcher.run, stop=dispatcher.stop)

    # Tickets, timers, calls
    follow_up = FollowUp(
        follow_ups=follow_ups,
        problems=problems,
        directory=directory,
        words=words,
        environment=environment,
        links=links,
        queues=name_notices.queues,
    )
    workers.start("follow-up", follow_up)
    fire = FireTimers(timers=timers, policy=settings.policy, directory=directory, words=words, metrics=people_metrics)
    workers.start("timers", fire)
    if (provider := open_call_provider(settings)) is not None:
        lifecycle.on_stop(provider.close, name="call-provider")
        place_calls = PlaceCalls(
            calls=CallStore(database),
            provider=provider,
            directory=directory,
            words=words,
            metrics=people_metrics,
            deadline=settings.call_deadline,
            pause=timedelta(seconds=settings.call_pause),
            look_up=partial(people.look, database),
        )
        workers.start("calls", place_calls)

    # Buttons and recipes
    actions = ButtonActionStore(database)
    handle = HandleButtonAction(act=act, directory=directory, words=words, environment=environment, routes=table)
    carry_out = CarryOutButtonActions(
        actions=actions, handle=handle, failure_text=words["answer.failed"], metrics=people_metrics
    )
    workers.start("button-actions", carry_out)
    slack = SlackAnswers(deadline=settings.call_deadline)
    lifecycle.on_stop(slack.close, name="slack-answers")
    answers: dict[str, Any] = {"slack": slack.answer}
    for channel in channels:
        if isinstance(channel.sender, TelegramSender) and settings.telegram_token is not None:
            [limit, *_] = telegram_limits(bot=bot_id(settings.telegram_token.get_secret_value()), chat="0")
            telegram = TelegramAnswers(
                sender=channel.sender, database=database, limit=limit, deadline=settings.call_deadline
            )
            answers["telegram"] = telegram.answer
            url, webhook_secret = settings.telegram_webhook_url, secret(settings.telegram_webhook_secret)
            if url is not None and webhook_secret is not None:
                register = partial(telegram.register, url=url, secret=webhook_secret)
                every(lifecycle, _WEBHOOK_SECONDS, register, name="telegram-webhook")
    workers.start("button-answers", AnswerButtonActions(actions=actions, answer=answers), wakes=False)
    run_recipes = RunRecipes(
        store=RecipeStore(database, problems=problems),
        http=recipes,
        directory=directory,
        words=words,
        metrics=people_metrics,
        deadline=settings.call_deadline,
    )
    workers.start("recipes", run_recipes)

    # The roster, and the outside tracker
    workers.start("roster", keep_roster, idle=_ROSTER_SECONDS)
    if settings.outside_tracker:
        tracker_store, tracker = TrackerStore(database), open_tracker(settings, lifecycle)
        sync = SyncTracker(
            store=tracker_store,
            tracker=tracker,
            acknowledge=acknowledge,
            directory=directory,
            metrics=people_metrics,
            every=timedelta(seconds=settings.tracker_poll),
        )
        follow_tracker = FollowTracker(
            store=tracker_store,
            tracker=tracker,
            desk=desk_of(
                settings,
                outside=False,
                acknowledge=acknowledge,
                act=act,
                problems=problems,
                directory=directory,
                words=words,
                name_notices=name_notices,
            ),
            directory=directory,
            words=words,
            metrics=people_metrics,
            read_comments=sync.read_comments,
            every=timedelta(seconds=settings.tracker_poll),
        )
        workers.start("tracker-changes", follow_tracker)
        workers.start("tracker-tickets", sync.create)
        workers.start("tracker-comments", sync.send, wakes=False)
        workers.start("tracker-reading", sync.read)
        workers.start("tracker-states", sync.move)

    # What runs by the clock
    any_queue = DeliveryQueues(database, channel="", limits=lambda _: ())
    workers.sweep("storms", _SWEEP_SECONDS, lambda: any_queue.close_quiet_digests(settings.storm_quiet))
    workers.sweep("leases", _SWEEP_SECONDS, any_queue.expire, counter=metrics.expired)
    look_again = LookAgain(problems=problems, database=database, clock=SystemClock())
    workers.sweep("unmute", _LOOK_AGAIN_SECONDS, look_again)
    fail_over = FailOver(database=database, routes=table, patience=timedelta(seconds=settings.failover_after))
    workers.sweep("failover", _SWEEP_SECONDS, fail_over, counter=metrics.failed_over)
    workers.look()
    retention = Retention(
        database, keep=timedelta(days=settings.keep_days), keep_tickets=timedelta(days=settings.ticket_days)
    )
    every(lifecycle, _RETENTION_SECONDS, retention.forget, name="retention")
    keep = timedelta(days=settings.keep_days)
    forget_platform = PlatformRetention.of(settings, database, SystemClock(), keep_inbox=keep)
    every(lifecycle, _RETENTION_SECONDS, forget_platform, name="platform-retention")
    guard_audit(lifecycle, database, registry)
    every(lifecycle, _SIZES_SECONDS, partial(TableSizes(registry, TABLES).measure, database), name="table-sizes")
    propose = ProposeAutomation(database=database, service=NAME, clock=SystemClock(), apart=ATTENTION)
    every(lifecycle, _REPEATED_SECONDS, propose, name="repeated-acts")
    every(lifecycle, _BUTTONS_SECONDS, partial(actions.forget, older_than=_BUTTONS_KEPT), name="button-actions-kept")
    expected = partial(Watchdog, problems=problems, database=database, clock=SystemClock(), words=words, wake=wake)
    quiet = settings.watchdog_patience
    watchdog = None if quiet is None else expected(patience=timedelta(seconds=quiet))
    beat = Beat(
        database=database,
        clock=SystemClock(),
        every=timedelta(seconds=settings.heartbeat_every or 60.0),
        patience=timedelta(seconds=settings.heartbeat_patience),
        show=metrics.heartbeat,
        also=None if watchdog is None else watchdog.look,
        ping=None if settings.heartbeat_url is None else pinger(settings.heartbeat_url, seconds=settings.call_deadline),
    )
    if settings.heartbeat_every > 0:
        every(lifecycle, settings.heartbeat_every, beat.send, name="heartbeat")
    else:
        metrics.no_heartbeat()
    every(lifecycle, _GAUGES_SECONDS, beat.look, name="pulse")
    every(lifecycle, _GAUGES_SECONDS, ShowCoverage(coverage, registry), name="coverage")
    every(lifecycle, _GAUGES_SECONDS, partial(show_queues, NotificationReads(database), metrics), name="gauges")
    every(lifecycle, _GAUGES_SECONDS, partial(show_backlog, timers, follow_ups, people_metrics), name="people-gauges")

    # What comes in
    ingest_events = IngestEvents(
        routes=table,
        words=words,
        environment=environment,
        problems=problems,
        console_url=settings.console_url,
        hand_over=hand_over,
        wake=wake,
    )
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
        lifecycle.health.add_check(spec.name, consumer.check)
    return Application(server=server, lifecycle=lifecycle)
