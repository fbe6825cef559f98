"""The outbox: events are added in the business transaction and published after it.

Sequence order is not commit order: a row with a smaller id may become visible later. So the relay sweeps *all* rows, every time, and
never remembers how far it got. One replica relays at a time (an advisory lock decides), in the order of ids; events of one order
keep their order as long as their transactions lock the order's row before they add to the outbox.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby

import structlog

from common.contracts.batch import cut, pack
from common.contracts.envelope import Envelope, exchange_of
from common.contracts.journal import JournalEntryV1
from common.messaging.connection import pause
from common.messaging.metrics import MessagingMetrics
from common.messaging.publisher import BrokerAway, ChannelClosed, Outgoing, Publisher, PublishFailed, PublishTimeout
from common.messaging.topology import QUEUES
from common.postgres import Connection, Database, Record, is_retryable

_log = structlog.get_logger(__name__)

_CHANNEL = "outbox"
_LOCK_KEY = 0x6F7574626F78  # "outbox"
_ADD = """
INSERT INTO outbox (exchange, routing_key, body)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])
"""
# What was confirmed since the last sweep is forgotten in the statement that reads on: its snapshot still has those rows, so they are named.
_SWEEP = """
WITH sent AS (DELETE FROM outbox WHERE id = ANY($4::bigint[]))
SELECT id, exchange, routing_key, body FROM outbox WHERE id > $1 AND id <> ALL($3::bigint[]) AND id <> ALL($4::bigint[])
ORDER BY id LIMIT $2
"""
_FORGET = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"
# Bounded, whatever has piled up: the count ends at a limit, and the oldest is the row with the smallest id.
_BACKLOG = """
SELECT (SELECT count(*) FROM (SELECT 1 FROM outbox LIMIT $1) AS counted) AS pending,
    coalesce((SELECT extract(epoch FROM now() - created_at) FROM outbox ORDER BY id LIMIT 1), 0)::float8 AS oldest
"""
_BACKLOG_LIMIT = 100_000
_MEASURE_EVERY_S = 5.0
_LAST_SWEEP_S = 2.0
_SOON_S = 0.5
_FIRST_HOLD_S = 1.0
# From PostgreSQL 14 on, the server ends a session that stays silent: so a leader that hangs loses the lock. Between the messages of one
# statement (Parse is answered, Bind has not come) a session does not count as idle; there, PostgreSQL 17 ends it by its open transaction.
_SET_LEASE = """
SELECT set_config(name, $1, false) FROM pg_settings WHERE name IN ('idle_session_timeout', 'transaction_timeout')
"""


async def add(connection: Connection, *envelopes: Envelope) -> None:
    """Add events, in this order, in the caller's transaction. They are published at least once after it commits."""
    await add_encoded(connection, ((envelope.type, envelope.encode()) for envelope in envelopes))


async def add_encoded(
    connection: Connection, events: Iterable[tuple[str, bytes]], *, beside: tuple[str, Sequence[object]] | None = None
) -> None:
    """Add events given as (type, encoded envelope). One statement, however many.

    ``beside``, a statement that writes, and its values, is run with it: each round trip costs more than most statements.
    """
    pairs = list(events)
    statement, values = beside or ("", ())
    if pairs:
        rows = ([exchange_of(kind) for kind, _ in pairs], [kind for kind, _ in pairs], [body for _, body in pairs])
        statement, values = _add_beside(statement, len(values)), (*values, *rows)
    if statement:
        await connection.execute(statement, *values)


@lru_cache(maxsize=16)
def _add_beside(statement: str, values: int) -> str:
    shifted = re.sub(r"\$(\d)", lambda place: f"${int(place[1]) + values}", _ADD)
    return f"WITH beside AS ({statement}) {shifted}" if statement else shifted


async def add_raw(connection: Connection, *, exchange: str, routing_key: str, body: bytes) -> None:
    """Add one encoded event for a named exchange; the empty name with a queue's name as the key goes to that queue alone."""
    await connection.execute(_ADD, [exchange], [routing_key], [body])


async def backlog(connection: Connection) -> tuple[int, float]:
    """Return how many events wait to be published (counted up to 100,000), and the age of the oldest in seconds, 0 when none."""
    row = await connection.fetchrow(_BACKLOG, _BACKLOG_LIMIT)
    return (0, 0.0) if row is None else (row["pending"], row["oldest"])


class OutboxRelay:
    """Publishes what is in the outbox: at least once, in the order of ids, until the broker has confirmed it.

    Any number of replicas may run; one works, on a database session of its own that holds the lock. A leader that dies loses it with the
    session; one that hangs loses it ``lease`` seconds after its last statement (before PostgreSQL 17 not if it hangs in the middle of
    one). What was published is forgotten with the next look into the table: it is published again when the leader dies before. A row that
    cannot be published (nobody takes it, or the broker closes the channel at it) stays, is held back for a second, each time twice as
    long and at most ``hold`` seconds, and does not hold up the rows behind it. ``poll``, ``deadline`` (for the confirmations of a batch),
    ``hold`` and ``lease`` are in seconds; ``lease`` must be longer than ``deadline``. With ``lines_together`` lines of timelines that
    follow each other go as one message, which 0.1 does not read; where it closes the channel, its rows are tried alone.
    """

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        *,
        metrics: MessagingMetrics,
        batch_size: int = 500,
        poll: float = 2.0,
        deadline: float = 10.0,
        hold: float = 60.0,
        lease: float = 30.0,
        lines_together: bool = False,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._metrics = metrics
        self._batch_size = batch_size
        self._poll = poll
        self._deadline = deadline
        self._lease = lease
        self._together = {JournalEntryV1.TYPE} if lines_together else set[str]()
        self._held = _Held(hold)
        self._sent: list[int] = []
        self._suspects = 0
        self._measure_at = 0.0
        self._stopping = asyncio.Event()
        self._stop_by = float("inf")
        self._work = asyncio.Event()
        self._leading = False
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """Say that a transaction that added events has committed. Cheap; call it after every commit.

        Where another replica leads, it is woken by NOTIFY, at most once in 10 ms: NOTIFY takes a lock of the whole database at commit.
        """
        (self._work if self._leading else self._wanted).set()

    async def stop(self) -> None:
        """Let ``run`` end after one more sweep of at most about two seconds; what is left then, another replica or the next start takes."""
        self._stop_by = asyncio.get_running_loop().time() + _LAST_SWEEP_S
        self._stopping.set()
        self._work.set()

    async def run(self) -> None:
        """Relay until ``stop``. To be supervised; survives the absence of PostgreSQL and of RabbitMQ."""
        notifier = asyncio.create_task(self._notify_leader(), name="outbox-notifier")
        try:
            while not self._stopping.is_set():
                try:
                    async with self._database.session() as connection:
                        await self._take_turns(connection)
                except Exception as error:
                    if not is_retryable(error):
                        raise
                    _log.warning("outbox_interrupted", reason=type(error).__name__)
                    await pause(self._stopping, 0.5)
        finally:
            notifier.cancel()
            await asyncio.gather(notifier, return_exceptions=True)

    async def _take_turns(self, connection: Connection) -> None:
        await connection.execute(_SET_LEASE, str(int(self._lease * 1000)))
        # All that this session writes is that rows were published. Where the server forgets it in a crash they are published again.
        await connection.execute("SET synchronous_commit = off")
        while not self._stopping.is_set():
            if await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK_KEY):
                await self._lead(connection)
                return
            await pause(self._stopping, random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing

    async def _lead(self, connection: Connection) -> None:
        """Sweep until the relay is to stop. The lock ends with the session."""
        # Another session may be that of another server, to which a fail-over or a restored backup gave these ids for other rows.
        self._sent = []
        self._leading = True
        self._metrics.outbox_leader.set(1)
        try:
            await connection.add_listener(_CHANNEL, self._on_notify)
            while True:
                self._work.clear()
                stopping = self._stopping.is_set()
                if self._publisher.ready:
                    await self._sweep(connection)
                if self._sent and (stopping or not self._publisher.ready or self._is_to_be_measured()):
                    await connection.execute(_FORGET, self._sent)
                    self._sent = []
                await self._measure(connection)
                if stopping:
                    return
                await pause(self._work, self._wait() * random.uniform(0.8, 1.2))  # noqa: S311 - as above
        finally:
            self._leading = False
            for gauge in (self._metrics.outbox_leader, self._metrics.outbox_pending, self._metrics.outbox_oldest):
                gauge.set(0)  # the next leader's to measure

    async def _sweep(self, connection: Connection) -> None:
        """Publish every row there is, once. Ends early when the broker does not answer: later rows must not overtake earlier ones."""
        last = 0
        held = self._held.now()
        while True:
            # After the broker has closed the channel on a batch: one at a time, until the row that it objects to is found.
            limit = 1 if self._suspects else self._batch_size
            rows = await connection.fetch(_SWEEP, last, limit, held, self._sent)
            self._sent = []
            if not rows:
                self._suspects = 0
                return
            last = rows[-1]["id"]
            deadline = _LAST_SWEEP_S if self._stopping.is_set() else self._deadline
            messages = list(_messages(rows, self._together))
            answers = await self._publisher.publish_many(messages, deadline=min(deadline, self._deadline))
            outcomes = [of for sent, of in zip(messages, answers, strict=True) for _ in range(sent.events)]
            confirmed = [row["id"] for row, failure in zip(rows, outcomes, strict=True) if failure is None]
            if confirmed:
                # Dying before the next statement publishes the rows again: consumers recognise the ids.
                self._sent = confirmed
                self._metrics.outbox_published.inc(len(confirmed))
                self._held.forget(confirmed)
            go_on = len(confirmed) == len(rows) or self._keep(rows, outcomes)
            self._suspects = max(0, self._suspects - len(rows)) if go_on else self._suspects
            if not go_on or asyncio.get_running_loop().time() > self._stop_by:
                return
            if len(rows) < limit:
                return  # whoever commits more wakes us

    def _keep(self, rows: Sequence[Record], outcomes: Sequence[PublishFailed | None]) -> bool:
        """Sort out what was not confirmed; return whether the rows behind may be published now."""
        failures = [(row, failure) for row, failure in zip(rows, outcomes, strict=True) if failure is not None]
        go_on = True
        for row, failure in failures:
            self._metrics.outbox_failed.labels(failure.code).inc()
            alone = len(rows) == 1 and isinstance(failure, ChannelClosed)
            if alone or not isinstance(failure, (BrokerAway, PublishTimeout)):
                # Each attempt at a row that closes the channel costs everybody their channel.
                seconds = self._held.hold(row["id"], longest=alone)
                _log.error(
                    "outbox_row_held", row=row["id"], routing_key=row["routing_key"], code=failure.code, seconds=seconds
                )
            go_on = go_on and not isinstance(failure, (BrokerAway, PublishTimeout))
        if not go_on:
            _log.warning("outbox_rows_kept", kept=len(failures))
            if len(rows) > 1 and any(isinstance(failure, ChannelClosed) for _, failure in failures):
                self._suspects = len(failures)
        return go_on

    def _wait(self) -> float:
        """In how many seconds to look unasked: sooner while the broker is awaited or rows are held back, whose time is exact."""
        return self._poll if self._publisher.ready and not self._held.rows else min(self._poll, _SOON_S)

    async def _measure(self, connection: Connection) -> None:
        if not self._is_to_be_measured():
            return
        self._measure_at = asyncio.get_running_loop().time() + _MEASURE_EVERY_S
        pending, oldest = await backlog(connection)
        self._metrics.outbox_pending.set(pending)
        self._metrics.outbox_oldest.set(oldest)

    def _is_to_be_measured(self) -> bool:
        return asyncio.get_running_loop().time() >= self._measure_at

    def _on_notify(self, *_: object) -> None:
        self._work.set()

    async def _notify_leader(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                async with self._database.acquire() as connection:
                    await connection.execute("SELECT pg_notify($1, '')", _CHANNEL)
            except Exception as error:  # noqa: BLE001 - nothing is lost: the leader polls
                _log.debug("outbox_notify_failed", reason=type(error).__name__)
            await asyncio.sleep(0.01)


def _messages(rows: Sequence[Record], together: set[str]) -> Iterator[Outgoing]:
    """Yield what is to be published of these rows, in their order."""
    for (exchange, key), run in groupby(rows, lambda row: (_exchange(row), row["routing_key"])):
        bodies = [row["body"] for row in run]
        for batch in cut(bodies) if key in together else ([body] for body in bodies):
            yield Outgoing(exchange, key, batch[0] if len(batch) == 1 else pack(batch), len(batch))


def _exchange(row: Record) -> str:
    """Return where a row goes. What is for a queue of the suite alone goes by its replays: the default exchange would open every queue."""
    name: str = row["exchange"]
    return name or next((spec.replays for spec in QUEUES if spec.name == row["routing_key"]), "")


class _Held:
    """Rows that could not be published for a reason of their own, and until when each is left alone. In memory: a new leader tries all."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._rows: dict[int, tuple[float, float]] = {}  # id -> (until, seconds)

    def hold(self, row: int, *, longest: bool) -> float:
        """Hold a row back, twice as long as the last time or at once for the longest time; return for how many seconds."""
        _, before = self._rows.get(row, (0.0, _FIRST_HOLD_S / 2))
        seconds = self._longest if longest else min(before * 2, self._longest)
        self._rows[row] = (asyncio.get_running_loop().time() + seconds, seconds)
        return seconds

    @property
    def rows(self) -> int:
        """How many there are, those included that may be tried again."""
        return len(self._rows)

    def now(self) -> list[int]:
        """Return the rows that are to be left alone now."""
        now = asyncio.get_running_loop().time()
        return [row for row, (until, _) in self._rows.items() if until > now]

    def forget(self, rows: Sequence[int]) -> None:
        """Forget rows that were published after all."""
        if self._rows:
            for row in rows:
                self._rows.pop(row, None)
