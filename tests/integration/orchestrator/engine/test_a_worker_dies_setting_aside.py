"""A worker that dies at any await while it sets an event aside loses nothing and does nothing twice: one failed event, one message."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest

from common.clock import SystemClock
from common.contracts.envelope import Envelope
from common.errors import Conflict
from common.ids import order_number
from common.postgres import Database
from orchestrator.engine.model import ORDER_LIFE, Claim, Outcome
from orchestrator.engine.store import WorkflowStore
from orchestrator.engine.worker import Worker, WorkerLimits
from orchestrator.orders.life import OrderLife, Placement
from orchestrator.orders.store import OrderStore
from tests.integration.orchestrator.factories import operate_on, worker_of
from tests.support.crash_points import AnyConnectionWithCrashPoints, CrashPoint, KilledError
from tests.support.order_hooks import SOURCE, append_hooks, hook


class MortalDatabase(Database):
    """A database whose user may die at each statement, before a commit and after it."""

    crash_point = CrashPoint()

    @asynccontextmanager
    async def acquire(self, *, timeout: float = 5.0) -> AsyncIterator[Any]:
        """Lend a mortal connection."""
        async with super().acquire(timeout=timeout) as connection:
            yield AnyConnectionWithCrashPoints(connection, self.crash_point)

    @asynccontextmanager
    async def transaction(self, **more: Any) -> AsyncIterator[Any]:
        """Open a transaction that may end before its commit, or whose answer nobody hears."""
        async with super().acquire() as real:
            async with real.transaction():
                yield AnyConnectionWithCrashPoints(real, self.crash_point)
                await self.crash_point.point()
            await self.crash_point.point()


@pytest.fixture
async def databases_of_two(dsn: str) -> AsyncIterator[tuple[MortalDatabase, Database]]:
    """The mortal worker's pool and everybody else's."""
    mortal, other = MortalDatabase(dsn, application_name="mortal"), Database(dsn, application_name="other")
    await mortal.open()
    await other.open()
    yield mortal, other
    await mortal.close()
    await other.close()


class Flawed(OrderLife):
    """Carries no change out."""

    def run(self, claim: Claim, batch: Any) -> Outcome:
        """Fail of a change."""
        if any(event.type == "order.changed" for event in claim.events):
            raise Conflict("this release cannot")
        return super().run(claim, batch)


def a_worker(database: Database, owner: str, limits: WorkerLimits, *, handler: type[OrderLife] = OrderLife) -> Worker:
    """A worker of orders' lives."""
    life = handler(OrderStore(database), SystemClock(), Placement(zones_by_store={}, tariffs_by_shipment={}))
    return worker_of(WorkflowStore(database), {ORDER_LIFE: life}, owner=owner, limits=limits)


async def dies(mortal: MortalDatabase, other: Database, *, at: int) -> bool:
    """Have a worker die at this await and another do the rest; return whether there was such an await."""
    mortal.crash_point = CrashPoint(dies_at=at)
    worker = a_worker(mortal, f"mortal-{at}", WorkerLimits(lease_seconds=-1))
    killed = False
    try:
        while await worker.work_once():
            pass
    except KilledError:
        killed = True
        await WorkflowStore(other).release_expired()
    alive = a_worker(other, f"alive-{at}", WorkerLimits())
    while await alive.work_once():
        pass
    return killed


async def test_a_worker_may_die_at_every_await_of_setting_an_event_aside(
    databases_of_two: tuple[MortalDatabase, Database],
) -> None:
    mortal, other = databases_of_two
    deaths, killed = 0, True
    while killed:
        deaths += 1
        name = f"K{deaths}"
        changed = hook(name, "order.changed", minute=2, quantity=3)
        bad = replace(changed, body=orjson.dumps({"payload": {"positions": [{"id": "a", "quantity": "a few"}]}}))
        hooks = [hook(name, "order.created", minute=1), bad, hook(name, "order.changed", minute=3, quantity=5)]
        async with other.transaction() as connection:
            await append_hooks(connection, hooks)
        killed = await dies(mortal, other, at=deaths)
        async with other.acquire() as connection:
            (workflow,) = await connection.fetch(
                "SELECT * FROM workflow WHERE order_number = $1", order_number(SOURCE, name)
            )
            aside = await connection.fetch(
                "SELECT seq, state FROM set_aside_event WHERE workflow_id = $1", workflow["id"]
            )
            sent = [Envelope.decode(row["body"]) for row in await connection.fetch("SELECT body FROM outbox")]
            (stored,) = await connection.fetch(
                "SELECT document FROM orders WHERE number = $1", workflow["order_number"]
            )
        assert [tuple(row) for row in aside] == [(2, 3)], deaths
        assert (workflow["done_seq"], workflow["failed_events"], workflow["state"]) == (3, 1, 1), deaths
        crashes = [(event.data or {})["event"] for event in sent if event.type == "orders.workflow.crashed.v1"]
        assert crashes.count(f"{workflow['id']}-2") == 1, deaths
        mine = Counter(event.type for event in sent if event.subject == workflow["order_number"])
        assert (mine["orders.order.created.v1"], mine["orders.order.changed.v1"]) == (1, 1), deaths
        assert stored["document"]["positions"][0]["quantity"] == "5", deaths
    assert deaths > 20


async def ends_of(database: Database, workflow: int) -> int:
    """How often the end of a workflow's incident was put into the outbox."""
    async with database.acquire() as connection:
        sent = [Envelope.decode(row["body"]) for row in await connection.fetch("SELECT body FROM outbox")]
    ends = [event.data or {} for event in sent if event.type == "alerts.problem.resolved.v1"]
    return sum(end["fingerprint"] == f"workflow:{workflow}" for end in ends)


async def test_a_retry_ends_its_incident_once_wherever_its_worker_dies(
    databases_of_two: tuple[MortalDatabase, Database],
) -> None:
    """Not when it is asked for, and not where it crashes again; the next replica carries on."""
    mortal, other = databases_of_two
    deaths, killed = 0, True
    while killed:
        deaths += 1
        hooks = [
            hook(f"R{deaths}", "order.created", minute=1),
            hook(f"R{deaths}", "order.changed", minute=2, quantity=3),
        ]
        async with other.transaction() as connection:
            await append_hooks(connection, hooks)
        flawed = a_worker(other, f"flawed-{deaths}", WorkerLimits(), handler=Flawed)
        while await flawed.work_once():
            pass
        async with other.acquire() as connection:
            workflow = await connection.fetchval("SELECT max(id) FROM workflow WHERE failed_events = 1")
        for again in (True, False):
            await operate_on(other, "retry", workflow)
            while again and await flawed.work_once():
                pass
        assert await ends_of(other, workflow) == 0
        killed = await dies(mortal, other, at=deaths)
        assert await ends_of(other, workflow) == 1
    assert deaths > 5
