"""The orchestrator is killed at every await of its engine and at random, sleeps past its leases, is restarted in turn; PostgreSQL and
RabbitMQ are killed under it. Afterwards its own ``check-orders`` finds nothing lost, nothing done twice and everything at its end.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from common.postgres import prepare_connection
from tests.chaos import engine_path
from tests.support import hot_path
from tests.support.order_hooks import Marketplace, all_is_right, append_hooks, check_orders, hook, life, marketplace
from tests.support.processes import Program, Stand, stand
from tests.support.servers import eventually

IN_TROUBLE_ONLY = {
    "Consumer._process: self._give_up": "a message that is no event",
    "Consumer._process: self._wait": "PostgreSQL is away",
    "Consumer._process: self._one_by_one": "a batch that failed",
    "Consumer._carry_out: connection.execute": "the same, one by one",
    "Worker.run: self._store.release": "PostgreSQL was away",
    "Worker._carry_out: self._carry_out": "a batch that cannot be prepared, one by one",
    "Worker._complete: asyncio.sleep": "PostgreSQL is away",
    "Worker._complete: self._complete": "a batch that cannot be written, one by one",
    "Worker._complete: self._complete #2": "the same",
    "Worker._carry_out: self._narrow": "a batch that cannot be prepared, by halves",
    "Worker._carry_out: self._narrow #2": "a claim that failed, event by event",
    "Worker._complete: self._narrow": "a claim that cannot be written, event by event",
    "WorkflowStore.complete: _fail": "a failure is written",
    "Ingest.append: append_events": "a message that was delivered before",
}
"""Awaits that a healthy order never meets. What happens there is shown by cutting connections (test_servers_go_and_come_back)."""

QUICK = {"LEASE": "1", "POLL": "0.1", "MAX_ATTEMPTS": "50", "RETRY_BASE": "0.05"}


@dataclass
class Orchestrators:
    """Replicas on a database and a virtual host of the test's own, and a marketplace."""

    stand: Stand
    programs: list[Program]
    sent: Marketplace
    database: asyncpg.Connection
    dsn: str
    directory: Path

    async def right(self) -> str:
        """Everything that was sent is carried out, once."""
        return await all_is_right(self.dsn, self.sent, self.directory)


@asynccontextmanager
async def orchestrators(
    directory: Path, dsn: str, amqp_url: str, *names: str, crash_at: Path | None = None, **more: str
) -> AsyncIterator[Orchestrators]:
    command = ("-m", "orchestrator") if crash_at is None else ("-m", engine_path.__name__)
    async with stand(directory) as made, marketplace(amqp_url) as sent:
        programs = [
            made.orchestrator(name, dsn=dsn, amqp_url=amqp_url, command=command, **{**QUICK, **more}) for name in names
        ]
        for program in programs:
            if crash_at is not None:
                program.environment = {**program.environment, hot_path.CRASH_FILE: str(crash_at)}
            await program.start()
        database = await asyncpg.connect(dsn)
        await prepare_connection(database)
        yield Orchestrators(made, programs, sent, database, dsn, directory)
        await database.close()


async def die_at(replicas: Orchestrators, place: Path, name: str, when: str, count: int) -> None:
    """Send orders until the replica dies where it has to; start it again."""
    (program,) = replicas.programs
    assert program.process is not None
    place.write_text(f"{name} {when}")
    for attempt in range(100):
        order = f"D{count}-{attempt}"
        # One whole life, and one whose creation comes last: it is parked. As one message, in turn with single ones, and some of it again.
        hooks = [*life(order), hook(f"{order}p", "order.paid", minute=3)]
        await replicas.sent.send_together(hooks)
        # As the release before takes them in: workers carry them out. What comes for the second while it waits is left to them, too.
        created, *more = life(f"{order}w")
        async with replicas.database.transaction():
            await append_hooks(replicas.database, [*life(f"{order}e"), created])
        await replicas.sent.send(more)
        await replicas.sent.send(hooks[:2])
        await replicas.sent.send([hook(f"{order}p", "order.created", minute=1)])
        try:
            await asyncio.wait_for(program.process.wait(), 0.3)
            break
        except TimeoutError:
            continue
    assert program.process.returncode == -signal.SIGKILL, f"it did not die {when} {name}"
    place.unlink()
    await program.start()


def test_every_await_of_the_engine_is_one_that_is_killed_at_or_one_of_trouble() -> None:
    names = engine_path.awaits()
    assert len(set(names)) == len(names)
    assert set(IN_TROUBLE_ONLY) <= set(names)
    for module, functions in engine_path.FUNCTIONS.items():
        assert set(functions) <= hot_path.coroutines_of(module), module


@pytest.mark.chaos
async def test_it_dies_right_after_its_commit_and_nothing_is_done_again(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    place = tmp_path / "crash-at"
    dsn = await database_for("orchestrator")
    async with orchestrators(tmp_path, dsn, amqp_url, "one", crash_at=place) as replicas:
        await die_at(replicas, place, "Worker._complete: self._store.complete", "after", 0)
        assert "nothing is lost" in await replicas.right()


@pytest.mark.chaos
@pytest.mark.timeout(1500)
async def test_it_dies_before_and_after_every_await_of_the_engine(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    place = tmp_path / "crash-at"
    dsn = await database_for("orchestrator")
    names = [name for name in engine_path.awaits() if name not in IN_TROUBLE_ONLY]
    async with orchestrators(tmp_path, dsn, amqp_url, "one", crash_at=place) as replicas:
        deaths = [(name, when) for name in names for when in ("before", "after")]
        for count, (name, when) in enumerate(deaths):
            await die_at(replicas, place, name, when, count)
        told = await replicas.right()
    print(f"{len(deaths)} deaths at {len(names)} awaits; {told.splitlines()[0]}")  # noqa: T201 - what was done


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_replicas_killed_or_asleep_past_their_leases_lose_and_double_nothing(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    chance = random.Random(7)  # noqa: S311 - chooses faults
    dsn = await database_for("orchestrator")
    async with orchestrators(tmp_path, dsn, amqp_url, "one", "two") as replicas:
        sending = asyncio.create_task(_send_lives(replicas.sent, 400))
        kills = sleeps = 0
        while not sending.done() or kills < 12:
            program = chance.choice(replicas.programs)
            assert program.process is not None
            if chance.random() < 0.3:
                program.process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(2.0)
                program.process.send_signal(signal.SIGCONT)
                sleeps += 1
            else:
                await program.kill()
                await program.start(wait=False)
                kills += 1
            await asyncio.sleep(chance.uniform(0.5, 3.0))
        await sending
        await asyncio.gather(*(program.ready() for program in replicas.programs))
        told = await replicas.right()
    print(f"{kills} kills, {sleeps} leases slept through; {told.splitlines()[0]}")  # noqa: T201 - what was done


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_a_rolling_restart_under_load_loses_nothing_and_crashes_nothing(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    dsn = await database_for("orchestrator")
    async with orchestrators(tmp_path, dsn, amqp_url, "one", "two", LEASE="30") as replicas:
        sending = asyncio.create_task(_send_lives(replicas.sent, 250))
        rounds = 0
        while not sending.done() or rounds < 2:
            for program in replicas.programs:
                assert program.process is not None
                program.process.send_signal(signal.SIGTERM)
                assert await program.died() == 0
                await program.start()
            rounds += 1
        await sending
        told = await replicas.right()
        expired = [await program.metric("workflow_leases_expired_total") for program in replicas.programs]
        assert expired == [0.0, 0.0]
    print(f"{rounds} rolling restarts; {told.splitlines()[0]}")  # noqa: T201 - what was done


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("server", ["postgres", "rabbitmq", "orchestrator"])
async def test_the_suite_s_servers_die_while_orders_flow_and_every_order_is_right(
    faults: Any, since: datetime, server: str
) -> None:
    async def deaths() -> None:
        for _ in range(3):
            await faults.kill(server)
            await faults.everybody_ready()

    report = await faults.play_during(deaths(), seed=len(server))
    await faults.connected()
    await faults.all_is_right(report, since)

    async def right() -> bool:
        code, told = await check_orders(faults.suite.description["databases"]["orchestrator"], wait=0)
        assert code == 0, told
        print(f"{server}: {told.splitlines()[0]}", file=sys.stdout)  # noqa: T201 - what was done
        return True

    await eventually(right, every=1.0, what="every order right")


async def _send_lives(sent: Marketplace, orders: int) -> None:
    """Send lives, some at a time, each a little behind the one before."""

    async def one(index: int) -> None:
        for each in life(f"R{index}"):
            await sent.send([each])
            await asyncio.sleep(0.02)

    for start in range(0, orders, 10):
        await asyncio.gather(*(one(index) for index in range(start, min(start + 10, orders))))
