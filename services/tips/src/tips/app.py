"""The composition root of tips: a straight line from settings to a listening server."""

from __future__ import annotations

from typing import Any, NoReturn

from common.clock import Clock, SystemClock
from common.errors import Unavailable
from common.health import Health
from common.http import HttpServer, Route, TokenBook, audit_routes, build_app, new_session
from common.http.app import DOCUMENT
from common.postgres import Database
from common.service import Application, Lifecycle, required
from common.telemetry.metrics import new_registry
from tips import use_cases as ports
from tips.api import tips_routes
from tips.count_refunded import CountRefunded
from tips.decide import SetTipsSum
from tips.explain import Explain
from tips.explanation import admin_routes
from tips.feedback import FeedbackClient
from tips.jobs import count_refunded_for_ever
from tips.metrics import TipsMetrics
from tips.need_hold_tips import NeedHoldTips
from tips.overload.admission import Admission
from tips.overload.bulkhead import Compartment
from tips.settings import TipsSettings
from tips.store import PostgresOrders

NAME = "tips"
VERSION = "0.1.0"
DESCRIPTION = "Decides the tips of a finished order and whether they are to be held. Works on the orders database."


async def build(settings: TipsSettings, lifecycle: Lifecycle, *, clock: Clock | None = None) -> Application:
    """Open everything and serve. Starts while the orders database or feedback are away, and says so on ``/readyz``.

    Feedback is no readiness check: while it is away a request costs its deadline and is answered 503, and the caller falls back.
    """
    dsn = required(settings.postgres_dsn, TipsSettings, "postgres_dsn")
    tokens = TokenBook.load(settings.tokens_file)
    registry = new_registry()
    metrics = TipsMetrics(registry, zones=settings.zones, tariffs=settings.tariffs, currencies=settings.currencies)
    database = Database(
        dsn,
        application_name=NAME,
        max_size=settings.database_connections,
        command_timeout=settings.database_deadline,
    )
    await database.open()
    lifecycle.on_stop(database.close)
    session = await lifecycle.enter(
        new_session(total=settings.feedback_deadline, limit=settings.feedback_connections, service=NAME, traced=False)
    )
    book = settings.book
    orders = PostgresOrders(
        database,
        book=book,
        deadline=settings.database_deadline,
        wait=settings.database_wait,
        compartment=Compartment(
            "the orders database",
            limit=settings.requests_at_once,
            refused=lambda reason: metrics.shed(f"database_{reason}"),
        ),
        observe=metrics.observe_database,
    )
    lifecycle.health.add_check("postgres", orders.check)
    feedback = FeedbackClient(
        session,
        url=str(settings.feedback_url),
        deadline=settings.feedback_deadline,
        compartment=Compartment(
            "feedback",
            limit=settings.feedback_connections,
            refused=lambda reason: metrics.shed(f"feedback_{reason}"),
        ),
        observe=metrics.observe_feedback,
    )
    clock = clock or SystemClock()
    count_refunded = CountRefunded(orders, metrics)
    lifecycle.supervise(
        "count refunded tips", lambda: count_refunded_for_ever(count_refunded, every=settings.refunds_every)
    )
    routes = routes_of(
        set_tips_sum=SetTipsSum(orders, feedback, metrics, book=book, attempts=settings.write_attempts),
        need_hold_tips=NeedHoldTips(orders, feedback, clock, book=book),
        explain=Explain(orders, feedback, clock, book=book),
        admission=Admission(
            metrics,
            at_once=settings.requests_at_once,
            waiting=settings.requests_waiting,
            patience=settings.request_patience,
            longest=settings.request_deadline,
        ),
    )
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
    return Application(server=server, lifecycle=lifecycle)


def routes_of(
    *, set_tips_sum: ports.SetTipsSum, need_hold_tips: ports.NeedHoldTips, explain: ports.Explain, admission: Admission
) -> list[Route]:
    """Return every HTTP route."""
    return [
        *tips_routes(set_tips_sum=set_tips_sum, need_hold_tips=need_hold_tips, admission=admission),
        *admin_routes(explain=explain, admission=admission),
        *audit_routes(None),  # nothing here is changed by a person
    ]


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document; opens and reads nothing."""

    async def closed(number: str, *, until: float) -> NoReturn:
        """Say that nothing is open: the document needs no service."""
        raise Unavailable("this application only describes itself")

    registry = new_registry()
    metrics = TipsMetrics(registry, zones=frozenset(), tariffs=frozenset(), currencies=frozenset())
    app = build_app(
        service=NAME,
        version=VERSION,
        description=DESCRIPTION,
        routes=routes_of(
            set_tips_sum=closed,
            need_hold_tips=closed,
            explain=closed,
            admission=Admission(metrics, at_once=1, waiting=0, patience=0, longest=1),
        ),
        health=Health(),
        registry=registry,
        tokens=TokenBook(()),
    )
    return app[DOCUMENT]
