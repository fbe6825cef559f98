"""The life of a service: what is opened, what runs beside it, and how all of it ends in order.

Teardown is last in, first out, so the composition root's order is the drain's order reversed, with one exception:
an HTTP server stops first whenever it was opened, because it is opened early by services that wait for a dependency
and say so on ``/readyz``. Opened as pool → relay → consumers, a drain makes readiness false, stops accepting, lets consumers
finish what they hold, flushes the relay and closes the pool. Everything shares one deadline.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, TypeVar

from common.health import Health
from common.http import HttpServer
from common.service.task_failures import TaskFailures
from common.telemetry import get_logger, report_exception

_log = get_logger()

T = TypeVar("T")
Stop = Callable[[], Awaitable[None] | None]

_LEAST = 0.25  # seconds that a step gets even when the deadline has passed, so that sockets and pools close


class Lifecycle:
    """Owns everything that a service opens. One per process in production, one per test.

    ``health`` is the service's probe registry. ``stopping`` is set as soon as the service is to end, for whatever reason;
    ``failure`` says whether it ends because something died. ``failures`` counts what failed by a fault and is tried again.
    """

    def __init__(self, *, drain_seconds: float = 8.0) -> None:
        self.health = Health()
        self.failures = TaskFailures()
        self.health.notes["tasks"] = self.failures.report
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self._drain_seconds = drain_seconds
        self._stack: list[tuple[str, Stop]] = []
        self._fronts: list[tuple[str, Stop]] = []
        self._ended = False

    async def enter(self, manager: AbstractAsyncContextManager[T]) -> T:
        """Open an async context manager and register its closing at once: last in, first out, HTTP servers before all."""
        value = await manager.__aenter__()

        async def close() -> None:
            """Close the manager as leaving its block would."""
            await manager.__aexit__(None, None, None)

        opened: object = manager  # as an object, because mypy cannot tell that a server is a context manager of itself
        stack = self._fronts if isinstance(opened, HttpServer) else self._stack
        stack.append((type(manager).__name__, close))
        return value

    def on_stop(self, stop: Stop, *, name: str | None = None) -> None:
        """Register a function (plain or async) to call at the end, before everything registered earlier."""
        label = name or str(getattr(stop, "__qualname__", type(stop).__name__))
        self._stack.append((label, stop))

    def supervise(
        self,
        name: str,
        run: Callable[[], Coroutine[Any, Any, None]],
        *,
        stop: Stop | None = None,
        may_finish: bool = False,
        after: asyncio.Event | None = None,
    ) -> asyncio.Task[None]:
        """Run a background task that the service cannot do without, now, or when ``after`` is set.

        If it raises, it is told of (``failures``) and ``run`` is called again after a pause that grows: it must leave nothing behind that
        keeps it from beginning anew. Where only another process can help (it returns although nobody asked it to, is cancelled by a
        library, or memory is short), or one that ``may_finish`` raises, the service drains and exits with 1.
        At its turn in the drain ``stop`` is called, if given, and the task may finish by itself until the deadline; without
        ``stop``, or after the deadline, it is cancelled.
        """
        asked = False
        ending = asyncio.Event()

        async def supervised() -> None:
            """Run the task, anew after each fault, and report to the life cycle how it ended."""
            try:
                if after is not None:
                    await after.wait()
                while not ending.is_set():
                    try:
                        with self.failures.of(name):
                            await run()
                        break
                    except Exception as error:
                        if may_finish or asked or self.stopping.is_set():
                            raise
                        with suppress(TimeoutError):
                            async with asyncio.timeout(self.failures.failed(name, error)):
                                await ending.wait()
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if not asked and not self.stopping.is_set() and not (current and current.cancelling()):
                    # A library let its own cancellation through: the task is gone, and nobody wanted that.
                    self.fail(name, RuntimeError(f"the task {name} ended as if cancelled, and nobody cancelled it"))
                raise
            except BaseException as error:
                if not isinstance(error, Exception):
                    raise
                self.fail(name, error)
            else:
                if not asked and not may_finish and not self.stopping.is_set():
                    self.fail(name, RuntimeError(f"the task {name} ended although it should run for ever"))

        task = asyncio.create_task(supervised(), name=name)

        async def end() -> None:
            """Let the task finish, or cancel it."""
            nonlocal asked
            asked = True
            ending.set()
            if stop is not None and not task.done():
                await _call(stop)
            else:
                task.cancel()
            try:
                await asyncio.wait({task})
            finally:
                task.cancel()  # the deadline has passed; does nothing to a task that is done
            if not task.cancelled():
                task.result()

        self._stack.append((name, end))
        return task

    def fail(self, name: str, error: BaseException) -> None:
        """Record that something died and have the service drain; the first failure counts."""
        _log.error("task_died", task=name, exc_info=error)
        report_exception(error, task=name)
        if self.failure is None:
            self.failure = error
        self.stop("task_died")

    def stop(self, reason: str) -> None:
        """Ask the service to drain and end. Returns at once; safe to repeat."""
        if not self.stopping.is_set():
            _log.info("service_stopping", reason=reason)
            self.health.start_draining()
            self.stopping.set()

    async def drain(self) -> bool:
        """Close everything, last in first out, within ``drain_seconds`` in all. Never raises.

        A step that fails or runs out of time is logged and the next one goes on. Returns whether every step ended cleanly.
        """
        if self._ended:
            return True
        self._ended = True
        self.health.start_draining()
        self.stopping.set()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._drain_seconds
        clean = True
        steps = [*self._stack, *self._fronts]
        while steps:
            name, stop = steps.pop()
            # Each step leaves the later ones their least share, so that one that hangs cannot starve the pools.
            until = max(deadline - _LEAST * len(steps), loop.time() + _LEAST)
            try:
                async with asyncio.timeout_at(until):
                    await _call(stop)
            except TimeoutError:
                clean = False
                _log.error("drain_step_timed_out", step=name)
            except Exception as error:  # noqa: BLE001 - one step's failure must not keep the others open
                clean = False
                _log.error("drain_step_failed", step=name, exc_info=error)
        return clean


async def _call(stop: Stop) -> None:
    result = stop()
    if inspect.isawaitable(result):
        await result
