"""Consuming: one transaction for the inbox, the effect and the outbox; then the acknowledgement."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from aiormq.abc import DeliveredMessage

from common.clock import full_jitter
from common.contracts.envelope import Envelope
from common.errors import Unavailable
from common.messaging import inbox
from common.messaging.connection import pause
from common.messaging.dead_letters import DeadLetterCollector, delivery_of, events_of, store_dead_letter
from common.messaging.metrics import MessagingMetrics
from common.messaging.reader import BatchReader, StopReadingError
from common.messaging.topology import QueueSpec
from common.postgres import Connection, Database, DatabaseAway, is_retryable, is_transient

_log = structlog.get_logger(__name__)
_BATCH_ATTEMPTS = 4
_KEY_LIMIT = 512

AfterCommit = Callable[[], None]
Handler = Callable[[Connection, Sequence[Envelope]], Awaitable[AfterCommit | None]]
"""Carries out events inside the transaction it is given. Only events that this consumer has not processed before reach it. What it
returns is called when that transaction has committed, and never otherwise, in place of the consumer's ``after_commit``."""


def nothing_follows() -> None:
    """What a handler returns whose effect nobody waits for."""


COUNT_FAILURE = """
INSERT INTO delivery_failures (consumer, event_id, attempts, last_error) VALUES ($1, $2, 1, $3)
ON CONFLICT (consumer, event_id) DO UPDATE
SET attempts = delivery_failures.attempts + 1, last_error = excluded.last_error, updated_at = now()
RETURNING attempts
"""
"""Counts one more failure: consumer, key of what failed, exception's type and place."""
_FORGET_FAILURE = "DELETE FROM delivery_failures WHERE consumer = $1 AND event_id = $2"


@dataclass(frozen=True, slots=True)
class _Event:
    """One event of a message; ``body`` is its own, the message's where that is no batch."""

    key: str
    envelope: Envelope
    message: DeliveredMessage
    body: bytes


class Consumer:
    """Takes the events of one queue into one database.

    Guarantees: the effect of an event is committed exactly once for this consumer (``name``), together with the mark in the inbox;
    a message is acknowledged only after that commit. A message may be a batch: each of its events is an event like any other, and it is
    acknowledged when every one of them has taken effect or is a dead letter of its own. Events reach the handler in the order of the
    queue; redeliveries, and events that had to wait, may come later than their neighbours, and several replicas share a queue, so order
    across messages is the handler's business. What is taken in together and fails is rolled back and carried out one event at a time. An
    event that fails because something is away (retryable) is tried for ever, without holding up its batch; one that fails for another
    reason is tried ``max_attempts`` times, counted in the database, and then becomes a dead letter with a raised problem. Nothing that a
    message contains ends ``run``.

    ``careful``, where one is given, takes in place of ``handler`` whatever ``handler`` has failed with, and batches with a message that was
    delivered before, to a consumer that may have died of it.
    """

    def __init__(
        self,
        url: str,
        queue: QueueSpec,
        *,
        database: Database,
        name: str,
        service: str,
        handler: Handler,
        careful: Handler | None = None,
        metrics: MessagingMetrics,
        key: Callable[[Envelope], str] = lambda envelope: envelope.id,
        after_commit: AfterCommit | None = None,
        batch_size: int = 200,
        linger: float = 0.005,
        max_attempts: int = 5,
    ) -> None:
        self._queue = queue
        self._database = database
        self._name = name
        self._service = service
        self._handler = handler
        self._careful = careful or handler
        self._metrics = metrics
        self._key = key
        self._after_commit = after_commit
        self._max_attempts = max_attempts
        self._reader = BatchReader(
            url, spec=queue, source=queue.name, process=self._process, batch_size=batch_size, linger=linger
        )
        self.dead_letter_collector = DeadLetterCollector(
            url, spec=queue, database=database, service=service, metrics=metrics
        )
        """Supervise its ``run`` beside this consumer's own: it keeps what the broker itself gave up on."""

    @property
    def connected(self) -> bool:
        """Whether the queue is being read."""
        return self._reader.connected

    async def check(self) -> None:
        """Readiness: raise ``Unavailable`` while the queue is not being read."""
        if not self._reader.connected:
            raise Unavailable(f"the queue {self._queue.name} is not being read")

    async def run(self) -> None:
        """Consume until ``stop``. To be supervised; survives the absence of RabbitMQ and of PostgreSQL."""
        await self._reader.run()

    async def stop(self) -> None:
        """Finish and acknowledge the batch in hand, take no other."""
        await self._reader.stop()

    async def _process(self, batch: Sequence[DeliveredMessage]) -> None:
        events: list[_Event] = []
        for message, body in events_of(batch):
            envelope: Envelope | None = None
            try:
                envelope = Envelope.decode(body)
                events.append(_Event(_storable(self._key(envelope)), envelope, message, body))
            except Exception as error:  # noqa: BLE001 - whatever a message makes the decoder or the service's key function raise
                reason = "undecodable" if envelope is None else "poison"
                await self._give_up(message, body, envelope, reason=reason, error=place_of(error))
        if not events:
            return
        attempt = 0
        handler = self._careful if any(event.message.redelivered for event in events) else self._handler
        while True:
            try:
                await self._carry_out(events, handler)
            except Exception as error:  # noqa: BLE001 - every failure is either waited for or sorted out one event at a time
                _log.warning("batch_failed", queue=self._queue.name, events=len(events), reason=type(error).__name__)
                if isinstance(error, DatabaseAway) or (is_transient(error) and attempt < _BATCH_ATTEMPTS):
                    await self._wait(error, _backoff(attempt))
                    attempt += 1
                    continue
                if handler is not self._careful:
                    handler = self._careful
                    continue
                await self._one_by_one(events)
            return

    async def _carry_out(self, events: Sequence[_Event], handler: Handler, *, alone: bool = False) -> None:
        started = time.perf_counter()
        committed: AfterCommit | None = None
        async with self._database.transaction() as connection:
            fresh = await inbox.claim(connection, self._name, [event.key for event in events])
            chosen: list[Envelope] = []
            for event in events:
                if event.key in fresh:
                    fresh.discard(event.key)  # a repeat inside the batch
                    chosen.append(event.envelope)
            if chosen:
                committed = await handler(connection, chosen)
            if alone:
                await connection.execute(_FORGET_FAILURE, self._name, events[0].key)
        self._metrics.batch_seconds.labels(self._queue.name).observe(time.perf_counter() - started)
        self._metrics.consumed.labels(self._queue.name, "handled").inc(len(chosen))
        self._metrics.consumed.labels(self._queue.name, "repeat").inc(len(events) - len(chosen))
        self._notify_committed(committed or self._after_commit)

    async def _one_by_one(self, events: Sequence[_Event]) -> None:
        """Carry out each event in a transaction of its own: one poisoned or waiting event harms none of its neighbours.

        Goes round until every event has taken effect or is a dead letter, waiting between the rounds.
        """
        attempt = 0
        open_events = list(events)
        while True:
            trouble: Exception | None = None
            again: list[_Event] = []
            for position, event in enumerate(open_events):
                try:
                    await self._carry_out([event], self._careful, alone=True)
                except Exception as error:  # noqa: BLE001 - waited for, or counted and in the end a dead letter
                    if not is_retryable(error) and await self._failed_for_good(event, error):
                        continue
                    trouble = error
                    again.append(event)
                    if is_transient(error) or isinstance(error, DatabaseAway):
                        # Not this event's own trouble, so the rest need not run into it as well; they come first next time.
                        again = [*open_events[position + 1 :], *again]
                        break
            if trouble is None:
                return
            open_events = again
            await self._wait(trouble, _backoff(attempt))
            attempt += 1

    async def _failed_for_good(self, event: _Event, error: Exception) -> bool:
        """Count the failure; at the limit keep the event as a dead letter and return True."""
        text = place_of(error)
        _log.error(
            "event_failed", queue=self._queue.name, handler=self._name, event_type=event.envelope.type, exc_info=error
        )
        while True:
            try:
                async with self._database.transaction() as connection:
                    attempts = await connection.fetchval(COUNT_FAILURE, self._name, event.key, text)
                    if attempts < self._max_attempts:
                        return False
                    await connection.execute(_FORGET_FAILURE, self._name, event.key)
                    kept = await self._keep(
                        connection, event.message, event.body, event.envelope, reason="poison", error=text
                    )
            except Exception as trouble:  # noqa: BLE001 - waited for when the database is away, else the event itself cannot be stored
                if is_retryable(trouble):
                    await self._wait(trouble, 0.5)
                    continue
                await self._give_up(event.message, event.body, None, reason="poison", error=text)
                return True
            self._count_dead_letter(kept, "poison")
            return True

    async def _give_up(
        self, message: DeliveredMessage, body: bytes, envelope: Envelope | None, *, reason: str, error: str
    ) -> None:
        """Keep an event of the message as a dead letter; wait for the database as long as it takes."""
        while True:
            try:
                async with self._database.transaction() as connection:
                    kept = await self._keep(connection, message, body, envelope, reason=reason, error=error)
            except Exception as trouble:
                if not is_retryable(trouble):
                    raise
                await self._wait(trouble, 0.5)
                continue
            self._count_dead_letter(kept, reason)
            return

    async def _keep(
        self,
        connection: Connection,
        message: DeliveredMessage,
        body: bytes,
        envelope: Envelope | None,
        *,
        reason: str,
        error: str,
    ) -> bool:
        return await store_dead_letter(
            connection,
            queue=self._queue.name,
            handler=self._name,
            service=self._service,
            reason=reason,
            error=error,
            body=body,
            envelope=envelope,
            delivery=delivery_of(message, body),
        )

    def _count_dead_letter(self, kept: bool, reason: str) -> None:
        if kept:
            self._metrics.consumed.labels(self._queue.name, "dead").inc()
            self._metrics.dead_letters.labels(self._queue.name, reason).inc()
        self._notify_committed(self._after_commit)

    def _notify_committed(self, notify: AfterCommit | None) -> None:
        try:
            if notify is not None:
                notify()
        except Exception as error:  # noqa: BLE001 - the effect is committed: a failing wake-up is not the event's failure
            _log.error("after_commit_failed", queue=self._queue.name, exc_info=error)

    async def _wait(self, because: Exception, seconds: float) -> None:
        await pause(self._reader.stopping, seconds)
        if self._reader.stopping.is_set():
            raise StopReadingError from because


def _storable(key: str) -> str:
    if not key or len(key) > _KEY_LIMIT or "\0" in key:
        raise ValueError("the key cannot be stored")
    return key


def _backoff(attempt: int) -> float:
    return 0.05 + full_jitter(attempt, base=0.1, cap=5.0)


def place_of(error: BaseException) -> str:
    """Say what failed and where, without the exception's text: that may quote a payload."""
    place = "unknown place"
    trace = error.__traceback__
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}"
