"""Partitions of deliveries: made ahead, dropped when they are old, and nothing undecided goes with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from common.clock import Clock
from common.postgres import Database
from common.telemetry import get_logger
from webhook_gateway.deliveries.ledger import BY_SECONDS
from webhook_gateway.deliveries.metrics import DeliveryMetrics

_log = get_logger()

_DAYS_AHEAD = 7
_BATCH = 5_000
_LONGEST_S = 600.0  # what one day may take; only writes into that same day wait for it
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('webhook_gateway.retention'))"
_MAKE = "SELECT ensure_delivery_partitions($1)"
_DAYS = """
SELECT c.relname AS name FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'deliveries'::regclass AND c.relname ~ '^deliveries_[0-9]{8}$' ORDER BY c.relname
"""
# With what nobody counted when it came in.
_TO_ARCHIVE = """
INSERT INTO ledger_archive AS a (hour, replica, source, outcome, count)
SELECT date_trunc('hour', g.received_at), g.replica, g.source, o.outcome, count(*) FROM gone AS g
CROSS JOIN LATERAL (VALUES (g.outcome), (CASE WHEN uncounted(g.replica, g.received_at) THEN 'received' END)) AS o (outcome)
WHERE g.outcome IN ('confirmed', 'spooled', 'quarantined') AND o.outcome IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
ON CONFLICT (hour, replica, source, outcome) DO UPDATE SET count = a.count + excluded.count
"""
_DROP = "SELECT drop_delivery_day($1, $2)"
_PURGE = f"""
WITH old AS (
    SELECT d.delivery_id, d.received_at FROM deliveries_default AS d
    WHERE d.received_at < $1 AND NOT delivery_undecided(d::deliveries, $1)
    ORDER BY d.received_at LIMIT $2
), gone AS (
    DELETE FROM deliveries_default AS d USING old
    WHERE d.delivery_id = old.delivery_id AND d.received_at = old.received_at
    RETURNING d.received_at, d.replica, d.source, d.outcome
), archived AS ({_TO_ARCHIVE})
SELECT count(*) FROM gone
"""  # noqa: S608 - a constant
_REFUSALS = """
WITH old AS (
    DELETE FROM refusals WHERE bucket < date_trunc('hour', $1::timestamptz) RETURNING bucket, replica, source, count
)
INSERT INTO ledger_archive AS a (hour, replica, source, outcome, count)
SELECT date_trunc('hour', g.bucket), g.replica, g.source, o.outcome, sum(g.count) FROM old AS g
CROSS JOIN LATERAL (VALUES ('refused'), (CASE WHEN uncounted(g.replica, g.bucket) THEN 'received' END)) AS o (outcome)
WHERE o.outcome IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
ON CONFLICT (hour, replica, source, outcome) DO UPDATE SET count = a.count + excluded.count
"""
_RECEIVED = """
WITH old AS (
    DELETE FROM received_requests WHERE bucket < date_trunc('hour', $1::timestamptz) RETURNING bucket, replica, source, received
)
INSERT INTO ledger_archive AS a (hour, replica, source, outcome, count)
SELECT date_trunc('hour', bucket), replica, source, 'received', sum(received) FROM old GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
ON CONFLICT (hour, replica, source, outcome) DO UPDATE SET count = a.count + excluded.count
"""
_OLD = {
    "created_orders": "acknowledged_at < $1 AND (arrived_at < $1 OR released_at < $1)",
    "countdowns": "cancels_at < $1",
    "counting_runs": "counted_until < $1::timestamptz - interval '1 day'"
    " AND EXISTS (SELECT FROM counting_runs AS n WHERE n.replica = t.replica AND n.began_at > t.began_at)",
    "disowned_deliveries": "received_at < $1",
    "spools": "records = 0 AND seen_at < $1",
    "delivery_dismissals": "dismissed_at < $1 AND NOT EXISTS (SELECT FROM deliveries AS d WHERE d.delivery_id = t.delivery_id)",
    "delivery_replays": "replayed_at < $1 AND NOT EXISTS (SELECT FROM deliveries AS d WHERE d.delivery_id = t.delivery_id)",
}
_OLD_LEDGER = "hour < $1"
_DELETE = """
WITH gone AS (
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM {table} AS t WHERE {condition} LIMIT $2)) RETURNING 1
) SELECT count(*) FROM gone
"""
_MISPLACED = "SELECT count(*) FROM deliveries_default WHERE received_at > $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkept:
    """``ahead``: coming days that have a partition already. ``misplaced``: young rows in the default partition; they are of days that no
    partition was made for in time. ``dropped``: days dropped just now."""

    ahead: int
    misplaced: int
    dropped: int


class Retention:
    """Keeps deliveries for ``keep`` and not much longer, but for what is undecided (``delivery_undecided`` in the migrations): that moves
    to the default partition and goes when it is decided. What goes stays in the ledger, by the hour. Safe to run in every replica: an
    advisory lock lets one at a time do the work.
    """

    def __init__(self, database: Database, *, keep: timedelta, keep_ledger: timedelta) -> None:
        """``keep_ledger``: how long the sums of dropped days are kept."""
        self._database = database
        self._keep = keep
        self._keep_ledger = keep_ledger

    async def __call__(self, now: datetime) -> Upkept:
        """Make the coming week's partitions, drop old days, delete what is old elsewhere. Safe to repeat after any error."""
        cutoff = now - self._keep
        dropped = 0
        async with self._database.acquire() as connection:
            await connection.execute(_MAKE, _DAYS_AHEAD)
            days = [row["name"] for row in await connection.fetch(_DAYS)]
            misplaced = await connection.fetchval(_MISPLACED, max(cutoff, now - timedelta(days=_DAYS_AHEAD)))
        for name in days:
            if _day(name) + timedelta(days=1) <= cutoff:
                dropped += await self._drop(name, cutoff)
        await self._delete(_PURGE, cutoff)
        for table, condition in _OLD.items():
            await self._delete(_DELETE.format(table=table, condition=condition), cutoff)
        async with self._database.transaction() as connection:
            if await connection.fetchval(_LOCK):
                await connection.execute(_REFUSALS, cutoff)
                await connection.execute(_RECEIVED, now - BY_SECONDS)
        await self._delete(_DELETE.format(table="ledger_archive", condition=_OLD_LEDGER), now - self._keep_ledger)
        return Upkept(ahead=sum(1 for name in days if _day(name) > now), misplaced=misplaced, dropped=dropped)

    async def _drop(self, day: str, cutoff: datetime) -> int:
        """Drop one day in one transaction: what is undecided moves, the rest is added to the archive.

        By a function of the database, with its owner's rights: this account may not drop a table.
        """
        async with self._database.transaction() as connection:
            if not await connection.fetchval(_LOCK) or await connection.fetchval("SELECT to_regclass($1)", day) is None:
                return 0
            kept = await connection.fetchval(_DROP, day, cutoff, timeout=_LONGEST_S)
        _log.info("deliveries_dropped", partition=day, kept=kept)
        return 1

    async def _delete(self, statement: str, cutoff: datetime) -> None:
        """Delete in small transactions, so that nobody waits for long."""
        done = _BATCH
        while done == _BATCH:
            async with self._database.transaction() as connection:
                if not await connection.fetchval(_LOCK):
                    return
                done = await connection.fetchval(statement, cutoff, _BATCH, timeout=_LONGEST_S)


def _day(name: str) -> datetime:
    return datetime.strptime(name.removeprefix("deliveries_"), "%Y%m%d").replace(tzinfo=UTC)


async def retention_job(retention: Retention, clock: Clock, metrics: DeliveryMetrics) -> None:
    """Run the retention once, and show the partitions."""
    kept = await retention(clock.now())
    metrics.partitions(ahead=kept.ahead, misplaced=kept.misplaced)
