"""Dead letters: what a consumer gave up on is kept in its own database, with the reason, until a person decides (``decisions``)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from aiormq.abc import DeliveredMessage

from common.contracts.alerts import ProblemRaisedV1
from common.contracts.batch import unpack
from common.contracts.envelope import Envelope
from common.ids import derived_id, new_id
from common.messaging import inbox, outbox
from common.messaging.connection import pause
from common.messaging.metrics import MessagingMetrics
from common.messaging.reader import BatchReader, StopReadingError
from common.messaging.topology import QueueSpec
from common.postgres import Connection, Database, is_retryable

_INSERT = """
INSERT INTO dead_letters (queue, handler, event_id, event_type, subject, reason, error, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id
"""
_UNDECIDED = """
SELECT count(*) FROM (
    SELECT FROM dead_letters
    WHERE queue = $1 AND handler = $2 AND reason = $3 AND subject IS NOT DISTINCT FROM $4 AND replayed_at IS NULL LIMIT 1000
) AS letters
"""
_DO = "look at it in the console or by ordersctl dead-letter, mend the cause, then replay, mend or dismiss it; that ends the problem"
_LOCK_GROUP = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"


async def store_dead_letter(
    connection: Connection,
    *,
    queue: str,
    handler: str,
    service: str,
    reason: str,
    error: str,
    body: bytes,
    envelope: Envelope | None,
    delivery: str | None = None,
) -> bool:
    """Keep the event in ``dead_letters`` and raise a problem by the outbox, in the caller's transaction.

    ``error`` is an exception's type and place, never a payload. Letters of one queue, handler, reason and subject (the order) are one
    problem, which names the newest of them and how many (of a thousand) are undecided.
    ``delivery`` is what ``delivery_of`` gives: a message that comes again because its acknowledgement was lost is kept once, and False
    is returned for the repeat. The same event sent again (by a replay) is another delivery.
    """
    await lock_group(connection, queue, handler, reason)
    if delivery is not None and not await inbox.claim(connection, f"{handler}.dead", [delivery]):
        return False
    subject = envelope.subject if envelope else None
    letter = await connection.fetchval(
        _INSERT,
        queue,
        handler,
        envelope.id if envelope else None,
        envelope.type if envelope else None,
        subject,
        reason,
        error,
        body,
    )
    undecided = await connection.fetchval(_UNDECIDED, queue, handler, reason, subject)
    now = datetime.now(UTC)
    problem = ProblemRaisedV1(
        kind="dead_letter",
        severity="critical",
        fingerprint=group_fingerprint(queue, handler, reason, subject),
        summary=f"{handler} gave up on an event of {queue}: {reason}",
        details={
            "queue": queue,
            "handler": handler,
            "error": error,
            "event_type": envelope.type if envelope else "unknown",
            "letter": str(letter),
            "letters": str(undecided),
            "instruction": f"{undecided} undecided here, the newest is {letter}: {_DO}",
        },
        service=service,
        order_number=subject,
        occurred_at=now,
    )
    # Of the delivery, not of the event: one that was replayed and died again is a new problem, also for whoever dealt with the first.
    event_id = derived_id("dead_letter", queue, handler, delivery) if delivery is not None else new_id()
    await outbox.add(
        connection,
        Envelope.of(
            problem,
            event_id=event_id,
            source=f"/{service}",
            subject=problem.order_number,
            time=now,
            traceparent=envelope.traceparent if envelope else None,
        ),
    )
    return True


def events_of(messages: Iterable[DeliveredMessage]) -> Iterator[tuple[DeliveredMessage, bytes]]:
    """Yield each event of each message, in their order: the message, and the event's own body."""
    for message in messages:
        for body in unpack(message.body):
            yield message, body


def delivery_of(message: DeliveredMessage, body: bytes) -> str | None:
    """Return what tells an event of one published message from all others, None when its publisher gave it no ``message_id``.

    Redelivering and dead-lettering keep it. ``body`` is the event's; it tells the events of one batch apart, and takes part of a single one
    too, should another publisher use one ``message_id`` twice.
    """
    message_id = message.header.properties.message_id
    if not message_id:
        return None
    digest = hashlib.blake2b(body, digest_size=16)
    digest.update(message_id.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def group_fingerprint(queue: str, handler: str, reason: str, subject: str | None = None) -> str:
    """Return what the problem of a queue's dead letters is known by: those of one handler, reason and order are one problem.

    Without ``subject`` it is that of letters of no order; releases before this one had it for all of a handler and reason.
    """
    return f"dead_letter:{queue}:{handler}:{reason}" + ("" if subject is None else f":{subject}")


async def lock_group(connection: Connection, queue: str, handler: str, reason: str) -> None:
    """Hold a group until the transaction ends, so that its problem is raised and ended in the order in which letters come and go."""
    await connection.execute(_LOCK_GROUP, group_fingerprint(queue, handler, reason))


class DeadLetterCollector:
    """Empties a queue's ``.dead`` queue into the table: what the broker itself gave up on (its delivery limit was reached).

    Of a batch each event becomes a letter of its own, also those that took effect before: replayed, they are recognised as repeats.
    """

    def __init__(
        self, url: str, *, spec: QueueSpec, database: Database, service: str, metrics: MessagingMetrics
    ) -> None:
        self._spec = spec
        self._database = database
        self._service = service
        self._metrics = metrics
        self._reader = BatchReader(url, spec=spec, source=spec.dead, process=self._process, batch_size=50, linger=0.0)

    async def run(self) -> None:
        """Collect until ``stop``. To be supervised."""
        await self._reader.run()

    async def stop(self) -> None:
        """Let ``run`` end after the batch in hand."""
        await self._reader.stop()

    async def _process(self, batch: Sequence[DeliveredMessage]) -> None:
        while True:
            kept = 0
            try:
                async with self._database.transaction() as connection:
                    for message, body in events_of(batch):
                        kept += await store_dead_letter(
                            connection,
                            queue=self._spec.name,
                            handler=self._spec.name,
                            service=self._service,
                            reason="delivery_limit",
                            error="the broker gave up: its consumers died too often with this message in hand",
                            body=body,
                            envelope=_try_decode(body),
                            delivery=delivery_of(message, body),
                        )
            except Exception as error:
                if not is_retryable(error):
                    raise
                await pause(self._reader.stopping, 1.0)
                if self._reader.stopping.is_set():
                    raise StopReadingError from error
                continue
            self._metrics.dead_letters.labels(self._spec.name, "delivery_limit").inc(kept)
            return


def _try_decode(body: bytes) -> Envelope | None:
    try:
        return Envelope.decode(body)
    except ValueError:
        return None
