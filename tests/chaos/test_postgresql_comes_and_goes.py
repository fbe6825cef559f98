"""PostgreSQL ends sessions, restarts, refuses and forgets how to write, under load: nobody exits, nobody answers 500, no hook is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

import asyncpg
import pytest

from .conftest import Faults
from .reading import READS, reading, undocumented

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
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
    async with reading(faults) as answers:
        report = await faults.play_during(fault(faults), seed=31)
        over = time.monotonic()
        await faults.everybody_ready()
        print(f"all are ready {time.monotonic() - over:.1f} s after it; answers {dict(sorted(answers.items()))}")  # noqa: T201 -- what was seen
    assert {service: faults.pids(service) for service in before} == before
    assert await tasks_failed(faults) == failed_before, "an outage is no fault of a task: it was taken for one"
    assert {service for service, _ in answers} == {*READS, "console"}
    assert undocumented(answers) == {}
    await faults.all_is_right(report, since, within=180)
    assert set(report["summary"]["answers"]) == {"200"}
