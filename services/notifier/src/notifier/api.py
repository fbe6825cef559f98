"""Every route of the notifier."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from common.clock import SystemClock
from common.health import Health
from common.http import Route, TokenBook, audit_routes, build_app
from common.http.app import DOCUMENT
from common.postgres import Database
from common.service.dead_letters import dead_letter_routes
from common.telemetry.metrics import new_registry
from notifier.buttons.routes import button_routes
from notifier.delivery.notifications import NotificationStore
from notifier.delivery.reads import NotificationReads
from notifier.delivery.send_test import SendTest
from notifier.duty.calendar_routes import OnCallCalendar
from notifier.duty.change_roster import ChangeRoster
from notifier.duty.roster_store import RosterReader, RosterStore, confirm_handover
from notifier.duty.routes import RosterRoutes
from notifier.incidents.act import ActOnIncident
from notifier.incidents.problems import Problems
from notifier.incidents.routes import IncidentRoutes
from notifier.incidents.store import IncidentStore
from notifier.inputs.alertmanager import IngestAlerts
from notifier.inputs.routes import InputRoutes
from notifier.inputs.sentry import IngestSentry
from notifier.messages.words import Words
from notifier.people.model import Directory
from notifier.providers import configured
from notifier.routing.model import Routes
from notifier.routing.trial import RouteTrials
from notifier.settings import NotifierSettings
from notifier.silences.routes import SilenceRoutes
from notifier.tickets.routes import TicketRoutes
from notifier.tickets.store import TicketStore
from notifier.workers import People, people_of

NAME = "notifier"
VERSION = "0.1.0"
DESCRIPTION = (
    "Brings events to the right person in Telegram, Slack and mail, and knows what was sent where, when and why."
)


def routes_of(
    settings: NotifierSettings,
    *,
    table: Routes,
    words: Words,
    problems: Problems,
    act: ActOnIncident,
    database: Database,
    wake: Callable[[], None],
) -> list[Route]:
    """Return every HTTP route; opens nothing."""
    admin = IncidentRoutes(
        database=database,
        reader=NotificationReads(database),
        act=act,
        send_test=SendTest(
            routes=table,
            words=words,
            environment=settings.environment,
            channels=configured(settings),
            clock=SystemClock(),
        ),
        trials=RouteTrials(table=table, environment=settings.environment, database=database),
        wake=wake,
    )
    inputs = InputRoutes(
        ingest_alerts=IngestAlerts(problems=problems, database=database, wake=wake),
        ingest_sentry=IngestSentry(problems=problems, database=database, clock=SystemClock(), wake=wake),
    )
    return [
        *inputs.routes(),
        *admin.routes(),
        *SilenceRoutes(database=database, clock=SystemClock(), wake=wake).routes(),
        *dead_letter_routes(database, after_commit=wake),
        *audit_routes(database),
    ]


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document; opens and reads nothing."""
    settings = NotifierSettings.model_construct(
        environment="production", telegram_token=None, slack_token=None, smtp_host=None
    )
    table = Routes(destinations={}, routes=())
    words = Words("ru")
    database = Database("postgresql://", application_name=NAME)
    problems = Problems(routes=table, words=words, environment="production")
    people = people_of(settings, directory=Directory(), problems=problems, database=database)

    def wake() -> None:
        """Nothing is sent."""

    app = build_app(
        service=NAME,
        version=VERSION,
        description=DESCRIPTION,
        routes=[
            *routes_of(
                settings, table=table, words=words, problems=problems, act=people.act, database=database, wake=wake
            ),
            *people_routes(settings, people, database=database, words=words, wake=wake),
        ],
        health=Health(),
        registry=new_registry(),
        tokens=TokenBook(()),
    )
    return app[DOCUMENT]


def people_routes(
    settings: NotifierSettings, people: People, *, database: Database, words: Words, wake: Callable[[], None]
) -> list[Route]:
    """Return the routes of buttons, tickets and roster; opens nothing."""
    tickets = TicketRoutes(
        database=database,
        tickets_on=partial(TicketStore, outside=people.outside),
        incident_store_on=IncidentStore,
        notifications_on=NotificationStore,
        acknowledge=people.acknowledge,
        directory=people.directory,
        words=words,
        wake=wake,
    )
    roster = RosterRoutes(
        database=database,
        reader_on=RosterReader,
        store_on=RosterStore,
        confirm=confirm_handover,
        change=ChangeRoster(directory=people.directory),
        directory=people.directory,
        clock=SystemClock(),
        wake=wake,
    )
    mirror = OnCallCalendar(
        database=database, reader_on=RosterReader, directory=people.directory, words=words, clock=SystemClock()
    )
    return [
        *button_routes(
            store=people.actions,
            telegram_secret=settings.telegram_webhook_secret,
            slack_secret=settings.slack_signing_secret,
            wake=wake,
        ),
        *tickets.routes(),
        *roster.routes(),
        *mirror.routes(),
    ]
