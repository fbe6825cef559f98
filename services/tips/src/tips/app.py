"""The composition root of tips: a straight line from settings to a listening server."""

from __future__ import annotations

from functools import partial
from typing import Any

from common.clock import Clock, SystemClock
from common.http import HttpServer, build_app, describe, new_session
from common.postgres import Database
from common.service import Application, Lifecycle, Tls, accepted_tokens, every, required, tell_of_failures, watch_files
from common.telemetry.metrics import new_registry
from tips.api import TipsApi
from tips.count_refunded import count_refunded
from tips.decide import TipsDecisions
from tips.feedback import FeedbackClient
from tips.metrics import TipsMetrics
from tips.overload.admission import Admission
from tips.overload.bulkhead import Bulkhead
from tips.settings import TipsSettings
from tips.store import TipsStore

NAME = "tips"
DESCRIPTION = "Decides the tips of a finished order and whether they are to be held. Works on the orders database."


async def build(settings: TipsSettings, lifecycle: Lifecycle, *, clock: Clock | None = None) -> Application:
    """Open everything and serve. Starts while the orders database or feedback are away, and says so on ``/readyz``.

    Feedback is no readiness check: while it is away a request costs its deadline and is answered 503, and the caller falls back.
    """
    dsn = required(settings.postgres_dsn, TipsSettings, "postgres_dsn")
    registry, tls = new_registry(), Tls(settings)
    tokens = await accepted_tokens(lifecycle, registry, settings, trusted=tls.trusted)
    watch_files(lifecycle, registry, {"tokens": (settings.tokens_file, tokens.read), **tls.files})
    tell_of_failures(lifecycle, None, registry, service=NAME)
    metrics = TipsMetrics(registry, zones=settings.zones, tariffs=settings.tariffs, currencies=settings.currencies)
    database = Database(
        dsn, application_name=NAME, max_size=settings.database_connections, command_timeout=settings.database_deadline
    )
    await database.open()
    lifecycle.on_stop(database.close)
    session = await lifecycle.enter(
        new_session(
            total=settings.feedback_deadline,
            limit=settings.feedback_connections,
            service=NAME,
            traced=False,
            trusted=tls.trusted,
        )
    )
    book = settings.book
    store = TipsStore(
        database,
        book=book,
        deadline=settings.database_deadline,
        wait=settings.database_wait,
        bulkhead=Bulkhead("the orders database", label="database", limit=settings.requests_at_once, metrics=metrics),
        metrics=metrics,
    )
    lifecycle.health.add_check("postgres", store.check)
    feedback = FeedbackClient(
        session,
        url=str(settings.feedback_url),
        deadline=settings.feedback_deadline,
        bulkhead=Bulkhead("feedback", label="feedback", limit=settings.feedback_connections, metrics=metrics),
        metrics=metrics,
        clock=clock or SystemClock(),
    )
    every(lifecycle, settings.refunds_every, partial(count_refunded, store, metrics), name="count refunded tips")
    decisions = TipsDecisions(
        store=store,
        feedback=feedback,
        metrics=metrics,
        clock=clock or SystemClock(),
        book=book,
        attempts=settings.write_attempts,
    )
    admission = Admission(
        metrics,
        at_once=settings.requests_at_once,
        waiting=settings.requests_waiting,
        patience=settings.request_patience,
        longest=settings.request_deadline,
    )
    app = build_app(
        service=NAME,
        description=DESCRIPTION,
        routes=TipsApi(decisions, admission).routes(),
        health=lifecycle.health,
        registry=registry,
        tokens=tokens,
    )
    server = await lifecycle.enter(HttpServer(app, settings.host, settings.port, certificate=tls.certificate))
    return Application(server=server, lifecycle=lifecycle)


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document; opens and reads nothing."""
    unserved: Any = None  # the document needs the table of routes; no handler is called
    return describe(service=NAME, description=DESCRIPTION, routes=TipsApi(unserved, unserved).routes())
