"""Endangered orders and their reports in PostgreSQL (M5, M6)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from common.contracts.envelope import Envelope
from common.contracts.intake import HOOK_RECEIVED
from common.contracts.journal import JournalEntryV1
from common.errors import Conflict, NotFound
from common.ids import derived_id
from common.messaging import outbox
from common.postgres import Connection, Database, Record
from webhook_gateway.database import told_as_unavailable
from webhook_gateway.deliveries.record import SERVICE, endangered_fingerprint
from webhook_gateway.hooks.ports import ArrivedOrder, EndangeredRow
from webhook_gateway.rescue.letter import LostOrder
from webhook_gateway.rescue.model import Act, State, after, state_of
from webhook_gateway.website.model import SOURCE
from webhook_gateway.website.ports import Endangered, Report

_SAVE = """
INSERT INTO endangered_orders (
    id, received_at, status, category, answer, customer, address, basket, body, external_id, replica, origin, link
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (id) DO NOTHING
"""
_SETTLE_ARRIVED = """
UPDATE endangered_orders AS e SET state = 'resubmitted', number = taken.number, arrived_at = taken.received_at
FROM (
    SELECT DISTINCT ON (external_id) external_id, number, received_at FROM deliveries
    WHERE external_id = ANY($1) AND source = $2 AND type = $3 AND number IS NOT NULL
    ORDER BY external_id, received_at
) AS taken
WHERE e.external_id = taken.external_id AND e.state IN ('open', 'new', 'mended')
RETURNING e.id::text AS endangered_id, e.number, e.arrived_at
"""
_ORDER = """
SELECT id::text AS id, received_at, status, category, customer, address, basket, number, state, external_id, coalesce(mended_body, body)
       AS body
FROM endangered_orders WHERE id = $1
"""
_MENDED = "UPDATE endangered_orders SET mended_body = $2, state = $3, mended_at = $4 WHERE id = $1"
_RESUBMITTED = """
UPDATE endangered_orders SET number = $2, state = $3, resubmitted_at = $4, mended_body = CASE WHEN body = $5 THEN mended_body ELSE $5 END,
       mended_at = CASE WHEN body = $5 THEN mended_at ELSE coalesce(mended_at, $4) END
WHERE id = $1
"""
_CLOSED = "UPDATE endangered_orders SET state = 'closed', closed_at = $2 WHERE id = $1"
_ADD_REPORT = """
INSERT INTO endangered_reports (id, endangered_id, created_at, created_by, cause, remedy, sender, recipient, copies, subject, body,
                                message_id, traceparent, due_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $3)
ON CONFLICT (endangered_id) WHERE state <> 'failed' DO NOTHING RETURNING true
"""
_REPORTED_ALREADY = "SELECT EXISTS (SELECT FROM endangered_reports WHERE endangered_id = $1 AND state <> 'failed')"
# Times of the queue are the database's: replicas share them.
_CLAIM = """
UPDATE endangered_reports SET state = 'sending', attempts = attempts + 1, due_at = now() + $1
WHERE id = (
    SELECT id FROM endangered_reports WHERE state IN ('waiting', 'sending') AND due_at <= now()
    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id::text AS id, endangered_id::text AS endangered_id, created_at, created_by, cause, remedy, sender, recipient, copies, subject,
          body AS text, message_id, traceparent, attempts
"""
# `attempts` says whose try it was: a sender that was taken for dead decides nothing any more.
_SENT = """
UPDATE endangered_reports SET state = 'sent', sent_at = $3, last_error = NULL
WHERE id = $1 AND state = 'sending' AND attempts = $2 RETURNING true
"""
_POSTPONE = """
UPDATE endangered_reports SET state = 'waiting', due_at = now() + $3, last_error = $4
WHERE id = $1 AND state = 'sending' AND attempts = $2
"""
_GIVE_UP = """
UPDATE endangered_reports SET state = 'failed', last_error = $3
WHERE id = $1 AND state = 'sending' AND attempts = $2 RETURNING true
"""
_REPORTED = "UPDATE endangered_orders SET state = $2, reported_at = $3 WHERE id = $1"
_LIST = """
SELECT id::text AS id, received_at, status, category, answer, customer, address, basket, body, mended_body, external_id, replica,
       CASE state WHEN 'open' THEN 'new' ELSE state END AS state, origin, link, number, mended_at, resubmitted_at, reported_at, closed_at,
       arrived_at
FROM endangered_orders
WHERE ($1::text[] IS NULL OR state = ANY($1))
  AND ($2::text IS NULL OR category = $2)
  AND ($3::uuid IS NULL OR id = $3)
  AND ($4::timestamptz IS NULL OR (received_at, id) < ($4, $5::uuid))
ORDER BY received_at DESC, id DESC
LIMIT $6
"""
_REPORTS = """
SELECT id::text AS id, created_at, created_by, cause, remedy, sender, recipient, copies, subject, body AS text, message_id, state, attempts,
       last_error, sent_at
FROM endangered_reports WHERE endangered_id = $1 ORDER BY created_at DESC, id
"""
_WAITING = """
SELECT category, count(*) AS count, min(received_at) AS oldest FROM endangered_orders
WHERE state IN ('open', 'new', 'mended') GROUP BY category
"""
_UNSENT = """
SELECT count(*) AS count, min(created_at) AS oldest FROM endangered_reports WHERE state IN ('waiting', 'sending')
"""


async def save(connection: Connection, rows: Sequence[EndangeredRow]) -> None:
    """Insert endangered orders, each once, in the caller's transaction."""
    await connection.executemany(_SAVE, [_values(row) for row in rows])


async def settle_arrived(connection: Connection, names: Sequence[str]) -> Sequence[ArrivedOrder]:
    """Mark those that the website sent again itself, and that were taken, in the caller's transaction."""
    rows = await connection.fetch(_SETTLE_ARRIVED, list(names), SOURCE, HOOK_RECEIVED)
    return [ArrivedOrder(**dict(row)) for row in rows]


def _values(row: EndangeredRow) -> tuple[Any, ...]:
    hook = row.hook
    return (
        uuid.UUID(hook.delivery_id),
        hook.received_at,
        row.status,
        row.category,
        row.answer,
        dict(row.rescue.customer),
        row.rescue.address,
        row.rescue.basket,
        hook.body,
        hook.external_id,
        hook.replica,
        row.origin,
        row.link,
    )


class PostgresRescue:
    """Implements ``RescueUnit`` on the connection of a transaction. With ``dry_run`` it reads and changes nothing."""

    def __init__(self, connection: Connection, *, dry_run: bool, public_url: str) -> None:
        self._connection = connection
        self._dry_run = dry_run
        self._public_url = public_url.rstrip("/")

    async def lock(self, endangered_id: str) -> Endangered:
        """Return an endangered order; a second person waits until the first is done."""
        row = await self._connection.fetchrow(_ORDER + " FOR UPDATE", uuid.UUID(endangered_id))
        if row is None:
            raise NotFound("no such endangered order")
        return Endangered(
            order=_lost(row, self._public_url),
            state=state_of(row["state"]),
            body=row["body"],
            external_id=row["external_id"],
            fingerprint=endangered_fingerprint(endangered_id),
        )

    async def mended(self, endangered_id: str, *, body: bytes, state: State, at: datetime) -> None:
        """Keep a mended body beside the original."""
        await self._execute(_MENDED, uuid.UUID(endangered_id), body, state.value, at)

    async def resubmitted(self, endangered_id: str, *, number: str, body: bytes, state: State, at: datetime) -> None:
        """Say which real order it has become, and of which body."""
        await self._execute(_RESUBMITTED, uuid.UUID(endangered_id), number, state.value, at, body)

    async def closed(self, endangered_id: str, *, at: datetime) -> None:
        """Say that nothing more is to be done."""
        await self._execute(_CLOSED, uuid.UUID(endangered_id), at)

    async def add_report(self, report: Report) -> None:
        """Keep the intention to send a report."""
        if self._dry_run:
            if await self._connection.fetchval(_REPORTED_ALREADY, uuid.UUID(report.endangered_id)):
                raise Conflict("there is a report on this order already")
            return
        added = await self._connection.fetchval(
            _ADD_REPORT,
            uuid.UUID(report.id),
            uuid.UUID(report.endangered_id),
            report.created_at,
            report.created_by,
            report.cause,
            report.remedy,
            report.sender,
            report.recipient,
            list(report.copies),
            report.subject,
            report.text,
            report.message_id,
            report.traceparent,
        )
        if not added:
            raise Conflict("there is a report on this order already")

    async def publish(self, events: Sequence[Envelope]) -> None:
        """Promise events by the outbox."""
        if not self._dry_run:
            await outbox.add(self._connection, *events)

    async def _execute(self, statement: str, *values: Any) -> None:
        if not self._dry_run:
            await self._connection.execute(statement, *values)


class PostgresReports:
    """Implements ``ReportQueue``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, *, lease: timedelta) -> Report | None:
        """Take a report that is due."""
        with told_as_unavailable():
            async with self._database.acquire() as connection:
                row = await connection.fetchrow(_CLAIM, lease)
        return None if row is None else Report(**{**dict(row), "copies": tuple(row["copies"])})

    async def sent(self, report: Report, *, at: datetime) -> None:
        """The mail server has taken it: the order is reported, unless it was closed meanwhile."""
        with told_as_unavailable():
            async with self._database.transaction() as connection:
                if not await connection.fetchval(_SENT, uuid.UUID(report.id), report.attempts, at):
                    return
                row = await connection.fetchrow(_ORDER + " FOR UPDATE", uuid.UUID(report.endangered_id))
                if row is None:
                    return
                state = state_of(row["state"])
                if state not in (State.REPORTED, State.CLOSED):
                    state = after(state, Act.REPORT, number=row["number"])
                await connection.execute(_REPORTED, uuid.UUID(report.endangered_id), state.value, at)
                if row["number"] is not None:
                    await outbox.add(connection, _journal(report, row["number"], at))

    async def postpone(self, report: Report, *, pause: timedelta, error: str) -> None:
        """Try again after the pause."""
        with told_as_unavailable():
            async with self._database.acquire() as connection:
                await connection.execute(_POSTPONE, uuid.UUID(report.id), report.attempts, pause, error)

    async def give_up(self, report: Report, *, error: str, problem: Envelope) -> None:
        """Try no more, and tell a person."""
        with told_as_unavailable():
            async with self._database.transaction() as connection:
                if await connection.fetchval(_GIVE_UP, uuid.UUID(report.id), report.attempts, error):
                    await outbox.add(connection, problem)


class RescueQueries:
    """Implements ``RescueReads``, and counts what waits. Each method raises ``Unavailable`` when the database is away."""

    def __init__(self, database: Database, *, public_url: str) -> None:
        self._database = database
        self._public_url = public_url.rstrip("/")

    async def endangered(
        self,
        *,
        states: Sequence[str] | None,
        category: str | None,
        only: Any,
        after: tuple[Any, ...] | None,
        limit: int,
    ) -> Sequence[Record]:
        """Return endangered orders, the newest first, behind the position (received_at, id)."""
        at, last = (None, None) if after is None else (after[0], _uuid(after[1]))
        wanted = None if states is None else [*states, *(("open",) if State.NEW in states else ())]
        async with self._database.acquire() as connection:
            return await connection.fetch(_LIST, wanted, category, only, at, last, limit)

    async def order(self, endangered_id: Any) -> LostOrder | None:
        """Return what a report would be about."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_ORDER, endangered_id)
        return None if row is None else _lost(row, self._public_url)

    async def reports(self, endangered_id: Any) -> Sequence[Record]:
        """Return the reports on an endangered order, the newest first."""
        async with self._database.acquire() as connection:
            return await connection.fetch(_REPORTS, endangered_id)

    async def waiting(self) -> tuple[dict[str, int], datetime | None, int, datetime | None]:
        """Return counts by category and the oldest of what waits for a person; count and oldest of what waits for the mail server."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_WAITING)
            unsent = await connection.fetchrow(_UNSENT)
        oldest = min((row["oldest"] for row in rows), default=None)
        counts = {row["category"]: row["count"] for row in rows}
        return counts, oldest, 0 if unsent is None else unsent["count"], None if unsent is None else unsent["oldest"]


def _lost(row: Any, public_url: str) -> LostOrder:
    return LostOrder(
        id=row["id"],
        received_at=row["received_at"],
        status=row["status"],
        category=row["category"],
        customer=row["customer"],
        address=row["address"],
        basket=row["basket"],
        number=row["number"],
        link=f"{public_url}/admin/v1/endangered-orders?id={row['id']}",
    )


def _journal(report: Report, number: str, at: datetime) -> Envelope:
    entry = JournalEntryV1(
        order_number=number,
        service=SERVICE,
        kind="endangered_order.reported",
        actor=report.created_by,
        summary="the report on the endangered order was mailed",
        details={"endangered_id": report.endangered_id, "report_id": report.id},
        occurred_at=at,
    )
    return Envelope.of(
        entry,
        event_id=derived_id("journal", SERVICE, "report", report.id),
        source=f"/{SERVICE}",
        subject=number,
        time=at,
        traceparent=report.traceparent,
    )


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.UUID(int=0)  # a cursor that we did not make: nothing lies behind it
