"""Sends on one channel for as long as the service runs: what is handed over, and what a look into the queue finds."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context

from common.postgres import Connection, is_retryable
from common.service import apart
from common.telemetry import get_logger
from notifier.delivery.deliver import Deliver
from notifier.delivery.model import Added, Claim
from notifier.delivery.queue import DeliveryQueues

_log = get_logger()
_SPACING_S = 0.1


class Dispatcher:
    """Sends what is due on one channel, up to ``concurrency`` messages at a time, each in another chat.

    ``wake`` after every commit that may have made work: at once when it rested, else a moment later, with whatever else came
    meanwhile. Survives the absence of PostgreSQL and of the provider. ``prepare`` is
    awaited before the first claim, so that no claim waits for a slow import. ``claim`` and ``take`` are for whoever adds deliveries: what
    may go at once is claimed there, and sent without a look into the queue.
    """

    def __init__(
        self,
        deliver: Deliver,
        queues: DeliveryQueues,
        *,
        concurrency: int,
        after_commit: Callable[[], None],
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.channel = deliver.channel
        self._prepare = prepare
        self._deliver = deliver
        self._queues = queues
        self._concurrency = concurrency
        self._after_commit = after_commit
        self._stopping = asyncio.Event()
        self._work = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._ready = False
        self._context: Context | None = None
        self._full = False
        self._wakes = 0

    def wake(self) -> None:
        """Say that there may be something to send."""
        self._wakes += 1
        self._work.set()

    async def claim(self, connection: Connection, added: Sequence[Added]) -> list[Claim]:
        """Claim what of these deliveries may go at once, in the transaction that has added them; nothing while no sender is free."""
        most = self._concurrency - len(self._running)
        if not self._ready or self._stopping.is_set() or most <= 0:
            return []
        return await self._deliver.claim_added(connection, added, most=most)

    def take(self, claims: Sequence[Claim]) -> None:
        """Carry out claims that are committed."""
        for claim in claims:
            # A copy for each: what one has set while it waits (its span) would be another's.
            context = None if self._context is None else self._context.copy()
            task = asyncio.create_task(self._carry_out(claim), name="notification", context=context)
            self._running.add(task)
            task.add_done_callback(self._finished)

    async def stop(self) -> None:
        """Claim nothing more; what is being sent is finished and recorded."""
        self._stopping.set()
        self._work.set()

    async def run(self) -> None:
        """Send until ``stop``. To be supervised."""
        if self._prepare is not None:
            await self._prepare()
        self._ready, self._context = True, copy_context()  # faults are of this task, whoever hands over
        try:
            while not self._stopping.is_set():
                self._work.clear()
                began = time.monotonic()
                try:
                    idle = await self._claim_all()
                except Exception as error:
                    if not is_retryable(error):
                        raise
                    _log.warning("dispatch_interrupted", reason=type(error).__name__)
                    idle = 0.5
                await rest(self._work, idle, began=began, spacing=_SPACING_S)
        finally:
            self._ready = False  # whoever takes in goes on for a while: nobody would wait for what it hands over now
            if self._running:
                await asyncio.wait(self._running)

    async def _claim_all(self) -> float:
        """Start what can be started; returns for how many seconds there is nothing more to do."""
        while len(self._running) < self._concurrency and not self._stopping.is_set():
            claim = await self._deliver.claim()
            if claim is None:
                return await self._queues.wait_until()
            self.take([claim])
        self._full = True
        return 1.0

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._full:
            self._full = False
            self._work.set()

    async def _carry_out(self, claim: Claim) -> None:
        with apart(f"chat {claim.chat}"):  # its lease keeps it apart
            await self._send(claim)

    async def _send(self, claim: Claim) -> None:
        outcome = await self._deliver.send(claim)
        for attempt in itertools.count():
            wakes = self._wakes
            try:
                more = await self._deliver.record(claim, outcome)
            except Exception as error:
                if not is_retryable(error):
                    raise
                # Whoever finds the lease over first sends the notice again, marked as a possible repeat; while the database is
                # away nobody can, so it is worth trying for as long as that takes.
                _log.warning("outcome_not_recorded", reason=type(error).__name__, attempt=attempt)
                await asyncio.sleep(min(0.5, 0.05 * 2 ** min(attempt, 10)))
            else:
                self._after_commit()
                # What was committed while this was being written found the chat in use.
                if more or self._wakes != wakes:
                    self._work.set()
                return


class HandOver:
    """Claims what has just been added on every channel that is open here."""

    def __init__(self) -> None:
        self._senders: list[Dispatcher] = []

    def to(self, senders: Dispatcher) -> None:
        """Have another channel's deliveries claimed too."""
        self._senders.append(senders)

    async def __call__(self, connection: Connection, added: Sequence[Added]) -> Callable[[], None]:
        """Claim in the caller's transaction; what is returned is to be called when that is committed, and never otherwise.

        Whoever dies in between leaves claims whose leases end: they are sent later, marked as possible repeats. Senders of what was not
        claimed are woken.
        """
        taken: list[tuple[Dispatcher, list[Claim]]] = []
        left: list[Dispatcher] = []
        for senders in self._senders:
            own = [each for each in added if each.chosen.destination.channel == senders.channel]
            if not own:
                continue
            claims = await senders.claim(connection, own)
            taken.append((senders, claims))
            if sum(len(claim.entries) for claim in claims) < len(own):
                left.append(senders)

        def committed() -> None:
            """Hand the claims over."""
            for senders, claims in taken:
                senders.take(claims)
            for senders in left:
                senders.wake()

        return committed


async def rest(event: asyncio.Event, seconds: float, *, began: float, spacing: float) -> None:
    """Return when the event is set or the seconds are over, and not before ``spacing`` seconds after ``began`` (monotonic)."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    await asyncio.sleep(max(0.0, began + spacing - time.monotonic()))
