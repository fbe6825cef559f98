"""The composition root of tips: a straight line from settings to a listening server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from common.clock import Clock, SystemClock
from common.errors import Unavailable
from common.health import Health
from common.http import HttpServer, Route, TokenBook, audit_routes, build_app, new_session
from common.http.app import DOCUMENT
from common.postgres import Database
from common.service import Application, Lifecycle, required
from common.telemetry.metrics import new_registry
from tips.adapters.feedback import FeedbackClient
from tips.adapters.metrics import TipsMetrics
from tips.adapters.postgres import PostgresOrders
from tips.application.explain import Explain, Explanation
from tips.application.need_hold_tips import NeedHoldTips
from tips.application.set_tips_sum import SetTipsSum
from tips.entrypoints.admin import admin_routes
from tips.entrypoints.http import tips_routes
from tips.settings import TipsSettings

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
        new_session(total=settings.feedback_deadline, limit=settings.feedback_connections, service=NAME)
    )
    orders = PostgresOrders(
        database,
        cashless_methods=settings.cashless_methods,
        deadline=settings.database_deadline,
        observe=metrics.observe_database,
    )
    lifecycle.health.add_check("postgres", orders.check)
    feedback = FeedbackClient(
        session,
        url=str(settings.feedback_url),
        deadline=settings.feedback_deadline,
        observe=metrics.observe_feedback,
    )
    clock = clock or SystemClock()
    rules = settings.rules
    routes = routes_of(
        set_tips_sum=SetTipsSum(orders, feedback, metrics, rules=rules, attempts=settings.write_attempts),
        need_hold_tips=NeedHoldTips(orders, feedback, clock, rules=rules),
        explain=Explain(orders, feedback, clock, rules=rules),
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
    *,
    set_tips_sum: Callable[[str], Awaitable[None]],
    need_hold_tips: Callable[[str], Awaitable[bool]],
    explain: Callable[[str], Awaitable[Explanation]],
) -> list[Route]:
    """Return every HTTP route."""
    return [
        *tips_routes(set_tips_sum=set_tips_sum, need_hold_tips=need_hold_tips),
        *admin_routes(explain=explain),
        *audit_routes(None),  # nothing here is changed by a person
    ]


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document; opens and reads nothing."""

    async def closed(_: str) -> NoReturn:
        """Say that nothing is open: the document needs no service."""
        raise Unavailable("this application only describes itself")

    app = build_app(
        service=NAME,
        version=VERSION,
        description=DESCRIPTION,
        routes=routes_of(set_tips_sum=closed, need_hold_tips=closed, explain=closed),
        health=Health(),
        registry=new_registry(),
        tokens=TokenBook(()),
    )
    return app[DOCUMENT]
