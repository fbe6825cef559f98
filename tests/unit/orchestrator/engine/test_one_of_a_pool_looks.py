"""Unasked, one worker of a pool looks into the database, not everybody; who is notified looks at once."""

from __future__ import annotations

import asyncio

from common.postgres import Database
from orchestrator.engine.model import WorkerPool
from orchestrator.engine.wakeup import LastLook, Wakeup, WakeupListener

_SOON = 0.001


async def looks(listener: WakeupListener) -> asyncio.Task[None]:
    """Have a worker wait until its time has come, and the loop has gone round a few times since."""
    waiting = asyncio.create_task(listener.wait(_SOON))
    await asyncio.sleep(20 * _SOON)
    return waiting


async def test_who_is_alone_looks_when_its_time_has_come() -> None:
    last = LastLook()
    await WakeupListener(last).wait(_SOON)
    assert last.at > 0  # the others know


async def test_nobody_looks_unasked_while_another_one_has_just_looked() -> None:
    last = LastLook()
    last.at = asyncio.get_running_loop().time() + 3600
    listener = WakeupListener(last)
    waiting = await looks(listener)
    assert not waiting.done()
    assert listener.idle
    listener.notify()
    await waiting


async def test_another_pools_looks_keep_nobody_waiting() -> None:
    busy, own = LastLook(), LastLook()
    busy.at = asyncio.get_running_loop().time() + 3600
    kept = await looks(WakeupListener(busy))
    await WakeupListener(own).wait(_SOON)
    assert not kept.done()
    kept.cancel()


async def test_only_the_pool_that_has_work_is_woken() -> None:
    wakeup = Wakeup(Database("postgresql://nobody.invalid/none", application_name="test"))
    listeners = {pool: wakeup.listener(pool) for pool in WorkerPool}
    waiting = {pool: asyncio.create_task(listener.wait(3600)) for pool, listener in listeners.items()}
    await asyncio.sleep(0)
    wakeup.notify(WorkerPool.CALLS)
    await waiting[WorkerPool.CALLS]
    assert listeners[WorkerPool.LIFE].idle
    wakeup.notify()
    await waiting[WorkerPool.LIFE]


async def test_what_comes_while_a_worker_lingers_wakes_nobody_else() -> None:
    listener = WakeupListener()
    lingering = asyncio.create_task(listener.wait(3600, linger=3600))
    for _ in range(3):
        listener.notify()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert listener.idle  # it has yet to look, and will find that too: nobody is to be told
    assert not lingering.done()
    lingering.cancel()


async def test_one_look_is_for_all_that_came_before_it() -> None:
    listener = WakeupListener()
    lingering = asyncio.create_task(listener.wait(3600, linger=_SOON))
    for _ in range(3):
        listener.notify()
        await asyncio.sleep(0)
    await lingering
    again = await looks(listener)
    await again  # by its own time, not by what the look has found
    kept = asyncio.create_task(listener.wait(3600))
    await asyncio.sleep(0)
    assert listener.idle
    kept.cancel()
