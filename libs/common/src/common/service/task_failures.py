"""Tasks that fail by a fault of ours: the item that fails is kept apart and tried again, the others go on, and a person is told."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TypeVar

from prometheus_client import CollectorRegistry, Gauge

from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.envelope import Envelope
from common.ids import new_id
from common.messaging import outbox
from common.messaging.consumer import COUNT_FAILURE, place_of
from common.postgres import Connection, Database, is_retryable
from common.reading.values import storable
from common.telemetry import get_logger, report_exception

_log = get_logger()
T = TypeVar("T")
R = TypeVar("R")

TOLD_AFTER = 3
_TOLD_AGAIN = 100
_MOST_TOLD = 20  # of one task: where more fail, all have one reason
_LONGEST_S = 300.0
_QUIET_S = 600.0  # longer than any pause: what has not failed for so long is over, or is no more
_LONGEST_ITEM = 200
_TASK = "task:"
_OVER = "DELETE FROM delivery_failures WHERE consumer = $1 AND event_id = $2 RETURNING attempts"
_QUIET = """
SELECT consumer, event_id FROM delivery_failures
WHERE consumer LIKE 'task:%' AND updated_at < now() - make_interval(secs => $1)
"""
_DO = "it is tried again by itself, the others go on; look for {error} in the log (task_failed) and mend the cause"


class TaskFailures:
    """What fails in the tasks of one process, by task and item: an order's number, or "kind id"; "" is the task as a whole.

    Each failure is logged as ``task_failed`` and counted beside those of events (``delivery_failures``), so that replicas and restarts
    share the count. The third raises the problem ``task.failing``, and so does each hundredth after it; it ends when the item succeeds
    where it failed, or has not failed anywhere for ten minutes. Without a database only log and metric tell. Where many items of a task
    fail twenty are told of by name.
    """

    def __init__(self) -> None:
        self._failing: defaultdict[str, dict[str, tuple[int, float, float]]] = defaultdict(dict)  # attempts, at, until
        self._gauge: Gauge | None = None
        self._database: Database | None = None
        self._service = ""
        self._waiting: deque[tuple[str, str, str | None]] = deque()
        self._writer: asyncio.Task[None] | None = None

    def keep_in(self, database: Database | None, registry: CollectorRegistry, *, service: str) -> None:
        """Show and tell of what fails from now on."""
        self._database, self._service = database, service
        what = "What fails by a fault in a task: items kept apart, or all of it"
        self._gauge = Gauge("task_failing", what, ["task"], registry=registry)
        for task in self._failing:
            self._show(task)

    @contextmanager
    def of(self, task: str) -> Iterator[None]:
        """Let ``apart`` and ``kept_apart`` inside be about this task."""
        self._show(task)
        token = _CURRENT.set((self, task))
        try:
            yield
        finally:
            _CURRENT.reset(token)

    def failed(self, task: str, error: Exception, item: str = "") -> float:
        """Count a failure; return for how many seconds to leave this alone. Raises the error where only another process can help."""
        if isinstance(error, MemoryError):
            raise error
        now, failing = time.monotonic(), self._failing[task]
        before, at, _ = failing.get(item, (0, now, 0.0))
        attempts = 1 if now - at > _QUIET_S else before + 1
        seconds = min(2.0 ** min(attempts - 1, 16), _LONGEST_S)
        failing[item] = (attempts, now, now + seconds)
        self._show(task)
        if item and len(failing) > _MOST_TOLD:
            _log.warning("task_failed_too", task=task, item=item, failing=len(failing), error=place_of(error))
        else:
            _log.error("task_failed", task=task, item=item, attempts=attempts, seconds=seconds, exc_info=error)
            kind, _, known_by = item.rpartition(" ")
            report_exception(error, task=task, **{f"{kind}_id" if kind else "order_number": known_by} if item else {})
            self._write_later(task, item, place_of(error))
        return seconds

    def passed(self, task: str, *items: str) -> None:
        """Say that these items have succeeded, or the task as a whole. Cheap; call it every time."""
        if failing := self._failing[task]:
            for item in items or ("",):
                if failing.pop(item, None) is not None:
                    self._write_later(task, item, None)
            self._show(task)

    def apart(self, task: str) -> list[str]:
        """Return the items of a task that are to be left alone now."""
        now = time.monotonic()
        return [item for item, (_, _, until) in self._failing[task].items() if item and until > now]

    def next_try(self, task: str) -> float | None:
        """Return in how many seconds the first item that is left alone now may be tried again; None where none is."""
        now = time.monotonic()
        left = [until - now for item, (_, _, until) in self._failing[task].items() if item and until > now]
        return min(left, default=None)

    def report(self) -> str | None:
        """Say which tasks fail as a whole, for people; None when none does."""
        whole = [task for task, items in sorted(self._failing.items()) if "" in items]
        return f"failing, tried again: {', '.join(whole)}" if whole else None

    async def look(self) -> None:
        """End what has been quiet for long, whoever counted it. Safe in every replica at once."""
        now = time.monotonic()
        for task, items in self._failing.items():
            self._failing[task] = {item: kept for item, kept in items.items() if now - kept[1] <= _QUIET_S}
            self._show(task)
        if self._database is not None:
            async with self._database.acquire() as connection:
                quiet = await connection.fetch(_QUIET, _QUIET_S)
            for row in quiet:
                self._write_later(row["consumer"].removeprefix(_TASK), row["event_id"], None)

    async def close(self) -> None:
        """Write what is waiting, unless the database is away."""
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=0.5)
            self._writer.cancel()

    def _show(self, task: str) -> None:
        failing = len(self._failing[task])
        if self._gauge is not None:
            self._gauge.labels(task).set(failing)

    def _write_later(self, task: str, item: str, error: str | None) -> None:
        if self._database is not None:
            self._waiting.append(
                (task, storable(item)[:_LONGEST_ITEM], error)
            )  # some are named by what others call them
            if self._writer is None or self._writer.done():
                self._writer = asyncio.create_task(self._write_all(self._database), name="task-failures-written")

    async def _write_all(self, database: Database) -> None:
        while self._waiting:
            task, item, error = self._waiting[0]
            try:
                async with database.transaction() as connection:
                    await self._write(connection, task, item, error)
            except Exception as trouble:  # noqa: BLE001 - nobody waits for this; what fails is in the log and in the metric as well
                if is_retryable(trouble):
                    await asyncio.sleep(1.0)
                    continue
                _log.error("task_failure_not_kept", task=task, item=item, exc_info=trouble)
            self._waiting.popleft()

    async def _write(self, connection: Connection, task: str, item: str, error: str | None) -> None:
        """Count, or forget, and say so when it is time: in one transaction, so that of all replicas one says it."""
        service, now = self._service, datetime.now(UTC)
        fingerprint, summary = f"{_TASK}{service}:{task}:{item}", f"{task} fails no more"
        message: ProblemRaisedV1 | ProblemResolvedV1
        if error is None:
            if (await connection.fetchval(_OVER, _TASK + task, item) or 0) < TOLD_AFTER:
                return
            message = ProblemResolvedV1(fingerprint=fingerprint, summary=summary, service=service, occurred_at=now)
        else:
            attempts = await connection.fetchval(COUNT_FAILURE, _TASK + task, item, error)
            if attempts % _TOLD_AGAIN != TOLD_AFTER:
                return
            details = {"task": task, "item": item or "*", "error": error, "attempts": str(attempts)}
            message = ProblemRaisedV1(
                kind="task.failing",
                severity="warning" if item else "critical",
                fingerprint=fingerprint,
                summary=f"{task} fails by a fault: {details['item']}, {attempts} times",
                details={**details, "instruction": _DO.format(error=error)},
                service=service,
                order_number=None if not item or " " in item else item,
                occurred_at=now,
            )
        event = Envelope.of(message, event_id=new_id(), source=f"/{service}", subject=None, time=now)
        await outbox.add(connection, event)


_CURRENT: ContextVar[tuple[TaskFailures, str] | None] = ContextVar("task", default=None)


@contextmanager
def apart(*items: str) -> Iterator[None]:
    """Do something to one item of a task, in a transaction or savepoint of its own: a fault in it is counted against it and ends here.

    Of several items nothing is counted, everything is raised. So is what is away, and outside a task everything.
    """
    current = _CURRENT.get()
    try:
        yield
    except Exception as error:
        if current is None or is_retryable(error) or len(items) != 1:
            raise
        current[0].failed(current[1], error, items[0])
    else:
        if current is not None:
            current[0].passed(current[1], *items)


def kept_apart() -> list[str]:
    """Return the items of this task that have failed lately and are to be left out now."""
    current = _CURRENT.get()
    return [] if current is None else current[0].apart(current[1])


async def in_halves(
    items: Sequence[T],
    do: Callable[[Sequence[T]], Awaitable[R]],
    *,
    name: Callable[[T], str] = str,
    within: Connection | None = None,
    but: Sequence[str] = (),
) -> list[R]:
    """Do items together; what fails by a fault is done in halves, down to the item that fails, which is kept ``apart``.

    What is behind it and has the same name waits for it: items of one name are done in their order, whatever fails. ``do`` is a
    transaction; or, ``within`` one, it gets a savepoint. ``but`` names items to leave out. Returns what it has returned each time.
    """
    done: list[R] = []
    failed = set(but)

    async def attempt(part: Sequence[T]) -> None:
        if not (part := [each for each in part if name(each) not in failed]):
            return
        before = len(done)
        try:
            with apart(*map(name, part)):
                async with nullcontext() if within is None else within.transaction():
                    result = await do(part)
                done.append(result)
        except Exception as error:
            if is_retryable(error) or len(part) == 1:
                raise
        else:
            failed.update(map(name, part) if len(done) == before else ())
            return
        await attempt(part[: len(part) // 2])
        await attempt(part[len(part) // 2 :])

    await attempt(items)
    return done
