"""Reports on endangered orders: kept before their mail goes, and what became of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import astuple
from datetime import datetime, timedelta
from typing import Any

from common.contracts.envelope import Envelope
from common.messaging import outbox
from common.postgres import Connection, Database, Record
from common.service import apart, kept_apart
from webhook_gateway.rescue.end_report_problems import ended_report_problems, is_waited_for
from webhook_gateway.rescue.journal import reported_entry
from webhook_gateway.rescue.letter import letter_of
from webhook_gateway.rescue.model import Act, Report, State, after, state_of
from webhook_gateway.rescue.store import EndangeredStore

_ADD_REPORT = """
INSERT INTO endangered_reports (id, endangered_id, created_at, created_by, cause, remedy, sender, recipient, copies, subject, body,
                                message_id, traceparent, state, due_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $3)
"""
# One that covers many orders is composed when all of them are known, which is after the change that wrote it.
_COMPOSING = """
SELECT id::text AS id, cause, remedy FROM endangered_reports
WHERE state = 'composing' AND 'report ' || id <> ALL($1::text[]) LIMIT 1 FOR UPDATE SKIP LOCKED
"""
# While neither this nor a claim finds anything, one statement says so.
_ANY_DUE = """
SELECT EXISTS (SELECT FROM endangered_reports WHERE state = 'composing')
    OR EXISTS (SELECT FROM endangered_reports WHERE state IN ('waiting', 'sending') AND due_at <= now())
"""
_COMPOSED = "UPDATE endangered_reports SET state = 'waiting', subject = $2, body = $3 WHERE id = $1"
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
_COVERED = "SELECT id, state, number FROM endangered_orders WHERE report_id = $1 OR id = $2 ORDER BY id FOR UPDATE"
_REPORTED = "UPDATE endangered_orders SET state = $2, reported_at = $3 WHERE id = $1"
_UNCOVERED = "UPDATE endangered_orders SET report_id = NULL WHERE report_id = $1"
_REPORTS = """
SELECT id::text AS id, created_at, created_by, cause, remedy, sender, recipient, copies, subject, body AS text, message_id,
       CASE state WHEN 'composing' THEN 'waiting' ELSE state END AS state, attempts, last_error, sent_at,
       (SELECT count(*) FROM endangered_report_orders AS o WHERE o.report_id = r.id) AS orders
FROM endangered_reports AS r
WHERE id IN (SELECT report_id FROM endangered_report_orders WHERE endangered_id = $1) OR endangered_id = $1
ORDER BY created_at DESC, id
"""


async def add_report(connection: Connection, report: Report, *, composed: bool = True) -> None:
    """Keep the intention to send a report. One that is not ``composed`` gets its text of the orders that it covers when all are known."""
    state = "waiting" if composed else "composing"
    await connection.execute(_ADD_REPORT, *astuple(report)[:-1], state)  # in the order of the columns


class ReportQueue:
    """Reports that wait for their mail. Each method is a transaction of its own."""

    def __init__(self, database: Database, store: EndangeredStore) -> None:
        self._database = database
        self._store = store

    async def any_due(self) -> bool:
        """Tell whether there is anything to write or to send now."""
        async with self._database.acquire() as connection:
            return bool(await connection.fetchval(_ANY_DUE))

    async def compose(self) -> bool:
        """Write the letter of a report that covers many orders; False when there is none to write now."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_COMPOSING, kept_apart())
            if row is None:
                return False
            with apart(f"report {row['id']}"):
                async with connection.transaction():  # a savepoint
                    orders = await self._store.covered(connection, row["id"])
                    letter = letter_of(orders, cause=row["cause"], remedy=row["remedy"])
                    await connection.execute(_COMPOSED, uuid.UUID(row["id"]), letter.subject, letter.text)
        return True

    async def claim(self, *, lease: timedelta) -> Report | None:
        """Take a report that is due, so that nobody else sends it until the lease ends; its attempt is counted at once."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_CLAIM, lease)
        return None if row is None else Report(**{**dict(row), "copies": tuple(row["copies"])})

    async def sent(self, report: Report, *, at: datetime) -> None:
        """The mail server has taken it: the orders that it covers are reported, unless they were closed meanwhile."""
        async with self._database.transaction() as connection:
            if not await connection.fetchval(_SENT, uuid.UUID(report.id), report.attempts, at):
                return
            covered = await connection.fetch(_COVERED, uuid.UUID(report.id), uuid.UUID(report.endangered_id))
            for row in covered:
                state = state_of(row["state"])
                if state not in (State.REPORTED, State.CLOSED):
                    state = after(state, Act.REPORT, number=row["number"])
                await connection.execute(_REPORTED, row["id"], state.value, at)
                if row["number"] is not None:
                    await outbox.add(connection, reported_entry(report, row["number"], at=at))
            ends = await ended_report_problems(connection, [row["id"] for row in covered], at=at)
            await outbox.add(connection, *ends)

    async def postpone(self, report: Report, *, pause: timedelta, error: str) -> None:
        """Try again after the pause."""
        async with self._database.acquire() as connection:
            await connection.execute(_POSTPONE, uuid.UUID(report.id), report.attempts, pause, error)

    async def give_up(self, report: Report, *, error: str, problem: Envelope) -> None:
        """Try no more, and notify a person unless all its orders were closed meanwhile; another report may be written."""
        async with self._database.transaction() as connection:
            # Held, so that who closes one at this moment comes before, and nobody is notified, or after, and ends the problem.
            await connection.fetch(_COVERED, uuid.UUID(report.id), uuid.UUID(report.endangered_id))
            if await connection.fetchval(_GIVE_UP, uuid.UUID(report.id), report.attempts, error):
                await connection.execute(_UNCOVERED, uuid.UUID(report.id))
                if await is_waited_for(connection, uuid.UUID(report.id)):
                    await outbox.add(connection, problem)

    async def reports(self, endangered_id: Any) -> Sequence[Record]:
        """Return the reports on an endangered order, the newest first."""
        async with self._database.acquire() as connection:
            return await connection.fetch(_REPORTS, endangered_id)
