"""Fail over: what a channel does not take about a problem is told by the next one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from common.postgres import Connection, Database
from notifier.routing.model import Destination, Routes

_AT_A_TIME = 100
_STUCK = """
SELECT d.id, d.destination, d.reason, i.state = 'resolved' AS over,
       ARRAY(SELECT o.lane FROM deliveries AS o WHERE o.notice_id = d.notice_id ORDER BY o.id) AS lanes,
       ARRAY(SELECT coalesce(o.topic, 0) FROM deliveries AS o WHERE o.notice_id = d.notice_id ORDER BY o.id) AS topics
FROM deliveries AS d
JOIN notices AS n ON n.id = d.notice_id
JOIN incidents AS i ON i.id = n.incident_id
WHERE d.failed_over_at IS NULL AND d.subject LIKE 'incident:%' AND d.destination = ANY($1::text[])
  AND (d.state = 'failed' OR d.state IN ('pending', 'unknown') AND d.priority <= 1 AND d.created_at < now() - $2::interval)
  AND d.state IN ('pending', 'unknown', 'sending', 'failed')
ORDER BY d.id
LIMIT $3
FOR UPDATE OF d SKIP LOCKED
FOR KEY SHARE OF i SKIP LOCKED  -- whoever acts on the incident may want its deliveries next
"""
_LANE = """
INSERT INTO lanes (key, channel, address)
SELECT $1::text, $2::text, $3::text WHERE NOT EXISTS (SELECT FROM lanes AS l WHERE l.key = $1)
ON CONFLICT (key) DO NOTHING
"""
_TELL = """
INSERT INTO deliveries (notice_id, subject, sequence, destination, channel, lane, topic, route, priority, page_group, fallback_of)
SELECT notice_id, subject, sequence, $2, $3, $4, $5, $6, priority, page_group, id FROM deliveries WHERE id = $1
ON CONFLICT (notice_id, destination) DO NOTHING
"""
_HISTORY = """
INSERT INTO incident_history (incident_id, actor, act, text)
SELECT n.incident_id, 'notifier', 'failover', $2
FROM deliveries AS d JOIN notices AS n ON n.id = d.notice_id WHERE d.id = $1
"""
_LEAVE = "UPDATE deliveries SET failed_over_at = now() WHERE id = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A delivery about a problem that failed, or a critical one that waits for too long. ``told``: where its notice goes already."""

    delivery_id: int
    destination: str
    reason: str | None
    over: bool
    told: frozenset[tuple[str, int | None]]


class FailOver:
    """A notice goes to the first fallback that it does not go to anyway. The receipt is written when it arrived there (``Outcomes``).

    The delivery that is stuck is still tried for as long as any other: people look for it where it belongs.
    """

    def __init__(
        self,
        *,
        database: Database,
        routes: Routes,
        patience: timedelta,
    ) -> None:
        self._database = database
        self._routes = routes
        self._patience = patience
        self._chains = {name: chain for name in routes.destinations if (chain := routes.fallbacks(name))}

    async def __call__(self) -> int:
        """Fail over what has to; returns how many notices were told elsewhere."""
        if not self._chains:
            return 0
        told = 0
        async with self._database.transaction() as connection:
            failovers = FailoverStore(connection)
            for stuck in await failovers.stuck(list(self._chains), patience=self._patience, limit=_AT_A_TIME):
                chain = () if stuck.over else self._chains[stuck.destination]
                following = next((each for each in chain if (each.lane, each.topic) not in stuck.told), None)
                if following is None:
                    await failovers.leave(stuck)
                    continue
                why = stuck.reason or "not sent in time"
                await failovers.tell(
                    stuck,
                    following,
                    route=f"fallback of {stuck.destination}",
                    text=f"{stuck.destination}: {why} → {following.name}",
                )
                told += 1
        return told


class FailoverStore:
    """Deliveries that did not arrive, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def stuck(self, destinations: Collection[str], *, patience: timedelta, limit: int) -> Sequence[Stuck]:
        """Lock and return deliveries to these destinations that failed, or are critical and not sent after ``patience``.

        Each only until ``tell`` or ``leave`` was called for it; other replicas skip what is locked.
        """
        rows = await self._connection.fetch(_STUCK, list(destinations), patience, limit)
        return [
            Stuck(
                delivery_id=row["id"],
                destination=row["destination"],
                reason=row["reason"],
                over=row["over"],
                told=frozenset((lane, topic or None) for lane, topic in zip(row["lanes"], row["topics"], strict=True)),
            )
            for row in rows
        ]

    async def tell(self, stuck: Stuck, destination: Destination, *, route: str, text: str) -> None:
        """Put the same notice into another lane, once, and say so in the incident's history."""
        await self._connection.execute(_LANE, destination.lane, destination.channel, destination.address)
        await self._connection.execute(
            _TELL,
            stuck.delivery_id,
            destination.name,
            destination.channel,
            destination.lane,
            destination.topic,
            route,
        )
        await self._connection.execute(_HISTORY, stuck.delivery_id, text)
        await self.leave(stuck)

    async def leave(self, stuck: Stuck) -> None:
        """There is nobody else to tell."""
        await self._connection.execute(_LEAVE, stuck.delivery_id)
