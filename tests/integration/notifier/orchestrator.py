"""An orchestrator for tests of recipes: the address that retries a workflow."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.support.servers import eventually


@dataclass
class Orchestrator:
    """The address that retries a workflow: notes who asks with which key and why, and keeps a retry waiting while it is held.

    ``refuses``: the status with which it refuses everything.
    """

    url: str = ""
    asked: dict[int, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    reasons: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    rehearsed: list[tuple[int, str, str]] = field(default_factory=list)
    held: dict[int, asyncio.Event] = field(default_factory=dict)
    refuses: int | None = None
    tells = "alerts.problem.resolved.v1 of 7Q3M: who was told of it"

    async def retry(self, request: web.Request) -> web.Response:
        """Retry a workflow; under the same key that is one retry."""
        workflow, body = int(request.match_info["id"]), await request.json()
        if self.refuses is not None:
            return web.json_response({"code": "conflict", "detail": "it has not crashed"}, status=self.refuses)
        if body.get("dry_run"):
            self.rehearsed.append((workflow, request.headers["Authorization"], body["reason"]))
            said = {"dry_run": True, "after": {"state_name": "running"}, "notices": [self.tells]}
            return web.json_response(said)
        self.reasons[workflow].add(body["reason"])
        self.asked[workflow].add((request.headers["Authorization"], request.headers["Idempotency-Key"]))
        if (gate := self.held.get(workflow)) is not None:
            await gate.wait()
        return web.json_response({"outcome": "retried"})

    async def hears_of(self, workflow: int) -> None:
        """Wait until a workflow's retry was asked for."""

        async def asked() -> bool:
            return bool(self.asked[workflow])

        await eventually(asked, what="the recipe is under way")


@asynccontextmanager
async def an_orchestrator() -> AsyncIterator[Orchestrator]:
    """Answer under an address of its own."""
    orchestrator = Orchestrator()
    app = web.Application()
    app.router.add_post("/admin/v1/workflows/{id}/retry", orchestrator.retry)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    orchestrator.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield orchestrator
    finally:
        await runner.cleanup()
