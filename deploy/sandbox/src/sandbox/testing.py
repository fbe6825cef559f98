"""The sandbox inside a test's own process: `async with running_sandbox() as sandbox: …`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from sandbox.app import World, build_world, runner_for
from sandbox.clock import Clock
from sandbox.settings import Settings


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox on free loopback ports, and the few controls most tests need. `world` is its inside."""

    url: str
    smtp_host: str
    smtp_port: int
    world: World
    session: aiohttp.ClientSession

    @property
    def telegram_url(self) -> str:
        """For aiogram: `TelegramAPIServer.from_base(sandbox.telegram_url)`."""
        return self.url

    @property
    def slack_url(self) -> str:
        """For slack-sdk: `AsyncWebClient(base_url=sandbox.slack_url)`."""
        return f"{self.url}/api/"

    @property
    def trust_url(self) -> str:
        """Base of `/trust-payments/v2/…`."""
        return self.url

    @property
    def feedback_url(self) -> str:
        """Base of `/feedback/v1/…`."""
        return self.url

    @property
    def tracker_url(self) -> str:
        """Base of `/v3/issues`."""
        return self.url

    @property
    def sentry_dsn(self) -> str:
        """For the Sentry SDK."""
        return self.url.replace("://", "://public@") + "/1"

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call a control; returns its JSON (None for an empty answer). Raises AssertionError when it refuses."""
        async with self.session.request(method, self.url + path, json=body) as response:
            text = await response.text()
            if response.status >= 400:
                raise AssertionError(f"{method} {path} answered {response.status}: {text}")
            return await response.json() if text else None

    async def log(self, system: str, *, after: int = 0) -> list[dict[str, Any]]:
        """Everything `system` received, in order."""
        page = await self.control("GET", f"/sandbox/{system}/log?after={after}")
        items: list[dict[str, Any]] = page["items"]
        return items

    async def fault(self, system: str, **order: Any) -> None:
        """Order a fault: `mode`, and `count` or `share`, `delay_s`, `match`."""
        await self.control("POST", f"/sandbox/{system}/faults", order)

    async def heal(self, system: str) -> None:
        """Forget the faults of `system`."""
        await self.control("DELETE", f"/sandbox/{system}/faults")

    async def play(self, **order: Any) -> dict[str, Any]:
        """Play orders; returns the report."""
        report: dict[str, Any] = await self.control("POST", "/sandbox/marketplace/play", order)
        return report

    async def put_payment(self, payment_id: str, *, captured: int, currency: str = "RUB", **order: Any) -> None:
        """Make a captured payment at Trust; `captured` in minor units."""
        body = {"captured": captured, "currency": currency, **order}
        await self.control("PUT", f"/sandbox/trust/payments/{payment_id}", body)

    async def put_feedback(self, order_id: str, **feedback: Any) -> None:
        """Set what the customer said of an order."""
        await self.control("PUT", f"/sandbox/feedback/orders/{order_id}", feedback)


@asynccontextmanager
async def running_sandbox(*, clock: Clock | None = None, **settings: Any) -> AsyncIterator[RunningSandbox]:
    """Start a sandbox on free ports with these settings changed; everything is closed at the end."""
    world = build_world(Settings.model_validate({"port": 0, "smtp_port": 0, **settings}), clock=clock)
    runner = runner_for(world)
    await runner.setup()
    try:
        await web.TCPSite(runner, world.settings.host, world.settings.port).start()
        host, port = runner.addresses[0][:2]
        smtp_port = world.mail.port
        assert smtp_port is not None  # noqa: S101 - set up by the runner's start
        async with aiohttp.ClientSession() as session:
            yield RunningSandbox(
                url=f"http://{host}:{port}",
                smtp_host=host,
                smtp_port=smtp_port,
                world=world,
                session=session,
            )
    finally:
        await runner.cleanup()
