"""Deletes what is old and at its end: calls of payment systems, differences that are over, days that were reconciled.

Refunds, payments, attempts and their history stay: they are records of money.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from common.clock import Clock
from common.postgres import Database
from common.telemetry import get_logger

_log = get_logger()

_BATCH = 2000
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('refunds.retention'))"
# The evidence of a refund that is not over stays: states 5 and 9 to 12 are the ends.
_OLD = {
    "gateway_calls": "at < $1 AND EXISTS (SELECT FROM refunds AS r WHERE r.id = t.refund_id AND r.state IN (5, 9, 10, 11, 12))",
    "refund_differences": "over_at < $1",
    "reconciliation_days": "finished_at < $1",
}
_DELETE = """
WITH gone AS (
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM {table} AS t WHERE {condition} LIMIT $2)) RETURNING 1
) SELECT count(*) FROM gone
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Deletes what is older than ``keep``, one batch a transaction. Safe in every replica: one works at a time."""

    database: Database
    clock: Clock
    keep: timedelta
    batch: int = _BATCH

    async def __call__(self) -> dict[str, int]:
        """Delete what is due; return how many rows went, by table."""
        cutoff = self.clock.now() - self.keep
        gone = dict.fromkeys(_OLD, 0)
        for table, condition in _OLD.items():
            statement = _DELETE.format(table=table, condition=condition)
            done = self.batch
            while done == self.batch:
                async with self.database.transaction() as connection:
                    if not await connection.fetchval(_LOCK):
                        return gone
                    done = int(await connection.fetchval(statement, cutoff, self.batch))
                gone[table] += done
        if any(gone.values()):
            _log.info("old_rows_deleted", **gone)
        return gone
