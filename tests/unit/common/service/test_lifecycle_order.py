"""What a service opens ends in order, whatever fails or hangs on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from common.http import HttpServer
from common.service import Lifecycle
from tests.support.servers import eventually


@asynccontextmanager
async def opened(name: str, events: list[str]) -> AsyncIterator[str]:
    events.append(f"open {name}")
    yield name
    events.append(f"close {name}")


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_what_was_opened_last_ends_first() -> None:
    events: list[str] = []
    lifecycle = Lifecycle()

    async def consume() -> None:
        try:
            await for_ever()
        finally:
            events.append("consumer gone")

    async def flush() -> None:
        events.append("flush")

    assert await lifecycle.enter(opened("pool", events)) == "pool"
    lifecycle.on_stop(flush)
    lifecycle.supervise("consumer", consume)
    await lifecycle.enter(opened("server", events))
    lifecycle.on_stop(lambda: events.append("last registered"))
    await asyncio.sleep(0)
    assert await lifecycle.drain()
    assert events == [
        "open pool",
        "open server",
        "last registered",
        "close server",
        "consumer gone",
        "flush",
        "close pool",
    ]
    assert lifecycle.failure is None


async def test_an_http_server_stops_first_whenever_it_was_opened() -> None:
    lifecycle = Lifecycle()
    server = await lifecycle.enter(HttpServer(web.Application(), "127.0.0.1", 0))
    listening: list[bool] = []

    async def look() -> None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            listening.append(False)
        else:
            writer.close()
            listening.append(True)

    port = server.port
    lifecycle.on_stop(look)
    await look()
    assert await lifecycle.drain()
    assert listening == [True, False]


async def test_a_task_that_is_asked_to_stop_finishes_what_it_holds() -> None:
    asked, batches = asyncio.Event(), []

    async def consume() -> None:
        await asked.wait()
        await asyncio.sleep(0.01)
        batches.append("finished")

    lifecycle = Lifecycle()
    lifecycle.supervise("consumer", consume, stop=asked.set)
    await asyncio.sleep(0)
    assert await lifecycle.drain()
    assert (batches, lifecycle.failure) == (["finished"], None)


async def test_what_another_process_mends_stops_the_service_and_the_first_failure_counts() -> None:
    lifecycle = Lifecycle()

    async def dies() -> None:
        raise OSError("broken")

    lifecycle.supervise("first", dies, may_finish=True)  # of what is done once: the schema that is too old, say
    await asyncio.wait_for(lifecycle.stopping.wait(), 60)
    assert not (await lifecycle.health.report()).ready
    lifecycle.fail("second", ValueError("later"))
    assert await lifecycle.drain()
    assert isinstance(lifecycle.failure, OSError)


async def test_a_task_that_raises_begins_anew_and_the_others_go_on() -> None:
    lifecycle, begun, stopped = Lifecycle(), [], asyncio.Event()

    async def relay() -> None:
        begun.append("relay")
        if len(begun) == 1:
            raise KeyError("a row that nobody foresaw")
        await stopped.wait()

    lifecycle.supervise("relay", relay, stop=stopped.set)
    other = lifecycle.supervise("other", for_ever)

    async def again() -> bool:
        return len(begun) == 2

    await eventually(again, what="the relay has begun anew")
    assert not other.done()
    assert await lifecycle.drain()
    assert (begun, lifecycle.failure) == (["relay", "relay"], None)


async def test_a_task_is_not_begun_anew_once_it_was_asked_to_end() -> None:
    lifecycle, begun = Lifecycle(), []

    async def fails() -> None:
        begun.append("task")
        raise KeyError("a fault")

    lifecycle.supervise("task", fails, stop=lambda: None)
    await asyncio.sleep(0.01)
    assert await lifecycle.drain()
    assert (begun, lifecycle.failure) == (["task"], None)


async def test_a_task_that_just_returns_has_died_too_unless_it_may_finish() -> None:
    async def returns() -> None:
        """Nothing left to do."""

    lenient, strict = Lifecycle(), Lifecycle()
    await lenient.supervise("once", returns, may_finish=True)
    await strict.supervise("loop", returns)
    assert (lenient.failure, lenient.stopping.is_set()) == (None, False)
    assert str(strict.failure) == "the task loop ended although it should run for ever"
    await lenient.drain()
    await strict.drain()


async def test_a_step_that_hangs_or_fails_does_not_keep_the_others_open() -> None:
    events: list[str] = []
    lifecycle = Lifecycle(drain_seconds=0.5)

    def fails() -> None:
        raise ValueError("cannot close")

    await lifecycle.enter(opened("pool", events))
    lifecycle.on_stop(fails)
    lifecycle.on_stop(for_ever)
    lifecycle.supervise("consumer", for_ever, stop=lambda: events.append("asked"))
    await asyncio.sleep(0)
    assert not await lifecycle.drain()
    assert events == ["open pool", "asked", "close pool"]


async def test_draining_twice_is_draining_once() -> None:
    events: list[str] = []
    lifecycle = Lifecycle()
    lifecycle.on_stop(lambda: events.append("stop"))
    assert [await lifecycle.drain() for _ in range(2)] == [True, True]
    assert events == ["stop"]


async def test_asking_to_stop_makes_the_service_not_ready_at_once() -> None:
    lifecycle = Lifecycle()
    assert (await lifecycle.health.report()).ready
    lifecycle.stop("test")
    assert not (await lifecycle.health.report()).ready
    assert lifecycle.stopping.is_set()
    await lifecycle.drain()


async def test_a_task_that_ends_as_cancelled_without_being_cancelled_stops_the_service() -> None:
    """Libraries reject futures with CancelledError; the task that waited for one would be gone without a word."""
    lifecycle = Lifecycle()

    async def wait_for_a_rejected_future() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    lifecycle.supervise("relay", wait_for_a_rejected_future)
    await asyncio.wait_for(lifecycle.stopping.wait(), 60)
    await lifecycle.drain()
    assert str(lifecycle.failure) == "the task relay ended as if cancelled, and nobody cancelled it"
