"""Composition root: every outside system in one aiohttp process, and SMTP beside it."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from sandbox.clock import Clock, SystemClock
from sandbox.control import control_routes, refuse_politely
from sandbox.faults import FaultPlan
from sandbox.gate import OutsideSystem
from sandbox.kept import Kept
from sandbox.log import Journal
from sandbox.marketplace.system import Marketplace
from sandbox.settings import Settings
from sandbox.systems.calls import Calls
from sandbox.systems.feedback import Feedback
from sandbox.systems.mail import Mail
from sandbox.systems.sentry import Sentry
from sandbox.systems.slack.system import Slack
from sandbox.systems.telegram.system import Telegram
from sandbox.systems.tracker import Tracker
from sandbox.systems.trust import Trust
from sandbox.systems.twilio import Twilio
from sandbox.systems.yookassa import YooKassa

_BODY_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside, by name. All state is in memory and of this process alone, but for what is kept in a file."""

    settings: Settings
    clock: Clock
    kept: Kept
    systems: dict[str, OutsideSystem]
    mail: Mail
    marketplace: Marketplace
    telegram: Telegram
    slack: Slack
    trust: Trust
    yookassa: YooKassa


def build_world(settings: Settings, *, clock: Clock | None = None) -> World:
    """Make every system; nothing listens yet. Raises sqlite3.Error when the file of what is kept cannot be read."""
    time = clock or SystemClock()
    kept = Kept(settings.keep_file)
    said = kept if settings.keep_file else None

    def journal() -> Journal:
        return Journal(limit=settings.journal_limit)

    def faults(name: str) -> FaultPlan:
        return FaultPlan(random.Random(f"{settings.seed}:{name}"))

    telegram = Telegram(settings=settings, clock=time, journal=journal(), faults=faults("telegram"), kept=said)
    slack = Slack(settings=settings, clock=time, journal=journal(), faults=faults("slack"), kept=said)
    mail = Mail(settings=settings, clock=time, journal=journal(), faults=faults("mail"))
    trust = Trust(settings=settings, clock=time, journal=journal(), faults=faults("trust"), kept=kept)
    yookassa = YooKassa(settings=settings, clock=time, journal=journal(), faults=faults("yookassa"), kept=kept)
    tracker = Tracker(settings=settings, clock=time, journal=journal(), faults=faults("tracker"), kept=kept)
    feedback = Feedback(settings=settings, clock=time, journal=journal(), faults=faults("feedback"))
    calls = Calls(settings=settings, clock=time, journal=journal(), faults=faults("calls"))
    twilio = Twilio(settings=settings, clock=time, journal=journal(), faults=faults("twilio"))
    sentry = Sentry(clock=time, journal=journal(), faults=faults("sentry"))
    marketplace = Marketplace(
        settings=settings, clock=time, journal=journal(), faults=faults("marketplace"), trust=trust
    )
    systems: tuple[OutsideSystem, ...] = (
        *(telegram, slack, mail, trust, yookassa, tracker, feedback, calls, twilio, sentry),
        marketplace,
    )
    return World(
        settings=settings,
        clock=time,
        kept=kept,
        systems={system.name: system for system in systems},
        mail=mail,
        marketplace=marketplace,
        telegram=telegram,
        slack=slack,
        trust=trust,
        yookassa=yookassa,
    )


def build(world: World) -> web.Application:
    """The application; SMTP starts and stops with it. Raises OSError at start when the SMTP port is taken."""
    app = web.Application(client_max_size=_BODY_LIMIT, middlewares=[refuse_politely])

    async def livez(_: web.Request) -> web.Response:
        """The process runs."""
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        """SMTP listens too."""
        listening = world.mail.port is not None
        body = {"status": "ok" if listening else "not ready", "smtp_port": world.mail.port}
        return web.json_response(body, status=200 if listening else 503)

    async def smtp(_: web.Application) -> AsyncIterator[None]:
        """Listen for mail while the application lives."""
        await world.mail.start()
        yield
        await world.mail.close()

    async def plays(_: web.Application) -> AsyncIterator[None]:
        """End plays that still run."""
        yield
        await world.marketplace.close()
        world.kept.close()

    app.cleanup_ctx.extend([smtp, plays])
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    for system in world.systems.values():
        app.router.add_routes(system.routes())
    app.router.add_routes(control_routes(world.systems))
    return app


def runner_for(world: World) -> web.AppRunner:
    """A runner that lets go of open calls at once when it is told to stop: nothing here must outlive a test."""
    return web.AppRunner(build(world), access_log=None, shutdown_timeout=0.1, handle_signals=False)
