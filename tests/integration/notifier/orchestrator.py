"""An orchestrator for tests of recipes: the address that retries a workflow."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from common.testing import eventually


@dataclass
class Orchestrator:
    """The address that retries a workflow: notes who asks with which key, and keeps a retry waiting while it is held."""

    url: str = ""
    asked: dict[int, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    held: dict[int, asyncio.Event] = field(default_factory=dict)

    async def retry(self, request: web.Request) -> web.Response:
        """Retry a workflow; under the same key that is one retry."""
        workflow = int(request.match_info["id"])
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
