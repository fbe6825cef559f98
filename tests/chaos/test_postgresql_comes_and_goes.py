"""PostgreSQL ends sessions, restarts, refuses and forgets how to write, under load: nobody exits, nobody answers 500, no hook is lost.

Every replica is ready again four seconds after the server's first answer. ``CHAOS_PATIENCE=3`` gives a machine that does other work
beside three times as long; nothing else is told by it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

import aiohttp
import asyncpg
import pytest

from tests.support.servers import eventually

from .conftest import Faults
from .reading import ASKED, EXPLAINS, SETS, reading, undocumented

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
READY_WITHIN = 4.0 * float(os.environ.get("CHAOS_PATIENCE", "1"))
"""Seconds from the server's first answer after the fault until nobody says any more that it is not ready."""
_WATCHED = 2.0
"""So many seconds more every replica has to stay ready."""
Fault = Callable[[Faults], Coroutine[None, None, None]]


async def sessions_are_ended(faults: Faults) -> None:
    """An administrator ends every session, again and again."""
    async with administrator(faults) as server:
        for _ in range(60):
            await server.execute(_OTHERS)
            await asyncio.sleep(0.1)


def told_to_stop(*signals: signal.Signals) -> Fault:
    """The server is told to stop, twice, and begun again each time; more than one signal where the first one waits."""

    async def fault(faults: Faults) -> None:
        for _ in range(2):
            await asyncio.sleep(2)
            for number in signals[:-1]:
                os.kill(faults.pids("postgres")[0], number)
                await asyncio.sleep(3)
            await faults.kill("postgres", how=signals[-1])

    return fault


async def all_connections_are_taken(faults: Faults) -> None:
    """Somebody else has every connection that the server gives, those of the services, too."""
    dsn = faults.suite.description["infrastructure"]["postgres"]["dsn"]
    taken: list[int] = []
    until: float | None = None  # some seconds from the first refusal on

    async def take(stack: AsyncExitStack) -> None:
        nonlocal until
        while until is None or time.monotonic() < until:
            try:
                connection = await asyncpg.connect(dsn)
            except asyncpg.TooManyConnectionsError:
                until = until or time.monotonic() + 6
                await asyncio.sleep(0.05)
            except (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, OSError):
                continue  # it was ended with the services' before it was known here
            else:
                stack.callback(connection.terminate)
                taken.append(connection.get_server_pid())

    async with AsyncExitStack() as stack, administrator(faults) as server, asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(take(stack))
        while until is None or time.monotonic() < until:
            if until is not None:
                await server.execute(f"{_OTHERS} AND pid <> ALL($1)", taken)
            await asyncio.sleep(0.3)


async def nothing_can_be_written(faults: Faults) -> None:
    """A fail-over made a standby of the server that everybody is connected to."""
    async with administrator(faults) as server:
        await server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await server.execute("SELECT pg_reload_conf()")
        try:
            await asyncio.sleep(6)
        finally:
            await server.execute("SET default_transaction_read_only = off")
            await server.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await server.execute("SELECT pg_reload_conf()")


async def it_hangs(faults: Faults) -> None:
    """The server and all its sessions stand still, and go on."""
    async with faults.frozen("postgres"):
        await asyncio.sleep(8)


@asynccontextmanager
async def administrator(faults: Faults) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A session of the server's owner."""
    connection = await asyncpg.connect(faults.suite.description["infrastructure"]["postgres"]["dsn"])
    try:
        yield connection
    finally:
        await connection.close()


async def tasks_failed(faults: Faults) -> dict[str, float]:
    """How often tasks of each service have failed by what no outage explains."""
    series = 'log_errors_total{event="task_failed"}'
    services = faults.suite.description["services"]
    return {service: await faults.metric(faults.suite.url(service), series) for service in services}


async def server_answers(faults: Faults) -> float:
    """Return when the server took a connection and answered ``SELECT 1``: the first that it takes from now on."""
    dsn = faults.suite.description["infrastructure"]["postgres"]["dsn"]

    async def answered() -> float:
        try:
            connection = await asyncpg.connect(dsn, timeout=2)
            try:
                assert await connection.fetchval("SELECT 1", timeout=2) == 1
            finally:
                connection.terminate()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return 0.0
        return time.monotonic()

    return await eventually(answered, within=60, every=0.05, what="a server that answers")


async def not_ready(faults: Faults, since: float) -> dict[str, float]:
    """By replica, how many seconds after ``since`` it last said that it is not ready, or had not said that it is."""
    services = faults.suite.description["services"]
    replicas = {service: services[service]["url"] for service in services}
    replicas.update({f"webhook-gateway {number}": url for number, url in enumerate(faults.gateways)})
    last = dict.fromkeys(replicas, 0.0)

    async def watch(session: aiohttp.ClientSession, name: str) -> None:
        while time.monotonic() - since < READY_WITHIN + _WATCHED:
            try:
                async with session.get(replicas[name] + "/readyz") as answer:
                    ready = answer.status == 200
            except (aiohttp.ClientError, OSError):
                ready = False
            if not ready:
                last[name] = time.monotonic() - since
            await asyncio.sleep(0.1)

    timeout = aiohttp.ClientTimeout(total=READY_WITHIN)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
        for name in replicas:
            group.create_task(watch(session, name))
    return last


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(sessions_are_ended, id="sessions are ended"),
        pytest.param(told_to_stop(signal.SIGINT), id="SIGINT"),
        pytest.param(told_to_stop(signal.SIGTERM, signal.SIGINT), id="SIGTERM"),
        pytest.param(told_to_stop(signal.SIGQUIT), id="SIGQUIT"),
        pytest.param(told_to_stop(signal.SIGKILL), id="SIGKILL"),
        pytest.param(all_connections_are_taken, id="no connection is left"),
        pytest.param(nothing_can_be_written, id="read-only"),
        pytest.param(it_hangs, id="frozen"),
    ],
)
async def test_no_service_exits_or_answers_500_whatever_postgresql_does(
    faults: Faults, since: datetime, fault: Fault
) -> None:
    before = {service: faults.pids(service) for service in faults.suite.description["services"]}
    failed_before = await tasks_failed(faults)
    late: dict[str, float] = {}

    async def tips_asked() -> bool:
        return all(answers[question, 200] for question in (EXPLAINS, SETS))

    async def fault_and_after() -> None:
        await eventually(tips_asked, what="an order whose tips are explained and set")
        await fault(faults)
        late.update(await not_ready(faults, await server_answers(faults)))

    async with reading(faults) as answers:
        report = await faults.play_during(fault_and_after(), seed=31)
    print(f"last not ready after {late} s; answers {dict(sorted(answers.items()))}")  # noqa: T201 -- what was seen
    assert late.keys() > faults.suite.description["services"].keys()
    assert max(late.values()) < READY_WITHIN, f"not ready so long after the server answered: {late}"
    assert {service: faults.pids(service) for service in before} == before
    assert await tasks_failed(faults) == failed_before, "an outage is no fault of a task: it was taken for one"
    assert {service for service, _ in answers} == ASKED
    assert undocumented(answers) == {}
    assert answers[SETS, 503] or fault is not it_hangs, "tips did not feel that the server hangs"
    await faults.all_is_right(report, since, within=180)
    assert set(report["summary"]["answers"]) == {"200"}
