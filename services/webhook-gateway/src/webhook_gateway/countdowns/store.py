"""Countdowns in the gateway's database, shared by its replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from common.postgres import Database
from webhook_gateway.countdowns.model import Miss, OpenCountdowns, RefusedCreated

# A countdown that ran out, or was stopped and would have run out by now, belongs to the past: a new miss starts anew.
_SAVE = """
INSERT INTO countdowns AS c (source, external_id, number, started_at, cancels_at, missed_at, status, reason, replica)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::integer[],
                     $8::text[], $9::text[])
       AS new (source, external_id, number, started_at, cancels_at, missed_at, status, reason, replica)
ORDER BY source, external_id
ON CONFLICT (source, external_id) DO UPDATE SET
    started_at = CASE WHEN c.answered_at < excluded.missed_at AND c.cancels_at < excluded.started_at
                      THEN excluded.started_at ELSE least(c.started_at, excluded.started_at) END,
    cancels_at = CASE WHEN c.answered_at < excluded.missed_at AND c.cancels_at < excluded.started_at
                      THEN excluded.cancels_at ELSE least(c.cancels_at, excluded.cancels_at) END,
    missed_at = greatest(c.missed_at, excluded.missed_at),
    status = CASE WHEN excluded.missed_at >= c.missed_at THEN excluded.status ELSE c.status END,
    reason = CASE WHEN excluded.missed_at >= c.missed_at THEN excluded.reason ELSE c.reason END,
    replica = CASE WHEN excluded.missed_at >= c.missed_at THEN excluded.replica ELSE c.replica END
"""
_RUNNING = "(c.answered_at IS NULL OR c.answered_at <= c.missed_at)"
_LOCK = f"""
SELECT pg_try_advisory_xact_lock(hashtext('webhook_gateway.countdowns')) AS ours,
       EXISTS (SELECT FROM countdowns AS c WHERE {_RUNNING} AND c.cancels_at > now() - interval '7 days') AS running
"""  # noqa: S608 - a constant
# Only while something runs: to open every day's partition costs more than all else that is done in a second.
# A delivery that was answered late is as old as its own miss, so it does not stop the countdown that it started.
_STOP = f"""
UPDATE countdowns AS c SET answered_at = good.at
FROM (
    SELECT c.source, c.external_id, max(d.received_at) AS at
    FROM countdowns AS c
    JOIN deliveries AS d ON d.external_id = c.external_id AND d.received_at > c.missed_at
     AND d.source = c.source AND d.event = 'order.created' AND d.status BETWEEN 200 AND 299
     AND d.outcome IN ('confirmed', 'spooled', 'quarantined')
    WHERE {_RUNNING} AND c.cancels_at > now() - interval '7 days'
    GROUP BY c.source, c.external_id
) AS good
WHERE c.source = good.source AND c.external_id = good.external_id AND {_RUNNING}
"""  # noqa: S608 - a constant
_REFUSED = """
SELECT d.source, d.external_id, min(d.received_at) AS received_at, max(d.status) AS status
FROM deliveries AS d
WHERE d.outcome = 'quarantined' AND d.received_at > now() - interval '1 hour' AND d.status >= 300
  AND d.event = 'order.created' AND d.external_id IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM countdowns AS c WHERE c.source = d.source AND c.external_id = d.external_id AND c.missed_at >= d.received_at
  )
GROUP BY d.source, d.external_id
"""
_OPEN = f"""
SELECT c.source, count(*) FILTER (WHERE c.cancels_at > now()) AS running, min(c.cancels_at) FILTER (WHERE c.cancels_at > now()) AS nearest,
       count(*) FILTER (WHERE c.cancels_at <= now()) AS expired
FROM countdowns AS c WHERE {_RUNNING} AND c.cancels_at > now() - interval '1 day' GROUP BY c.source
"""  # noqa: S608 - a constant
_STATES = {
    "running": f"{_RUNNING} AND c.cancels_at > now()",
    "expired": f"{_RUNNING} AND c.cancels_at <= now()",
    "answered": f"NOT {_RUNNING}",
}
_PAGE = """
SELECT c.source, c.external_id, c.number, c.started_at, c.cancels_at, c.missed_at, c.status, c.reason, c.replica, c.answered_at,
       CASE WHEN c.answered_at > c.missed_at THEN 'answered' WHEN c.cancels_at > now() THEN 'running' ELSE 'expired' END AS state,
       greatest(0, extract(epoch FROM c.cancels_at - now()))::float8 AS remaining_seconds
FROM countdowns AS c
WHERE {condition} AND ($1::timestamptz IS NULL OR (c.cancels_at, c.number) > ($1, $2::text))
ORDER BY c.cancels_at, c.number LIMIT $3
"""


class CountdownStore:
    """Countdowns of all replicas; each method is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def save(self, misses: Sequence[Miss]) -> None:
        """Start countdowns, or let them run on. Each order at most once in ``misses``; writing the same again changes nothing."""
        if not misses:
            return
        async with self.database.acquire() as connection:
            await connection.execute(_SAVE, *zip(*map(astuple, misses), strict=True))  # in the order of the columns

    async def settle(self) -> Sequence[RefusedCreated]:
        """Stop what was answered well since; return recorded refusals without a countdown. Only one replica at a time does it."""
        async with self.database.transaction() as connection:
            [(ours, running)] = await connection.fetch(_LOCK)
            if not ours:
                return ()
            if running:
                await connection.execute(_STOP)
            rows = await connection.fetch(_REFUSED)
        return [RefusedCreated(**dict(row)) for row in rows]

    async def open_countdowns(self) -> Sequence[OpenCountdowns]:
        """Return how things stand, by source."""
        async with self.database.acquire() as connection:
            rows = await connection.fetch(_OPEN)
        return [OpenCountdowns(**dict(row)) for row in rows]


def select_countdowns(
    *, state: str | None, number: str | None = None, after: tuple[Any, ...] | None, limit: int
) -> tuple[str, list[Any]]:
    """Return the statement of countdowns, those that end first at the top, behind the position (cancels_at, number), and its values.

    ``number``: of this order only.
    """
    condition = "true" if state is None else _STATES[state]
    of_order, values = ("", []) if number is None else (" AND c.number = $4", [number])
    return _PAGE.format(condition=condition + of_order), [*(after or (None, None)), limit, *values]
