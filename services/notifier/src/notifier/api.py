"""Every route of the notifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from common.clock import SystemClock
from common.http import Changes, Route, TokenBook, audit_routes, describe, other_spellings
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
from common.telemetry.metrics import new_registry
from notifier import erase
from notifier.buttons.routes import ButtonRoutes
from notifier.buttons.store import ButtonActionStore
from notifier.coverage.check import CheckCoverage
from notifier.coverage.routes import CoverageRoutes
from notifier.delivery.routes import DeliveryRoutes
from notifier.delivery.send_test import SendTest
from notifier.duty.calendar_routes import OnCallCalendar
from notifier.duty.call_routes import CallRoutes
from notifier.duty.call_store import CallStore
from notifier.duty.follow_roster import FollowRoster
from notifier.duty.keep_roster import KeepRoster
from notifier.duty.roster_store import Handovers, people_on_roster
from notifier.duty.routes import RosterRoutes
from notifier.incidents.act import ActOnIncident
from notifier.incidents.problems import Problems
from notifier.incidents.refused import Refusals
from notifier.incidents.routes import IncidentRoutes
from notifier.inputs.alertmanager import IngestAlerts
from notifier.inputs.routes import InputRoutes
from notifier.inputs.sender_routes import SenderRoutes
from notifier.inputs.sentry import IngestSentry
from notifier.messages.words import Words
from notifier.metrics import PeopleMetrics
from notifier.pages.routes import Pages
from notifier.people.current import CurrentPeople
from notifier.people.model import Directory
from notifier.people.routes import PeopleRoutes
from notifier.providers import configured
from notifier.recipes.begin import BeginRecipe
from notifier.recipes.http import HttpRecipes
from notifier.recipes.routes import RecipeRoutes
from notifier.recipes.start import StartRecipe
from notifier.routing.model import Routes
from notifier.routing.trial import RouteTrials
from notifier.settings import NotifierSettings
from notifier.silences.routes import SilenceRoutes
from notifier.tickets.acknowledge_from_comment import AcknowledgeFromComment
from notifier.tickets.change_ticket import ChangeTicket
from notifier.tickets.model import Queues
from notifier.tickets.name_notices import NameNotices
from notifier.tickets.routes import TicketRoutes
from notifier.tickets.support_desk import SupportDesk

NAME = "notifier"
ATTENTION = (
    "handover.confirm",
    "incident.ack",
    "incident.comment",
    "incident.resolve",
    "ticket.assign",
    "ticket.close",
    "ticket.comment",
    "ticket.open",
    "ticket.summon",
)
"""Acts that only a person can do: nobody would automate them."""
DESCRIPTION = (
    "Brings events to the right person in Telegram, Slack and mail, and knows what was sent where, when and why."
)


_TARGETS_OF_ORDER = """
SELECT 'order:' || {order}
UNION ALL SELECT 'incident:' || id FROM incidents WHERE order_number = {order}
UNION ALL SELECT 'ticket:' || id FROM tickets WHERE order_number = {order}
"""


def routes_of(
    settings: NotifierSettings,
    *,
    coverage: CheckCoverage,
    tokens: TokenBook,
    table: Routes,
    words: Words,
    people: CurrentPeople,
    problems: Problems,
    act: ActOnIncident,
    recipes: HttpRecipes,
    acknowledge: AcknowledgeFromComment,
    name_notices: NameNotices,
    keep_roster: KeepRoster,
    database: Database,
    queues: Sequence[LookAtQueues],
    refused: Callable[[str, bool], None],
    wake: Callable[[], None],
) -> list[Route]:
    """Return every HTTP route; opens nothing."""
    clock, directory, vocabulary = SystemClock(), people.directory, settings.vocabulary
    send_test = SendTest(
        routes=table, words=words, environment=settings.environment, channels=configured(settings), clock=clock
    )
    # Taken apart for the order in which the OpenAPI document lists them.
    *logs, test_message = DeliveryRoutes(database=database, send_test=send_test, wake=wake).routes()
    incidents, *acts = IncidentRoutes(
        database=database, act=act, name_notices=name_notices, directory=directory, language=words.language, wake=wake
    ).routes()
    trials = RouteTrials(table=table, environment=settings.environment, database=database)
    refusals = Refusals(problems=problems, database=database, clock=clock, words=words, count=refused, wake=wake)
    inputs = InputRoutes(
        ingest_alerts=IngestAlerts(
            problems=problems,
            database=database,
            clock=clock,
            vocabulary=vocabulary,
            words=words,
            wake=wake,
            watched=settings.watchdog_patience is not None,
        ),
        refusals=refusals,
        ingest_sentry=IngestSentry(
            problems=problems, database=database, clock=clock, vocabulary=vocabulary, words=words, wake=wake
        ),
        tokens=tokens,
        sentry_secret=settings.sentry_secret,
        database=database,
        clock=clock,
    )
    buttons = ButtonRoutes(
        store=ButtonActionStore(database),
        telegram_secret=settings.telegram_webhook_secret,
        slack_secret=settings.slack_signing_secret,
        refusals=refusals,
        wake=wake,
    )
    desk = desk_of(
        settings,
        outside=settings.outside_tracker,
        acknowledge=acknowledge,
        act=act,
        problems=problems,
        directory=directory,
        words=words,
        name_notices=name_notices,
    )
    calls = CallRoutes(
        calls=CallStore(database),
        token=settings.call_token if settings.call_provider == "twilio" else None,
        callback_url=settings.call_callback_url,
        refusals=refusals,
        wake=wake,
    )
    start_recipe = StartRecipe(
        database=database,
        http=recipes,
        begin=BeginRecipe(act),
        name_notices=name_notices,
        problems=problems,
        directory=directory,
        words=words,
        deadline=settings.call_deadline,
    )
    follow_roster = FollowRoster(keep=keep_roster, name_notices=name_notices)
    calendar = OnCallCalendar(database=database, directory=directory, words=words, clock=clock)
    by_others = [*inputs.routes(), *buttons.routes(), *calls.routes(), *calendar.routes()]
    return [
        *inputs.routes(),
        *logs,
        incidents,
        *trials.routes(),
        test_message,
        *acts,
        *RecipeRoutes(database=database, start=start_recipe, wake=wake).routes(),
        *SilenceRoutes(database=database, clock=clock, follows=name_notices.of_silence, wake=wake).routes(),
        *dead_letter_routes(database, service=NAME, after_commit=wake),
        *audit_routes(database, of_order=_TARGETS_OF_ORDER),
        *repeated_acts_routes(database, apart=ATTENTION),
        *verdict_routes(database),
        *queue_routes(queues),
        *erasure_routes(Changes(database, committed=wake), in_turn(erase.PLACES), kept=erase.KEPT),
        *buttons.routes(),
        *TicketRoutes(database=database, change_ticket=desk.tickets, desk=desk, wake=wake).routes(),
        *calls.routes(),
        *RosterRoutes(database=database, directory=directory, clock=clock, follow=follow_roster, wake=wake).routes(),
        *PeopleRoutes(database=database, current=people, on_the_roster=people_on_roster, wake=wake).routes(),
        *calendar.routes(),
        *CoverageRoutes(coverage).routes(),
        *SenderRoutes(database=database, problems=problems, name_notices=name_notices, clock=clock, wake=wake).routes(),
        *Pages(database=database, tokens=tokens, directory=directory, words=words, sentry=settings.sentry_url).routes(),
        *other_spellings(route for route in by_others if not route.path.startswith("/admin/")),
    ]


def name_notices_of(settings: NotifierSettings, directory: Directory, problems: Problems) -> NameNotices:
    """Return what names the notices of changes."""
    return NameNotices(
        policy=settings.policy,
        calls=settings.call_url is not None,
        directory=directory,
        queues=Queues(teams=settings.team_queues, development=settings.development_queue),
        problems=problems,
    )


def desk_of(
    settings: NotifierSettings,
    *,
    outside: bool,
    acknowledge: AcknowledgeFromComment,
    act: ActOnIncident,
    problems: Problems,
    directory: Directory,
    words: Words,
    name_notices: NameNotices,
) -> SupportDesk:
    """Return the support desk; ``outside``: what it does is done in the outside tracker."""
    tickets = ChangeTicket(
        outside=outside,
        acknowledge=acknowledge,
        directory=directory,
        words=words,
        clock=SystemClock(),
        name_notices=name_notices,
    )
    return SupportDesk(
        tickets=tickets,
        problems=problems,
        act=act,
        directory=directory,
        words=words,
        development_queue=settings.development_queue,
    )


def keep_roster_of(
    settings: NotifierSettings,
    *,
    database: Database,
    problems: Problems,
    table: Routes,
    directory: Directory,
    words: Words,
    metrics: PeopleMetrics,
) -> KeepRoster:
    """Return what keeps the roster."""
    return KeepRoster(
        rosters=Handovers(database),
        problems=problems,
        routes=table,
        directory=directory,
        words=words,
        environment=settings.environment,
        metrics=metrics,
        patience=timedelta(seconds=settings.handover_patience),
        preflight=timedelta(seconds=settings.roster_preflight),
    )


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document; opens and reads nothing."""
    settings = NotifierSettings.model_construct(
        environment="production", telegram_token=None, slack_token=None, smtp_host=None
    )
    table, words, directory = Routes(destinations={}, routes=()), Words("ru"), Directory()
    problems = Problems(routes=table, words=words, environment=settings.environment)
    act = ActOnIncident(problems=problems)
    database, clock = Database("postgresql://", application_name=NAME), SystemClock()
    coverage = CheckCoverage(
        database=database,
        routes=table,
        directory=directory,
        environment=settings.environment,
        channels=(),
        calls=False,
        policy=settings.policy,
        clock=clock,
    )
    routes = routes_of(
        settings,
        coverage=coverage,
        tokens=TokenBook(()),
        table=table,
        words=words,
        people=CurrentPeople(directory=directory, name=""),
        problems=problems,
        act=act,
        recipes=HttpRecipes(orchestrator_url=None, refunds_url=None),
        acknowledge=AcknowledgeFromComment(act=act, directory=directory, wordings=()),
        name_notices=name_notices_of(settings, directory, problems),
        keep_roster=keep_roster_of(
            settings,
            database=database,
            problems=problems,
            table=table,
            directory=directory,
            words=words,
            metrics=PeopleMetrics(new_registry()),
        ),
        database=database,
        queues=(),
        refused=lambda _sender, _genuine: None,
        wake=lambda: None,
    )
    return describe(service=NAME, description=DESCRIPTION, routes=routes)
