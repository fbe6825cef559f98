"""How long endangered orders, reports and what orders are recognised by are kept."""

from __future__ import annotations

from datetime import timedelta

from common.clock import Clock
from common.postgres import Database
from webhook_gateway.website.contents import forget_contents

_BATCH = 1000
# What nobody has decided about stays, however old, but for requests of strangers.
_STATEMENTS = (
    """
    DELETE FROM endangered_reports WHERE id IN (
        SELECT id FROM endangered_reports WHERE state IN ('sent', 'failed') AND created_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    """,
    """
    DELETE FROM endangered_orders WHERE id IN (
        SELECT id FROM endangered_orders AS e
        WHERE received_at < $1 AND (anonymous OR state IN ('resubmitted', 'reported', 'closed'))
          AND greatest(resubmitted_at, reported_at, closed_at, arrived_at, received_at) < $1
          AND NOT EXISTS (SELECT FROM endangered_reports AS r WHERE r.endangered_id = e.id)
          AND NOT EXISTS (SELECT FROM endangered_report_orders AS r WHERE r.endangered_id = e.id)
        LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    """,
    """
    DELETE FROM website_arrivals WHERE number IN (
        SELECT number FROM website_arrivals WHERE received_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    """,
    """
    DELETE FROM anonymous_refusals WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM anonymous_refusals WHERE hour < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
    ))
    """,
)


class EndangeredRetention:
    """Deletes in small transactions. Safe to run in every replica at once, and to repeat after any error."""

    def __init__(self, database: Database, *, keep: timedelta, clock: Clock) -> None:
        self._database = database
        self._keep = keep
        self._clock = clock

    async def __call__(self) -> None:
        """Delete what is older than it has to be kept."""
        cutoff = self._clock.now() - self._keep
        for statement in _STATEMENTS:
            done = _BATCH
            while done == _BATCH:
                async with self._database.acquire() as connection:
                    status = await connection.execute(statement, cutoff, _BATCH)
                done = int(status.rpartition(" ")[2])
        async with self._database.acquire() as connection:
            await forget_contents(connection, before=cutoff)
