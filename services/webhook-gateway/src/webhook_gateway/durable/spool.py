"""The spool: one thread, group commit, bounded in bytes."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.telemetry import get_logger
from webhook_gateway.durable.metrics import DurabilityMetrics
from webhook_gateway.durable.model import SpoolRecord, SpoolState, SpoolUnavailable
from webhook_gateway.durable.spool_file import SpoolFile, cost

_log = get_logger()
_GROUP = 500
_ROOM_FOR_AN_ORDER = 64 * 1024  # with less than that the spool counts as full, though smaller hooks may still fit


@dataclass(slots=True)
class _Append:
    routing_key: str
    body: bytes
    done: asyncio.Future[None]


@dataclass(slots=True)
class _Call:
    work: Callable[[], Any]
    done: asyncio.Future[Any]


class Spool:
    """Events on this replica's disk. Everything that waits while a commit runs goes into the next one: one sync for many records.

    ``limit`` bounds the bytes in the file, those still waiting for their commit counted in, also those that nobody waits for any more
    because the disk hangs. Safe for concurrent use within the event loop that opened it.
    """

    def __init__(self, directory: Path, *, limit: int, deadline: float, metrics: DurabilityMetrics) -> None:
        """``deadline`` (seconds) is how long a write may take before the disk counts as failing."""
        self._file = SpoolFile(directory)
        self._limit = limit
        self._deadline = deadline
        self._metrics = metrics
        self._waiting_bytes = 0
        self._commands: queue.SimpleQueue[_Append | _Call | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()

    @property
    def depth(self) -> int:
        """Records that wait for the broker."""
        return self._file.state.records

    async def open(self) -> None:
        """Open the file and start the thread. Raises ``ConfigurationError``."""
        await asyncio.to_thread(self._file.open)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="spool", daemon=True)
        self._thread.start()
        self._metrics.spool_limit(self._limit)
        self._show()

    async def close(self) -> None:
        """Finish what is waiting, end the thread, close the file. Safe to repeat."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._commands.put(None)
            await asyncio.to_thread(thread.join)
        self._file.close()

    @property
    def state(self) -> SpoolState:
        """What the spool holds, as of the last thing that was done to it."""
        return self._file.state

    async def append(self, routing_key: str, body: bytes) -> None:
        """Return when the record is synced. Raises ``SpoolUnavailable`` when it is full or the disk fails or hangs.

        After a hang the record may still be written, if the disk had it in hand; it is a repeat then, which consumers recognise.
        """
        size = cost(body)
        if self._file.state.size + self._waiting_bytes + size > self._limit:
            raise SpoolUnavailable("the spool is full")
        await self._command(lambda done: self._waits(_Append(routing_key, body, done), size))
        self._news.set()

    def _waits(self, record: _Append, size: int) -> _Append:
        self._waiting_bytes += size  # until the thread has dealt with it, however long its caller waits
        return record

    async def peek(self, limit: int) -> Sequence[SpoolRecord]:
        """Return the oldest intact records, in order; torn ones are set aside and counted. Raises ``SpoolUnavailable``."""
        records: list[SpoolRecord] = await self._call(lambda: self._file.peek(limit))
        return records

    async def forget(self, ids: Sequence[int]) -> None:
        """Delete relayed records, and what a full disk kept from it before, piece by piece: an append waits for one piece at most.

        Raises ``SpoolUnavailable``; they are relayed again then.
        """
        await self._call(lambda: self._file.forget(ids))
        while await self._call(self._file.sweep):
            continue

    async def wait(self, timeout: float) -> None:
        """Return when something has been appended since the last call, or after ``timeout`` seconds."""
        try:
            await asyncio.wait_for(self._news.wait(), timeout)
        except TimeoutError:
            return
        self._news.clear()

    async def check(self) -> None:
        """Readiness: write something. Raises ``SpoolUnavailable`` when the spool could not take an order."""
        if self._file.state.size + self._waiting_bytes + _ROOM_FOR_AN_ORDER > self._limit:
            raise SpoolUnavailable("the spool is full")
        await self._call(self._file.beat)

    async def _call(self, work: Callable[[], Any]) -> Any:
        return await self._command(lambda done: _Call(work, done))

    async def _command(self, make: Callable[[asyncio.Future[Any]], _Append | _Call]) -> Any:
        if self._thread is None or self._loop is None:
            raise SpoolUnavailable("the spool is closed")
        done: asyncio.Future[Any] = self._loop.create_future()
        self._commands.put(make(done))
        try:
            return await asyncio.wait_for(done, self._deadline)
        except TimeoutError:
            raise SpoolUnavailable(f"the spool's disk did not answer within {self._deadline:g} s") from None
        except (sqlite3.Error, OSError) as error:
            _log.error("spool_failed", error=type(error).__name__)
            raise SpoolUnavailable("the spool's disk fails") from error

    def _work(self) -> None:
        ending = False
        while not ending:
            batch: list[_Append] = []
            command = self._commands.get()
            while True:
                if isinstance(command, _Append):
                    batch.append(command)
                else:
                    self._commit(batch)
                    batch = []
                    if command is None:
                        ending = True
                    else:
                        self._settle([command.done], command.work)
                if len(batch) >= _GROUP or ending:
                    break
                try:
                    command = self._commands.get_nowait()
                except queue.Empty:
                    break
            self._commit(batch)

    def _commit(self, batch: list[_Append]) -> None:
        if not batch:
            return
        wanted = [item for item in batch if not item.done.done()]  # not what was given up: its sender was answered 503

        def append() -> None:
            if wanted:
                self._file.append([(item.routing_key, item.body) for item in wanted])

        self._settle([item.done for item in batch], append, size=sum(cost(item.body) for item in batch))

    def _settle(self, waiting: list[asyncio.Future[Any]], work: Callable[[], Any], *, size: int = 0) -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits; the thread must not die
            failure = error
        self._show()
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._resolve, waiting, result, failure, size)

    def _resolve(
        self, waiting: list[asyncio.Future[Any]], result: Any, failure: BaseException | None, size: int
    ) -> None:
        self._waiting_bytes -= size
        for done in waiting:
            if done.done():
                continue  # its deadline has passed, or whoever waited was cancelled
            if failure is None:
                done.set_result(result)
            else:
                done.set_exception(failure)

    def _show(self) -> None:
        state = self._file.state
        self._metrics.spool_holds(records=state.records, size=state.size, oldest_at=state.oldest_at)
        found, self._file.torn_found = self._file.torn_found, 0
        if found:
            self._metrics.spool_torn(found)
