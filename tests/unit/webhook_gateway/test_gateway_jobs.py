"""What the clock starts survives a database that goes away, whenever it does."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from common.errors import Unavailable
from webhook_gateway.jobs import Every

AWAY = (
    Unavailable("the database does not answer"),
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.AdminShutdownError("terminating connection due to administrator command"),
    asyncpg.DeadlockDetectedError("deadlock detected"),
    TimeoutError(),
)


async def test_a_job_is_done_again_after_whatever_the_database_did_under_it() -> None:
    troubles = list(AWAY)
    done = asyncio.Event()

    async def work() -> None:
        if troubles:
            raise troubles.pop()
        done.set()

    job = Every("job", 0.001, work)
    running = asyncio.create_task(job.run())
    await asyncio.wait_for(done.wait(), 60)
    await job.stop()
    await running
    assert troubles == []


async def test_a_mistake_of_the_job_s_own_is_raised() -> None:
    async def work() -> None:
        raise asyncpg.UndefinedTableError("there is no such table")

    with pytest.raises(asyncpg.UndefinedTableError):
        await Every("job", 0.001, work).run()
