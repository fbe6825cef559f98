"""A recipe is pressed while the same problem is reported again: in both orders, and at one moment in two replicas."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from aiohttp import ClientSession, web
from pydantic import SecretStr

from common.ids import order_number
from common.service import running
from common.testing import eventually
from orchestrator.app import build as build_orchestrator
from orchestrator.settings import OrchestratorSettings
from tests.integration.notifier.factories import ONE_GROUP, SUITE_TOKENS, Kit, MakeKit, created_hook, enveloped
from tests.integration.notifier.people import SECRET, crashed, settings_for, telegram_id

RACES = 12
AT_REST = """
UPDATE workflow AS w SET state = 4 WHERE w.order_number = $1 AND w.done_seq = w.last_seq
AND NOT EXISTS (SELECT FROM workflow_ready AS r WHERE r.workflow_id = w.id) RETURNING w.id
"""


@dataclass
class Door:
    """Stands before the orchestrator: counts who comes with which key, and holds a workflow's retry up when told to."""

    behind: str
    url: str = ""
    keys: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    held: dict[str, asyncio.Event] = field(default_factory=dict)

    async def pass_on(self, request: web.Request) -> web.Response:
        """Let a request through."""
        self.keys[request.path].add(request.headers["Idempotency-Key"])
        if (gate := self.held.get(request.path)) is not None:
            await gate.wait()
        kept = {name: request.headers[name] for name in ("Authorization", "Idempotency-Key", "Content-Type")}
        body = await request.read()
        async with ClientSession() as session, session.post(self.behind + request.path, data=body, headers=kept) as got:
            return web.Response(status=got.status, body=await got.read(), content_type=got.content_type)


@asynccontextmanager
async def door_before(url: str) -> AsyncIterator[Door]:
    """Run a door before a service."""
    door = Door(url)
    app = web.Application()
    app.router.add_post("/{path:.*}", door.pass_on)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    door.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield door
    finally:
        await runner.cleanup()


async def crashed_workflows(kit: Kit, orders_dsn: str, names: list[str]) -> list[int]:
    """Have an order made for each name, and its workflow be a crashed one; returns the workflows' ids."""
    for name in names:
        await kit.broker.publisher.publish(created_hook(name).to_envelope(), deadline=15.0)
    async with asyncpg.create_pool(orders_dsn, min_size=1, max_size=2) as pool:

        async def crash(name: str) -> int:
            async def found() -> int | None:
                workflow: int | None = await pool.fetchval(AT_REST, order_number("sbermarket", name))
                return workflow

            return await eventually(found, within=30, what="a workflow at rest") or 0

        return [await crash(name) for name in names]


@dataclass
class Race:
    """Presses and reports about some workflows, at a notifier of two replicas."""

    kit: Kit
    door: Door
    orders_dsn: str
    requests: dict[int, int] = field(default_factory=dict)
    reported: dict[int, datetime] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    presses: int = 0

    async def report(self, workflow: int) -> None:
        """Report that the workflow crashed now."""
        self.reported[workflow] = datetime.now(UTC)
        envelope = enveloped(crashed(workflow, occurred_at=self.reported[workflow]))
        self.events.append(envelope.id)
        await self.kit.publish(envelope)

    async def press(self, data: str, *, user: str) -> None:
        """Press a button, as Telegram says it; the replicas take turns."""
        self.presses += 1
        query = {
            "id": f"query-{self.presses}",
            "from": {"id": telegram_id(user)},
            "message": {"chat": {"id": -100}},
            "data": data,
        }
        url = self.kit.applications[self.presses % 2].url + "/telegram/webhook"
        headers = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
        body = {"update_id": self.presses, "callback_query": query}
        async with self.kit.sandbox.session.post(url, json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async def opened(self, workflows: list[int]) -> None:
        """Report each, and ask for its recipe."""
        for workflow in workflows:
            await self.report(workflow)
        for workflow in workflows:
            await self.press(f"n1:w:{(await self.incident(workflow))['id']}", user="oleg")
        asked = "SELECT id, target FROM recipe_requests"

        async def all_asked() -> bool:
            self.requests = {int(row["target"]): row["id"] for row in await self.kit.fetch(asked)}
            return len(self.requests) == len(workflows)

        await eventually(all_asked, what="every recipe is asked for")

    async def incident(self, workflow: int, *, occurrences: int = 1) -> dict[str, Any]:
        """The newest incident of a workflow, when it was reported so often."""

        async def found() -> Any:
            rows = await self.kit.fetch(
                "SELECT * FROM incidents WHERE fingerprint = $1 ORDER BY id DESC LIMIT 1", f"workflow:{workflow}"
            )
            return next((row for row in rows if row["occurrences"] >= occurrences), None)

        incident: dict[str, Any] = await eventually(found, what=f"workflow {workflow} reported {occurrences} times")
        return incident

    async def confirmed(self, workflow: int) -> None:
        """Say yes to its recipe."""
        await self.press(f"n1:y:{self.requests[workflow]}", user="oleg")

    async def ran(self, workflow: int) -> datetime:
        """Wait until its recipe is done; returns when it began."""
        statement = "SELECT began_at FROM recipe_requests WHERE id = $1 AND state = 'done'"

        async def done() -> Any:
            return await self.kit.fetch(statement, self.requests[workflow])

        [row] = await eventually(done, what="the recipe is done")
        began: datetime = row["began_at"]
        return began

    async def at_rest(self) -> None:
        """Wait until every report was taken in, every press carried out, and every line followed up."""

        async def quiet() -> bool:
            [row] = await self.kit.fetch(
                "SELECT (SELECT count(*) FROM inbox WHERE event_id = ANY($1::text[])) AS taken,"
                " (SELECT count(*) FROM presses WHERE done_at IS NULL) AS pressed,"
                " (SELECT count(*) FROM incident_history WHERE NOT told) AS untold",
                self.events,
            )
            return row == {"taken": len(self.events), "pressed": 0, "untold": 0}

        await eventually(quiet, what="everything is carried out")

    async def retries(self, workflow: int) -> list[str]:
        """Who had the workflow retried, as the orchestrator's audit says."""
        connection = await asyncpg.connect(self.orders_dsn)
        try:
            rows = await connection.fetch("SELECT actor FROM audit_log WHERE target = $1", f"workflow:{workflow}")
            return [row["actor"] for row in rows]
        finally:
            await connection.close()


async def test_a_recipe_and_a_new_report_of_its_problem_lose_nothing_and_it_runs_once(
    make_kit: MakeKit, database_for: Callable[[str], Awaitable[str]], amqp_url: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        orders_dsn = await database_for("orchestrator")
        tokens = tmp_path / "suite-tokens.json"
        tokens.write_text(json.dumps(SUITE_TOKENS))
        settings = OrchestratorSettings(
            postgres_dsn=SecretStr(orders_dsn), poll=0.1, port=0, amqp_url=SecretStr(amqp_url), tokens_file=tokens
        )
        orchestrator = await stack.enter_async_context(running(build_orchestrator, settings))
        door = await stack.enter_async_context(door_before(orchestrator.url))
        kit = await make_kit(replicas=2, routes=ONE_GROUP, orchestrator_url=door.url, **settings_for(tmp_path))
        race = Race(kit, door, orders_dsn)
        before, during, *both = workflows = await crashed_workflows(
            kit, orders_dsn, [f"R{number}" for number in range(RACES + 2)]
        )
        await race.opened(workflows)

        # The report, then the recipe: what was reported is what it repairs.
        await race.report(before)
        await race.incident(before, occurrences=2)
        await race.confirmed(before)
        # The recipe, then the report: it crashed again, whatever the recipe says of itself.
        gate = door.held[f"/admin/v1/workflows/{during}/retry"] = asyncio.Event()
        await race.confirmed(during)
        await eventually(lambda: arrived(door, during), what="the recipe is under way")
        await race.report(during)
        await race.incident(during, occurrences=2)
        gate.set()
        # At one moment, while somebody else presses the same recipe.
        for number, workflow in enumerate(both):
            incident = await race.incident(workflow)
            await asyncio.gather(
                race.confirmed(workflow),
                later(number * 0.004, race.report(workflow)),
                later(number * 0.006, race.press(f"n1:w:{incident['id']}", user="anna")),
            )

        began = {workflow: await race.ran(workflow) for workflow in workflows}
        await race.at_rest()
        lasts = {workflow: race.reported[workflow] > began[workflow] for workflow in workflows}
        assert (lasts[before], lasts[during]) == (False, True)
        tickets = (await kit.call("GET", "/admin/v1/tickets?limit=100"))[1]["items"]
        for workflow in workflows:
            incident = await race.incident(workflow)
            assert (incident["state"] != "resolved") == lasts[workflow], (workflow, incident)
            [ticket] = [each for each in tickets if each["incident_id"] == incident["id"]]
            assert (ticket["state"] == "open") == lasts[workflow], (workflow, ticket)
            assert await race.retries(workflow) == ["oleg"]
            assert len(door.keys[f"/admin/v1/workflows/{workflow}/retry"]) == 1
        assert len(tickets) == len(workflows)
        outcomes = await kit.fetch("SELECT DISTINCT outcome FROM presses")
        assert {row["outcome"] for row in outcomes} <= {"asked", "done", "taken", "over"}


async def arrived(door: Door, workflow: int) -> bool:
    """Whether a workflow's retry was asked for."""
    return bool(door.keys[f"/admin/v1/workflows/{workflow}/retry"])


async def later(seconds: float, what: Awaitable[None]) -> None:
    """Do it a moment later."""
    await asyncio.sleep(seconds)
    await what
