"""The refunds database: one transaction as a ``RefundStore``, and the queue of refunds that are due."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from common.contracts import Envelope, Message
from common.messaging import outbox
from common.postgres import Connection, Database, Record
from common.telemetry import get_logger
from refunds.application.errors import Impossible, Overtaken
from refunds.application.ports import HistoryEntry, Observer, RefundStore
from refunds.domain.gateway import PaymentInfo
from refunds.domain.refund import Attempt, Payment, Refund
from refunds.domain.states import Happened, RefundState

_log = get_logger()
_SOURCE = "/refunds"
_COLUMNS = """
    id, business_key, order_number, payment_id, amount, currency, reason, state, version, attempt, reserved, tries, declines, error,
    next_attempt_at, created_at, state_since, traceparent
"""
_ADD = f"""
INSERT INTO refunds ({_COLUMNS})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
ON CONFLICT (business_key) DO NOTHING RETURNING true
"""  # noqa: S608 - the only thing put in is the list of columns above
_SAVE = """
UPDATE refunds
   SET state = $4, version = $5, attempt = $6, amount = $7, reserved = $8, tries = $9, declines = $10, error = $11,
       next_attempt_at = $12, state_since = $13
 WHERE id = $1 AND state = $2 AND version = $3
RETURNING true
"""
_SELECT = f"SELECT {_COLUMNS} FROM refunds"  # noqa: S608 - as above
_FIND = f"{_SELECT} WHERE id = $1"
_BY_KEY = f"{_SELECT} WHERE business_key = $1"
_WAITING = f"""
{_SELECT} WHERE payment_id = $1 AND state = {RefundState.CREATE:d} AND reserved = 0 ORDER BY id FOR NO KEY UPDATE
"""
_PAYMENT = (
    "SELECT payment_id, gateway, captured, currency, reserved FROM payments WHERE payment_id = $1 FOR NO KEY UPDATE"
)
_ENSURE = "INSERT INTO payments (payment_id, gateway) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_CAPTURED = """
UPDATE payments SET captured = $2, currency = $3, captured_at = $4 WHERE payment_id = $1
RETURNING payment_id, gateway, captured, currency, reserved
"""
_RECORD = """
INSERT INTO refund_history (refund_id, version, attempt, state_before, state_after, happened, actor, detail, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_HISTORY = """
SELECT version, attempt, state_before, state_after, happened, actor, detail, at
FROM refund_history WHERE refund_id = $1 ORDER BY version
"""
_ATTEMPT = """
SELECT refund_id, attempt, gateway, gateway_key, began_at, sent_at, gateway_refund_id
FROM refund_attempts WHERE refund_id = $1 AND attempt = $2
"""
_ADD_ATTEMPT = """
INSERT INTO refund_attempts (refund_id, attempt, gateway, gateway_key, began_at, sent_at, gateway_refund_id)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_SENT = """
UPDATE refund_attempts SET sent_at = coalesce(sent_at, $3) WHERE refund_id = $1 AND attempt = $2 RETURNING sent_at
"""
_GATEWAY_ID = """
UPDATE refund_attempts SET gateway_refund_id = coalesce(gateway_refund_id, $3)
WHERE refund_id = $1 AND attempt = $2 RETURNING gateway_refund_id
"""
_CLAIM = """
WITH due AS (
    SELECT id FROM refunds
    WHERE next_attempt_at <= $1 AND (lease_until IS NULL OR lease_until <= $1)
    ORDER BY next_attempt_at LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE refunds AS r SET lease_owner = $3, lease_until = $4 FROM due WHERE r.id = due.id RETURNING r.id
"""
_RELEASE = "UPDATE refunds SET lease_owner = NULL, lease_until = NULL WHERE id = $1 AND lease_owner = $2"


class PostgresStore:
    """Port ``RefundStore`` on one connection inside a transaction."""

    def __init__(self, connection: Connection, observer: Observer) -> None:
        self._connection = connection
        self._observer = observer

    async def ensure_payment(self, payment_id: str, *, gateway: str) -> None:
        """Make the payment if it is not known."""
        await self._connection.execute(_ENSURE, payment_id, gateway)

    async def lock_payment(self, payment_id: str) -> Payment:
        """Return a known payment, locked."""
        return _payment(await self._connection.fetchrow(_PAYMENT, payment_id))

    async def learn_captured(self, payment_id: str, info: PaymentInfo, *, now: datetime) -> Payment:
        """Keep what the gateway says was captured."""
        return _payment(await self._connection.fetchrow(_CAPTURED, payment_id, info.captured, info.currency, now))

    async def find(self, refund_id: str) -> Refund | None:
        """Return the refund as it is."""
        row = await self._connection.fetchrow(_FIND, UUID(refund_id))
        return None if row is None else refund_of(row)

    async def by_business_key(self, business_key: str) -> Refund | None:
        """Return the refund of this business key."""
        row = await self._connection.fetchrow(_BY_KEY, business_key)
        return None if row is None else refund_of(row)

    async def waiting_for_captured(self, payment_id: str) -> Sequence[Refund]:
        """Return, locked and oldest first (ids are in the order of time), those in CREATE that hold nothing yet."""
        return [refund_of(row) for row in await self._connection.fetch(_WAITING, payment_id)]

    async def add(self, refund: Refund, *, happened: str, actor: str) -> bool:
        """Insert a refund and its first line of history."""
        r = refund
        added = await self._connection.fetchval(
            _ADD,
            UUID(r.id),
            r.business_key,
            r.order_number,
            r.payment_id,
            r.amount,
            r.currency,
            r.reason,
            r.state,
            r.version,
            r.attempt,
            r.reserved,
            r.tries,
            r.declines,
            r.error,
            r.next_attempt_at,
            r.created_at,
            r.state_since,
            r.traceparent,
        )
        if added:
            await self._append(refund, before=None, happened=happened, actor=actor, detail=refund.reason)
        return bool(added)

    async def save(self, before: Refund, after: Refund) -> None:
        """Compare-and-set on state and version."""
        saved = await self._connection.fetchval(
            _SAVE,
            UUID(before.id),
            before.state,
            before.version,
            after.state,
            after.version,
            after.attempt,
            after.amount,
            after.reserved,
            after.tries,
            after.declines,
            after.error,
            after.next_attempt_at,
            after.state_since,
        )
        if not saved:
            raise Overtaken(f"refund {before.id} is not in {before.state.name} at version {before.version} any more")

    async def record(self, after: Refund, *, before: RefundState, happened: Happened, actor: str, detail: str) -> None:
        """Append to the history."""
        await self._append(after, before=before, happened=happened, actor=actor, detail=detail)

    async def history(self, refund_id: str) -> Sequence[HistoryEntry]:
        """Return the history, oldest first."""
        return [
            HistoryEntry(
                version=row["version"],
                attempt=row["attempt"],
                before=None if row["state_before"] is None else RefundState(row["state_before"]),
                after=RefundState(row["state_after"]),
                happened=row["happened"],
                actor=row["actor"],
                detail=row["detail"],
                at=row["at"],
            )
            for row in await self._connection.fetch(_HISTORY, UUID(refund_id))
        ]

    async def attempt(self, refund: Refund) -> Attempt:
        """Return the refund's present attempt."""
        row = await self._connection.fetchrow(_ATTEMPT, UUID(refund.id), refund.attempt)
        if row is None:
            raise Overtaken(f"refund {refund.id} has no attempt {refund.attempt} yet")
        return Attempt(
            refund_id=str(row["refund_id"]),
            number=row["attempt"],
            gateway=row["gateway"],
            gateway_key=row["gateway_key"],
            began_at=row["began_at"],
            sent_at=row["sent_at"],
            gateway_refund_id=row["gateway_refund_id"],
        )

    async def add_attempt(self, attempt: Attempt) -> None:
        """Insert an attempt, key and all."""
        a = attempt
        await self._connection.execute(
            _ADD_ATTEMPT,
            UUID(a.refund_id),
            a.number,
            a.gateway,
            a.gateway_key,
            a.began_at,
            a.sent_at,
            a.gateway_refund_id,
        )

    async def mark_sent(self, attempt: Attempt, *, now: datetime) -> Attempt:
        """Note that from now on the gateway may know the key."""
        sent_at = await self._connection.fetchval(_SENT, UUID(attempt.refund_id), attempt.number, now)
        return replace(attempt, sent_at=sent_at)

    async def keep_gateway_refund_id(self, attempt: Attempt, gateway_refund_id: str) -> Attempt:
        """Note what the gateway calls it."""
        kept = await self._connection.fetchval(_GATEWAY_ID, UUID(attempt.refund_id), attempt.number, gateway_refund_id)
        if kept != gateway_refund_id:
            raise Impossible(f"the gateway gave one key of refund {attempt.refund_id} two refunds")
        return replace(attempt, gateway_refund_id=kept)

    async def promise(
        self, message: Message, *, event_id: str, order_number: str, traceparent: str | None, now: datetime
    ) -> None:
        """Put an event into the outbox."""
        envelope = Envelope.of(
            message, event_id=event_id, source=_SOURCE, subject=order_number, time=now, traceparent=traceparent
        )
        await outbox.add(self._connection, envelope)

    async def _append(
        self, refund: Refund, *, before: RefundState | None, happened: str, actor: str, detail: str
    ) -> None:
        r = refund
        await self._connection.execute(
            _RECORD, UUID(r.id), r.version, r.attempt, before, r.state, happened, actor, detail[:2000], r.state_since
        )
        self._observer.moved(before, r.state)
        _log.info(
            "refund_state_written",
            refund_id=r.id,
            order_number=r.order_number,
            state=r.state.name,
            happened=happened,
            attempt=r.attempt,
        )


class PostgresTransactions:
    """Port ``Transactions``. ``after_commit`` is called after every commit, to wake the relay."""

    def __init__(self, database: Database, observer: Observer, *, after_commit: Callable[[], None]) -> None:
        self._database = database
        self._observer = observer
        self._after_commit = after_commit

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[RefundStore]:
        """Open a transaction."""
        async with self._database.transaction() as connection:
            yield PostgresStore(connection, self._observer)
        self._after_commit()


class PostgresQueue:
    """The refunds that are due, leased to one worker at a time."""

    def __init__(self, database: Database, *, owner: str, lease: timedelta) -> None:
        self._database = database
        self._owner = owner
        self._lease = lease

    async def claim(self, *, limit: int, now: datetime) -> list[str]:
        """Take up to ``limit`` due refunds for the length of the lease. Replicas never get the same one at the same time."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_CLAIM, now, limit, self._owner, now + self._lease)
        return [str(row["id"]) for row in rows]

    async def release(self, refund_id: str) -> None:
        """Give a refund back; it is due again at its own time."""
        async with self._database.acquire() as connection:
            await connection.execute(_RELEASE, UUID(refund_id), self._owner)


def refund_of(row: Record) -> Refund:
    """Turn a row of ``refunds`` into a refund."""
    return Refund(
        id=str(row["id"]),
        business_key=row["business_key"],
        order_number=row["order_number"],
        payment_id=row["payment_id"],
        amount=row["amount"],
        currency=row["currency"],
        reason=row["reason"],
        state=RefundState(row["state"]),
        version=row["version"],
        attempt=row["attempt"],
        reserved=row["reserved"],
        tries=row["tries"],
        declines=row["declines"],
        error=row["error"],
        next_attempt_at=row["next_attempt_at"],
        created_at=row["created_at"],
        state_since=row["state_since"],
        traceparent=row["traceparent"],
    )


def _payment(row: Record | None) -> Payment:
    if row is None:
        raise Impossible("a refund's payment is not there")
    return Payment(
        payment_id=row["payment_id"],
        gateway=row["gateway"],
        captured=row["captured"],
        currency=row["currency"],
        reserved=row["reserved"],
    )


_PAGE = f"""
{_SELECT}
WHERE ($1::smallint IS NULL OR state = $1) AND ($2::text IS NULL OR order_number = $2) AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4
"""


class PostgresLists:
    """The operator's lists."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, *, state: int | None, order: str | None, before: UUID | None, limit: int) -> list[Refund]:
        """Return refunds, newest first, from before the given id."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_PAGE, state, order, before, limit)
        return [refund_of(row) for row in rows]
