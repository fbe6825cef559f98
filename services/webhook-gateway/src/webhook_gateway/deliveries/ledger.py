"""The ledger: what came in, counted where it came in, and what became of it, counted by outcomes. The two can differ, and are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from common.clock import Clock
from common.postgres import Connection, Database, Record
from common.service import Verdict, keep_verdict
from webhook_gateway.deliveries.check_ledger import in_spools
from webhook_gateway.deliveries.metrics import DeliveryMetrics
from webhook_gateway.durable.spool_states import SpoolStates

BY_SECONDS = timedelta(days=2)
"""How long it is known by the second what came in; older periods are by whole hours."""

# Days that retention has dropped count by whole hours. ``uncounted``: of replicas that never counted what came in.
_OUTCOMES = """
WITH counting AS (SELECT DISTINCT replica AS name FROM counting_runs)
SELECT replica, source, outcome, sum(count)::bigint AS count, sum(uncounted)::bigint AS uncounted FROM (
    SELECT replica, source, outcome, count, CASE WHEN name IS NULL THEN count ELSE 0 END AS uncounted FROM (
        SELECT replica, source, outcome, count(*) AS count FROM deliveries
        WHERE received_at >= $1 AND received_at < $2 AND outcome IN ('confirmed', 'spooled', 'quarantined')
        GROUP BY 1, 2, 3
        UNION ALL
        SELECT replica, source, 'refused', sum(count) FROM refusals WHERE bucket >= $1 AND bucket < $2 GROUP BY 1, 2
    ) AS recorded LEFT JOIN counting ON name = replica
    UNION ALL
    SELECT replica, source, outcome, sum(count), 0 FROM ledger_archive
    WHERE hour >= $1 AND hour < $2 AND outcome <> 'received'
    GROUP BY 1, 2, 3
) AS sums
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
# Where a replica did not count for a while, because it was killed, what is known to have come in then.
_RECEIVED = """
SELECT replica, source, sum(count)::bigint AS count FROM (
    SELECT replica, source, sum(received) AS count FROM received_requests WHERE bucket >= $1 AND bucket < $2 GROUP BY 1, 2
    UNION ALL
    SELECT replica, source, sum(count) FROM ledger_archive WHERE hour >= $1 AND hour < $2 AND outcome = 'received' GROUP BY 1, 2
    UNION ALL
    SELECT d.replica, d.source, count(*) FROM uncounted_spans AS u
    JOIN deliveries AS d ON d.replica = u.replica AND d.received_at >= greatest(u.since, $1) AND d.received_at < least(u.until, $2)
    WHERE d.outcome IN ('confirmed', 'spooled', 'quarantined') GROUP BY 1, 2
    UNION ALL
    SELECT r.replica, r.source, sum(r.count) FROM uncounted_spans AS u
    JOIN refusals AS r ON r.replica = u.replica AND r.bucket >= greatest(u.since, $1) AND r.bucket < least(u.until, $2) GROUP BY 1, 2
) AS sums
GROUP BY 1, 2
"""
_REASONS = """
SELECT source, reason, sum(count)::bigint AS count FROM refusals WHERE bucket >= $1 AND bucket < $2
GROUP BY 1, 2 ORDER BY count DESC, source, reason
"""
_SETTLED = timedelta(minutes=1)
_REMEMBERED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Line:
    """A count of the ledger; ``outcome`` is one of the four, or ``received``. ``waiting``: it is in a spool, and not yet recorded."""

    replica: str
    source: str
    outcome: str
    count: int
    waiting: bool = False


async def ledger_lines(connection: Connection, since: datetime, until: datetime) -> list[Line]:
    """Return what was received in ``[since, until)`` and what became of it."""
    lines: list[Line] = []
    received: Counter[tuple[str, str]] = Counter()
    for row in await connection.fetch(_OUTCOMES, since, until):
        lines.append(Line(row["replica"], row["source"], row["outcome"], row["count"]))
        received[row["replica"], row["source"]] += row["uncounted"]
    for row in await connection.fetch(_RECEIVED, since, until):
        received[row["replica"], row["source"]] += row["count"]
    return lines + [Line(*key, "received", count) for key, count in received.items() if count]


def difference(lines: Sequence[Line]) -> int:
    """Return how many more came in than there are outcomes."""
    return sum(line.count if line.outcome == "received" else -line.count for line in lines)


def spooled(lines: Sequence[Line], held: Counter[str]) -> list[Line]:
    """Return as ``spooled`` what has come in, has no outcome yet and waits in the spool of its replica; take it out of ``held``."""
    differ = dict.fromkeys(sorted({(line.replica, line.source) for line in lines}), 0)
    for line in lines:
        differ[line.replica, line.source] += line.count if line.outcome == "received" else -line.count
    found = []
    for replica in sorted({line.replica for line in lines}):
        left = in_spools(sum(count for (where, _), count in differ.items() if where == replica), held[replica])
        held[replica] -= left
        for (where, source), count in differ.items():
            if where == replica and (here := in_spools(count, left)):
                found.append(Line(replica, source, "spooled", here, waiting=True))
                left -= here
    return found


class Ledger:
    """Reads the ledger, for people and for the alert. What waits in the spool of any replica has its outcome, and is no loss."""

    def __init__(self, database: Database, spools: SpoolStates) -> None:
        self._database = database
        self.spools = spools

    async def lines(self, since: datetime, until: datetime, *, held: Counter[str] | None = None) -> list[Line]:
        """Return what was received in ``[since, until)`` and what became of it.

        ``held`` is what is left of the spools for several periods, asked for before the first; without it, what has come in since has the
        first claim on them, so that periods that are asked for one by one count no record twice. What is relayed in between is then taken
        for less of what differs, never for more.
        """
        alone, held = held is None, await self.spools.held(until) if held is None else held
        async with self._database.acquire() as connection:
            if alone and held.total() and until < (now := self.spools.clock.now()):
                spooled(await ledger_lines(connection, until, now), held)
            lines = await ledger_lines(connection, since, until)
        return lines + spooled(lines, held)

    async def reasons(self, since: datetime, until: datetime) -> list[Record]:
        """Return why requests were refused, by source, the most first; of days that retention has dropped nothing is known."""
        async with self._database.acquire() as connection:
            return await connection.fetch(_REASONS, since, until)

    async def keep_verdict(self, differs: int, *, minutes: int, at: datetime) -> None:
        """Keep what the last look at some minutes found, unless there was none to look at."""
        if minutes:
            words = f"requests whose receipt and outcome do not add up; minutes of the last hour looked at: {minutes}"
            async with self._database.transaction() as connection:
                await keep_verdict(
                    connection, Verdict(name="ledger", at=at, found=differs, looked=minutes, detail=words)
                )


class WatchLedger:
    """Compares each minute a minute after it is over, and again while the two differ: what is recorded late comes right by itself."""

    def __init__(self, ledger: Ledger, *, clock: Clock, metrics: DeliveryMetrics) -> None:
        self._ledger = ledger
        self._clock = clock
        self._metrics = metrics
        self._open: list[datetime] = []
        self._next = _minute(clock.now())

    async def step(self) -> None:
        """Compare what is due, and show the sum of what differs within the last hour."""
        now = self._clock.now()
        due = [minute for minute in self._open if minute >= now - _REMEMBERED]
        while self._next + 2 * _SETTLED <= now:
            due.append(self._next)
            self._next = max(self._next + _SETTLED, _minute(now - _REMEMBERED))
        self._open = due
        held = await self._ledger.spools.held(now)
        looked = {minute: await self._ledger.lines(minute, minute + _SETTLED, held=held) for minute in due}
        differing = {minute: abs(difference(lines)) for minute, lines in looked.items()}
        # What a spool explains is looked at again: it may be lost with its spool.
        self._open = [at for at in due if differing[at] or any(line.waiting for line in looked[at])]
        differs = sum(differing.values())
        self._metrics.ledger_difference(differs)
        await self._ledger.keep_verdict(differs, minutes=len(due), at=now)


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
