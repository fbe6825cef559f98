"""A NOTIFY that nobody hears: the listener's connection ends at that moment. The event is carried out by the next look all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from common.postgres import Database
from orchestrator.engine.append import append_events
from orchestrator.engine.model import WorkerPool
from orchestrator.engine.store import WorkflowStore
from orchestrator.engine.wakeup import Wakeup, WakeupListener
from orchestrator.engine.worker import WorkerLimits
from tests.integration.orchestrator.factories import Nothing, event_for, worker_of
from tests.support.servers import eventually

KIND, CHANNEL = "order_life", "workflow_ready"
NEVER_S = 10_000.0
"""A poll that no test lives to see."""
_LISTENS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'listener' AND datname = current_database()"
_END = f"SELECT pg_terminate_backend(pid, 5000) FROM ({_LISTENS}) AS listening"  # noqa: S608 - made of constants


class Replica:
    """Two workers of one pool, both at rest, and what wakes them."""

    def __init__(self, database: Database, listening: asyncio.Task[None], workers: list[WakeupListener]) -> None:
        self._database = database
        self._listening = listening
        self._workers = workers

    async def at_rest(self) -> None:
        """Wait until both workers wait and one connection listens."""

        async def resting() -> bool:
            async with self._database.acquire() as connection:
                return all(each.idle for each in self._workers) and len(await connection.fetch(_LISTENS)) == 1

        await eventually(resting, what="both workers at rest")

    async def append(self, number: str, *, heard: bool, dials_again: bool = True) -> None:
        """Append an event and say so as another replica does; whoever is not to hear it is ended before the commit lets it out."""
        async with self._database.transaction() as connection:
            await append_events(connection, [event_for(number, KIND, number)])
            await connection.execute("SELECT pg_notify($1, '')", CHANNEL)
            if not heard:
                assert [row[0] for row in await connection.fetch(_END)] == [True]
            if not dials_again:
                self._listening.cancel()

    async def carried_out(self, *numbers: str) -> None:
        """Wait until the events of these orders, and of no others, are carried out."""

        async def done() -> bool:
            async with self._database.acquire() as connection:
                rows = await connection.fetch(
                    "SELECT order_number FROM workflow WHERE done_seq = last_seq ORDER BY order_number"
                )
            return [row[0] for row in rows] == list(numbers)

        await eventually(done, what=f"the events of {numbers}")


@asynccontextmanager
async def replica(dsn: str, *, poll: float) -> AsyncIterator[Replica]:
    """Run one whose workers look unasked every so many seconds."""
    database = Database(dsn, application_name="workers", max_size=5)
    await database.open()
    wakeup = Wakeup(Database(dsn, application_name="listener"))
    listeners = [wakeup.listener(WorkerPool.LIFE) for _ in range(2)]
    workers = [
        worker_of(
            WorkflowStore(database),
            {KIND: Nothing()},
            owner=f"worker-{number}",
            limits=WorkerLimits(poll_seconds=poll),
            wakeup=listener,
        )
        for number, listener in enumerate(listeners)
    ]
    listening = asyncio.create_task(wakeup.run())
    running = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield Replica(database, listening, listeners)
    finally:
        for worker in workers:
            worker.stop()
        await asyncio.gather(*running)
        listening.cancel()
        with suppress(asyncio.CancelledError, asyncpg.PostgresError):
            await listening
        await database.close()


async def test_workers_whose_listener_is_gone_find_an_event_unasked(dsn: str) -> None:
    async with replica(dsn, poll=1.0) as it:
        await it.at_rest()
        await it.append("A", heard=False, dials_again=False)
        await it.carried_out("A")


async def test_a_listener_that_dials_again_has_its_workers_look(dsn: str) -> None:
    async with replica(dsn, poll=NEVER_S) as it:
        await it.at_rest()
        await it.append("A", heard=False)
        await it.carried_out("A")
        await it.at_rest()
        await it.append("B", heard=True)
        await it.carried_out("A", "B")
