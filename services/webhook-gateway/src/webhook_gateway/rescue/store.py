"""Endangered orders and their reports in the gateway's database."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import astuple
from datetime import datetime, timedelta
from typing import Any

from common.contracts.envelope import Envelope
from common.contracts.journal import JournalEntryV1
from common.errors import Conflict, NotFound
from common.ids import derived_id
from common.messaging import outbox
from common.postgres import Connection, Database, Record
from webhook_gateway.hooks.model import SERVICE
from webhook_gateway.rescue.model import Act, LockedOrder, LostOrder, Report, State, after, state_of

_LOST = ("id", "received_at", "status", "category", "customer", "address", "basket", "number")
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


class EndangeredStore:
    """Endangered orders: for whoever lists them, and for the transaction of a person who works on one."""

    def __init__(self, database: Database, *, public_url: str) -> None:
        self._database = database
        self._public_url = public_url.rstrip("/")

    async def lock(self, connection: Connection, endangered_id: str) -> LockedOrder:
        """Return an endangered order and hold it until the transaction ends. Raises ``NotFound``."""
        row = await connection.fetchrow(_ORDER + " FOR UPDATE", uuid.UUID(endangered_id))
        if row is None:
            raise NotFound("no such endangered order")
        return LockedOrder(
            order=self._lost(row), state=state_of(row["state"]), body=row["body"], external_id=row["external_id"]
        )

    async def save_mended(
        self, connection: Connection, endangered_id: str, *, body: bytes, state: State, at: datetime
    ) -> None:
        """Keep a mended body beside the original."""
        await connection.execute(_MENDED, uuid.UUID(endangered_id), body, state.value, at)

    async def save_resubmitted(
        self, connection: Connection, endangered_id: str, *, number: str, body: bytes, state: State, at: datetime
    ) -> None:
        """Say which real order it has become, and of which body."""
        await connection.execute(_RESUBMITTED, uuid.UUID(endangered_id), number, state.value, at, body)

    async def save_closed(self, connection: Connection, endangered_id: str, *, at: datetime) -> None:
        """Say that nothing more is to be done."""
        await connection.execute(_CLOSED, uuid.UUID(endangered_id), at)

    async def add_report(self, connection: Connection, report: Report) -> None:
        """Keep the intention to send a report. Raises ``Conflict`` when there is one that was not given up."""
        added = await connection.fetchval(_ADD_REPORT, *astuple(report)[:-1])  # in the order of the columns
        if not added:
            raise Conflict("there is a report on this order already")

    async def page(
        self,
        *,
        states: Sequence[str] | None,
        category: str | None,
        only: Any,
        after: tuple[Any, ...] | None,
        limit: int,
    ) -> Sequence[Record]:
        """Return endangered orders, the newest first, behind the position (received_at, id)."""
        at, last = (None, None) if after is None else (after[0], cursor_uuid(after[1]))
        wanted = None if states is None else [*states, *(("open",) if State.NEW in states else ())]
        async with self._database.acquire() as connection:
            return await connection.fetch(_LIST, wanted, category, only, at, last, limit)

    async def order(self, endangered_id: Any) -> LostOrder | None:
        """Return what a report would be about."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_ORDER, endangered_id)
        return None if row is None else self._lost(row)

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

    def _lost(self, row: Record) -> LostOrder:
        found = {name: row[name] for name in _LOST}
        return LostOrder(**found, link=f"{self._public_url}/admin/v1/endangered-orders?id={row['id']}")


class ReportQueue:
    """Reports that wait for their mail. Each method is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, *, lease: timedelta) -> Report | None:
        """Take a report that is due, so that nobody else sends it until the lease ends; its attempt is counted at once."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_CLAIM, lease)
        return None if row is None else Report(**{**dict(row), "copies": tuple(row["copies"])})

    async def sent(self, report: Report, *, at: datetime) -> None:
        """The mail server has taken it: the order is reported, unless it was closed meanwhile."""
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
        async with self._database.acquire() as connection:
            await connection.execute(_POSTPONE, uuid.UUID(report.id), report.attempts, pause, error)

    async def give_up(self, report: Report, *, error: str, problem: Envelope) -> None:
        """Try no more, and notify a person."""
        async with self._database.transaction() as connection:
            if await connection.fetchval(_GIVE_UP, uuid.UUID(report.id), report.attempts, error):
                await outbox.add(connection, problem)


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


def cursor_uuid(text: str) -> uuid.UUID:
    """Return the id in a page's cursor."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.UUID(int=0)  # a cursor that we did not make: nothing lies behind it
