"""The table ``reconciliation_days``, and which refunds a gateway may know."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from common.postgres import Database
from common.service import Verdict, keep_verdict
from refunds.reconciliation.model import Reconciliation

SENT_SINCE = """
SELECT r.id FROM refunds AS r
WHERE r.state_since >= $1 AND r.state_since < $2 AND ($3::uuid IS NULL OR r.id > $3)
  AND EXISTS (SELECT 1 FROM refund_attempts AS a WHERE a.refund_id = r.id
              AND (a.gateway_refund_id IS NOT NULL OR (r.state IN (7, 12) AND a.sent_at IS NOT NULL)))
ORDER BY r.id LIMIT $4
"""
# Days of which nobody wrote a row, because nothing ran, are days too.
_CLAIM_DAY = """
WITH days AS (
    SELECT greatest(coalesce(min(day), $4::date), $5::date - 30) AS first FROM reconciliation_days
), oldest AS (
    SELECT min(first + n) AS day FROM days, generate_series(0, $5::date - first) AS n
    WHERE NOT EXISTS (SELECT FROM reconciliation_days AS r WHERE r.day = first + n AND r.finished_at IS NOT NULL)
)
INSERT INTO reconciliation_days AS d (day, owner, lease_until) SELECT day, $1, $3 FROM oldest WHERE day IS NOT NULL
ON CONFLICT (day) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until
WHERE d.finished_at IS NULL AND d.lease_until <= $2
RETURNING day
"""
# The first payment stands for the beginning where nothing was reconciled yet: an empty service has nothing to reconcile. A day that was
# begun and not ended counts, too, as long as it can be claimed: those after it may have ended.
_RECONCILED = """
SELECT least(
    coalesce((SELECT max(finished_at) FROM reconciliation_days), (SELECT min(created_at) FROM payments), now()),
    (SELECT min(day)::timestamp AT TIME ZONE 'UTC' FROM reconciliation_days WHERE finished_at IS NULL AND day >= now()::date - 30)
) AS at
"""
_FINISH_DAYS = """
WITH claimed AS (
    SELECT FROM reconciliation_days WHERE day = $1 AND owner = $3 AND finished_at IS NULL FOR UPDATE
)
INSERT INTO reconciliation_days AS d (day, owner, lease_until, finished_at)
SELECT seen, $3, $4, $4 FROM claimed, unnest($2::date[]) AS seen
ON CONFLICT (day) DO UPDATE SET finished_at = excluded.finished_at WHERE d.finished_at IS NULL
"""


class ReconciliationStore:
    """Our side of a reconciliation, and which replica reconciles a day."""

    def __init__(self, database: Database, *, owner: str, lease: timedelta = timedelta(minutes=30)) -> None:
        self._database = database
        self._owner = owner
        self._lease = lease

    async def sent_since(self, since: datetime, until: datetime, *, after: str | None, limit: int) -> Sequence[str]:
        """Return ids, ascending after the given one, of refunds that changed in [since, until) and that a gateway knows."""
        position = None if after is None else UUID(after)
        async with self._database.acquire() as connection:
            rows = await connection.fetch(SENT_SINCE, since, until, position, limit)
        return [str(row["id"]) for row in rows]

    async def keep_verdict(self, found: Reconciliation, *, at: datetime) -> None:
        """Keep what a reconciliation found: differences, refunds that nobody could be asked about, registers that were not read."""
        words = f"refunds from {found.since:%Y-%m-%d} to {found.until:%Y-%m-%d} against the payment systems, both ways"
        unread = list(found.registers.values()).count("no answer")
        wrong = len(found.differences) + found.unanswered + unread + len(found.failed)
        verdict = Verdict(name="refunds", at=at, found=wrong, looked=found.examined, detail=words)
        async with self._database.transaction() as connection:
            await keep_verdict(connection, verdict)

    async def claim_day(self, last: date, *, now: datetime) -> date | None:
        """Take the oldest day up to ``last`` that is not reconciled, at most 30 back, for the length of the lease.

        None when all are, or another replica is at it: whoever walks that day walks up to now, and so those behind it.
        """
        async with self._database.acquire() as connection:
            day: date | None = await connection.fetchval(
                _CLAIM_DAY, self._owner, now, now + self._lease, now.date(), last
            )
        return day

    async def finish_days(self, day: date, seen: Sequence[date], *, now: datetime) -> None:
        """Note that the days that a run from the claimed ``day`` on has ``seen`` are reconciled; nothing where another took it."""
        async with self._database.acquire() as connection:
            await connection.execute(_FINISH_DAYS, day, seen, self._owner, now)

    async def last_reconciled(self) -> datetime:
        """Return when a day's reconciliation last ended, whichever replica did it; before the first, since when one is due."""
        async with self._database.acquire() as connection:
            at: datetime = await connection.fetchval(_RECONCILED)
        return at
