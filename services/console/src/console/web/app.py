"""The composition root of the console: a straight line from settings to a listening server."""

from __future__ import annotations

from pathlib import Path

from common.http import HttpServer, TokenBook, build_app, new_session
from common.service import Application, Lifecycle, Tls, watch_files
from common.telemetry.metrics import new_registry
from console.web.audit import routes as audit
from console.web.change import again
from console.web.change import routes as change
from console.web.commands import command_of
from console.web.duty import routes as duty
from console.web.endangered import routes as endangered
from console.web.envelope import envelope
from console.web.find import routes as find
from console.web.incident import routes as incident
from console.web.intake import routes as intake
from console.web.lists import routes as lists
from console.web.lists import view_routes
from console.web.lists.views import SavedViews
from console.web.live import routes as live
from console.web.live.news import News
from console.web.message import routes as message
from console.web.metrics import ConsoleMetrics
from console.web.now import routes as now
from console.web.order import routes as order
from console.web.pages import Console
from console.web.people import People
from console.web.proof import routes as proof
from console.web.provider import Provider
from console.web.refund import routes as refund
from console.web.runbook import routes as runbook
from console.web.sessions import Sessions
from console.web.settings import ConsoleSettings
from console.web.sign_in import routes as sign_in
from console.web.tips import routes as tips
from console.web.workflow import routes as workflow

NAME = "console"
DESCRIPTION = (
    "What people see of the suite, and how they act: a client of the five services without data and rights of its own."
)
_OWN = frozenset({"order", "incident", "message", "refund", "endangered", "intake", "workflow"})
"""Kinds whose single things have a screen of their own."""
_AROUND = {
    "incident": incident.AROUND,
    "message": message.AROUND,
    "refund": refund.AROUND,
    "endangered": endangered.AROUND,
    "intake": intake.AROUND,
    "workflow": workflow.AROUND,
}
_STATIC = Path(__file__).parent / "static"
_DEADLINE_S = 15.0
_CONNECTIONS = 200
_LARGEST_FORM = 4 * 1024 * 1024


async def build(settings: ConsoleSettings, lifecycle: Lifecycle) -> Application:
    """Open everything and serve. No service is needed to start, nor to be ready: what is away is said on each page."""
    registry, tls = new_registry(), Tls(settings)
    watch_files(lifecycle, registry, tls.files)
    metrics = ConsoleMetrics(registry, settings.urls, public_url=settings.origin or "")
    session = await lifecycle.enter(
        new_session(
            total=_DEADLINE_S,
            connect=3.0,
            limit=_CONNECTIONS,
            service=NAME,
            watched_by=[metrics.of_calls()],
            trusted=tls.trusted,
        )
    )
    news = News(every=settings.poll_seconds)
    metrics.count_lists(lambda: news.pollers)
    provider = Provider(session, settings) if settings.oidc_issuer is not None else None
    console = Console(settings, People(session, settings.urls), Sessions(settings), command_of, provider=provider)
    views = SavedViews(settings)
    app = build_app(
        service=NAME,
        description=DESCRIPTION,
        routes=[
            *sign_in.routes(console),
            *now.routes(console),
            *find.routes(console),
            *order.routes(console),
            *incident.routes(console),
            *refund.routes(console),
            *endangered.routes(console),
            *intake.routes(console),
            *workflow.routes(console),
            *message.routes(console),
            *runbook.routes(console),
            *duty.routes(console),
            *tips.routes(console),
            *proof.routes(console),
            *change.routes(console),
            *audit.routes(console, views),
            *again.routes(console),
            *view_routes.routes(console, views),
            *lists.routes(console, own=_OWN, around=_AROUND, views=views),
            *live.routes(console, news),
        ],
        health=lifecycle.health,
        registry=registry,
        tokens=TokenBook(),
        max_body=_LARGEST_FORM,
    )
    app.middlewares.insert(0, envelope(console))
    app.router.add_static("/static", _STATIC)

    async def end_streams(_app: object) -> None:
        """Let nobody wait for news of a console that stops."""
        news.close()

    app.on_shutdown.append(end_streams)
    server = await lifecycle.enter(HttpServer(app, settings.host, settings.port, certificate=tls.certificate))
    return Application(server=server, lifecycle=lifecycle)
