"""The tips service in process, on the real orders database under a role of its own, with the sandbox's feedback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
from aiohttp import web

from common.service import Application, Lifecycle, running
from sandbox.testing import RunningSandbox, running_sandbox
from tests.support.clocks import ManualClock
from tests.support.servers import TestDatabases, eventually
from tips.app import build
from tips.settings import TipsSettings

TOKENS = {"internal": "token-internal", "viewer": "token-viewer", "operator": "token-operator"}
ENDED = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


@dataclass(slots=True)
class RunningTips:
    """One running service, seen from outside, and the orders database as its owner sees it."""

    http: aiohttp.ClientSession
    sandbox: RunningSandbox
    orders: asyncpg.Connection[Any]
    tips_dsn: str
    clock: ManualClock

    async def call(
        self, method: str, path: str, *, role: str | None = "internal", **arguments: Any
    ) -> tuple[int, dict[str, Any]]:
        """Call the service with a role's token; return status and JSON."""
        headers = {} if role is None else {"Authorization": f"Bearer {TOKENS[role]}"}
        async with self.http.request(method, path, headers=headers, **arguments) as response:
            return response.status, await response.json()

    async def set_sum(self, number: str = "ORDER1") -> tuple[int, dict[str, Any]]:
        """Ask for the tips to be set."""
        return await self.call("POST", "/tips/v1/set-tips-sum", json={"order_id": number})

    async def need_hold(self, number: str = "ORDER1") -> tuple[int, dict[str, Any]]:
        """Ask whether to hold."""
        return await self.call("GET", "/tips/v1/need-hold-tips", params={"order_id": number})

    async def order(self, number: str = "ORDER1", **changes: Any) -> None:
        """Put a finished order into the database."""
        values: dict[str, Any] = {
            "number": number,
            "source": "sbermarket",
            "external_id": number,
            "status": "delivered",
            "closed": True,
            "shipped": True,
            "paid": True,
            "revision": 5,
            "zone": "moscow",
            "tariff": "express",
            "currency": "RUB",
            "payment_method": "card",
            "cost_total": 16_000,
            "document": "{}",
            "finished_at": ENDED,
        } | changes
        names = ", ".join(values)
        places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        await self.orders.execute(f"INSERT INTO orders ({names}) VALUES ({places})", *values.values())  # noqa: S608 - the test's own names

    async def stored(self, number: str = "ORDER1") -> dict[str, Any]:
        """What the orders table says of the tips."""
        row = await self.orders.fetchrow(
            "SELECT tips_amount, tips_type, tips_choice, tips_feedback_at, tips_revision FROM orders WHERE number = $1",
            number,
        )
        assert row is not None
        return dict(row)

    async def feedback(self, number: str = "ORDER1", *, after: float = 0.0, **changes: Any) -> None:
        """The customer says something, ``after`` seconds after the end of the order."""
        said: dict[str, Any] = {
            "rating": 5,
            "tips": {"type": "percent", "value": "10"},
            "choice": "suggested",
            "done": False,
            "updated_at": (ENDED + timedelta(seconds=after)).isoformat(),
        }
        await self.sandbox.put_feedback(number, **(said | changes))

    async def metric(self, name: str, **labels: str) -> float:
        """Read one series."""
        async with self.http.get("/metrics") as response:
            text = await response.text()
        wanted = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        for line in text.splitlines():
            if line.startswith(f"{name}{{{wanted}}} "):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"there is no series {name}{{{wanted}}}")


class GatedFeedback:
    """A feedback service that can hold one answer back, fixed at the moment it was asked, until the test opens the gate."""

    def __init__(self) -> None:
        self.url = ""
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.headers: dict[str, str] = {}
        self._hang = False
        self._said: dict[str, Any] = {}

    def says(self, *, after: int, value: str) -> None:
        """The customer wants flat tips, ``after`` seconds after the end of the order."""
        self._said = {
            "rating": 5,
            "tips": {"type": "flat", "value": value},
            "choice": "custom",
            "done": False,
            "updated_at": (ENDED + timedelta(seconds=after)).isoformat(),
        }

    def hang_next(self) -> None:
        """Hold the next answer back."""
        self._hang = True

    async def answer(self, request: web.Request) -> web.Response:
        """``GET /feedback/v1/orders/{order_id}``."""
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        said = self._said
        if self._hang:
            self._hang = False
            self.asked.set()
            await self.gate.wait()
        return web.json_response(said)


@asynccontextmanager
async def gated_feedback() -> AsyncIterator[GatedFeedback]:
    """Run a gated feedback service on a free port."""
    gated = GatedFeedback()
    app = web.Application()
    app.router.add_get("/feedback/v1/orders/{order_id}", gated.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        gated.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield gated
    finally:
        await runner.cleanup()


Start = Callable[..., Awaitable[RunningTips]]


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    """The outside world."""
    async with running_sandbox() as world:
        yield world


@pytest.fixture
async def orders_dsn(database_for: Callable[[str], Awaitable[str]]) -> str:
    """The orders database, as its owner reaches it."""
    return await database_for("orchestrator")


@pytest.fixture
async def tips_dsn(databases: TestDatabases, orders_dsn: str) -> AsyncIterator[str]:
    """The orders database, reached by a login that has the rights of the role `tips` and no others."""
    login, database = f"tips_{uuid4().hex[:12]}", orders_dsn.rpartition("/")[2]
    owner = await asyncpg.connect(orders_dsn)
    await owner.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'tips' IN ROLE tips")
    try:
        yield databases.dsn_of(database, user=login, password="tips")
    finally:
        await owner.execute(f"DROP ROLE {login}")
        await owner.close()


@pytest.fixture
async def start(tmp_path: Path, sandbox: RunningSandbox, orders_dsn: str, tips_dsn: str) -> AsyncIterator[Start]:
    """A function that starts the service."""
    tokens = tmp_path / "tokens.json"
    entries = [{"name": f"test-{role}", "token": token, "role": role} for role, token in TOKENS.items()]
    tokens.write_text(json.dumps({"tokens": entries}))
    async with AsyncExitStack() as stack:

        async def make(**changes: Any) -> RunningTips:
            values: dict[str, Any] = {
                "port": 0,
                "postgres_dsn": tips_dsn,
                "feedback_url": sandbox.feedback_url,
                "tokens_file": tokens,
                # On a crowded machine nothing may be refused for being slow, unless that is what a test is about.
                "request_deadline": 30.0,
                "request_patience": 10.0,
                "database_deadline": 10.0,
                "database_wait": 10.0,
                "feedback_deadline": 10.0,
                "refunds_every": 0.2,
            }
            return await stack.enter_async_context(serving(TipsSettings(**(values | changes)), sandbox, orders_dsn))

        yield make


@asynccontextmanager
async def serving(settings: TipsSettings, sandbox: RunningSandbox, orders_dsn: str) -> AsyncIterator[RunningTips]:
    """Run the service until the block ends."""
    assert settings.postgres_dsn is not None
    clock = ManualClock(ENDED + timedelta(hours=1))

    async def build_at(chosen: TipsSettings, lifecycle: Lifecycle) -> Application:
        return await build(chosen, lifecycle, clock=clock)

    orders = await asyncpg.connect(orders_dsn)
    try:
        async with (
            running(build_at, settings) as application,
            aiohttp.ClientSession(application.url) as session,
        ):
            service = RunningTips(session, sandbox, orders, settings.postgres_dsn.get_secret_value(), clock)

            async def ready() -> bool:
                async with session.get("/readyz") as response:
                    return response.status == 200

            await eventually(ready, what="readiness")
            yield service
    finally:
        await orders.close()
