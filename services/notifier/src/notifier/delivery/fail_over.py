"""Fail over: a problem that a destination's channel does not take is sent to its fallback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from common.postgres import Connection, Database, Record
from common.service import apart, kept_apart
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
  AND d.state IN ('pending', 'unknown', 'sending', 'failed') AND 'delivery ' || d.id <> ALL($4::text[])
ORDER BY d.id
LIMIT $3
FOR UPDATE OF d SKIP LOCKED
FOR KEY SHARE OF i SKIP LOCKED  -- whoever acts on the incident may want its deliveries next
"""
_ADD_CHAT = """
INSERT INTO lanes (key, channel, address)
SELECT $1::text, $2::text, $3::text WHERE NOT EXISTS (SELECT FROM lanes AS l WHERE l.key = $1)
ON CONFLICT (key) DO NOTHING
"""
_ADD_DELIVERY = """
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


class FailOver:
    """A notice goes to the first fallback that it does not go to anyway. The receipt is written when it arrived there (``Outcomes``).

    The delivery that is stuck is still tried for as long as any other: people look for it where it belongs.
    """

    def __init__(self, *, database: Database, routes: Routes, patience: timedelta) -> None:
        self._database = database
        self._patience = patience
        self._routes = routes

    async def __call__(self) -> int:
        """Fail over what failed, or is critical and was not sent in time; returns how many notices were sent elsewhere.

        Each delivery once; other replicas skip what is locked.
        """
        routes = self._routes  # as the file has them now
        chains = {name: chain for name in routes.destinations if (chain := routes.fallbacks(name))}
        if not chains:
            return 0
        failed_over = 0
        async with self._database.transaction() as connection:
            for stuck in await connection.fetch(_STUCK, list(chains), self._patience, _AT_A_TIME, kept_apart()):
                with apart(f"delivery {stuck['id']}"):
                    async with connection.transaction():  # a savepoint
                        following = _following(stuck, chains)
                        if following is not None:
                            await _send_to(connection, stuck, following)
                        await connection.execute(_LEAVE, stuck["id"])
                    failed_over += following is not None
        return failed_over


def _following(stuck: Record, chains: Mapping[str, Sequence[Destination]]) -> Destination | None:
    """Return whom to notify instead; None when the problem is over or everybody knows."""
    known = {(chat, topic or None) for chat, topic in zip(stuck["lanes"], stuck["topics"], strict=True)}
    chain = () if stuck["over"] else chains[stuck["destination"]]
    return next((each for each in chain if (each.chat, each.topic) not in known), None)


async def _send_to(connection: Connection, stuck: Record, destination: Destination) -> None:
    """Enqueue the same notice for another chat, once, and say so in the incident's history."""
    await connection.execute(_ADD_CHAT, destination.chat, destination.channel, destination.address)
    await connection.execute(
        _ADD_DELIVERY,
        stuck["id"],
        destination.name,
        destination.channel,
        destination.chat,
        destination.topic,
        f"fallback of {stuck['destination']}",
    )
    why = stuck["reason"] or "not sent in time"
    await connection.execute(_HISTORY, stuck["id"], f"{stuck['destination']}: {why} → {destination.name}")
