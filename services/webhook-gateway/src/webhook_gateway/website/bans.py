"""Who may not order just now: noted when an order is refused, shown to people, lifted by them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.postgres import Connection, Database, Record

_MOST_NOTED = 10_000
# A ban that had ended, or was lifted, begins anew. What was refused before somebody lifted it is no new ban.
_NOTE = """
INSERT INTO order_bans AS kept (key, kind, value, source, since, until, refused, refused_at)
SELECT key, kind, value, source, now() - first * interval '1 second', now() + ends * interval '1 second', refused,
       now() - last * interval '1 second'
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::float8[], $7::float8[], $8::bigint[])
     AS new (key, kind, value, source, first, last, ends, refused)
ORDER BY key
ON CONFLICT (key) DO UPDATE SET
    since = CASE WHEN kept.until < excluded.since OR kept.lifted_at IS NOT NULL THEN excluded.since ELSE kept.since END,
    refused = excluded.refused
            + CASE WHEN kept.until < excluded.since OR kept.lifted_at IS NOT NULL THEN 0 ELSE kept.refused END,
    until = CASE WHEN kept.lifted_at IS NULL THEN greatest(kept.until, excluded.until) ELSE excluded.until END,
    value = excluded.value, source = excluded.source, refused_at = excluded.refused_at, lifted_at = NULL
WHERE kept.lifted_at IS NULL OR kept.lifted_at < excluded.refused_at
"""
_LIFTED = "SELECT key, lifted_at FROM order_bans WHERE lifted_at > now() - interval '1 minute'"
_FORGET = """
DELETE FROM order_bans WHERE key IN (
    SELECT key FROM order_bans WHERE until < now() - interval '1 day' LIMIT 10000 FOR UPDATE SKIP LOCKED
)
"""
_PAGE = """
SELECT encode(key, 'hex') AS id, kind, value, source, since, until, refused, refused_at FROM order_bans
WHERE until > now() AND lifted_at IS NULL
  AND ($1::text IS NULL OR kind = $1) AND ($2::bytea[] IS NULL OR key = ANY($2))
  AND ($3::timestamptz IS NULL OR (since, encode(key, 'hex')) < ($3, $4))
ORDER BY since DESC, id DESC LIMIT $5
"""
_FREE = "DELETE FROM order_limits WHERE key = ANY($1::bytea[]) RETURNING key"
_LIFT = """
UPDATE order_bans SET lifted_at = clock_timestamp() WHERE key = ANY($1::bytea[]) AND lifted_at IS NULL
RETURNING encode(key, 'hex') AS id, kind, since, until, refused
"""


@dataclass(slots=True)
class _Noted:
    kind: str
    value: str
    source: str
    first: float
    last: float
    ends: float
    refused: int = 1


def select_bans(
    *, kind: str | None, keys: Sequence[bytes] | None, after: tuple[Any, ...] | None, limit: int
) -> tuple[str, list[Any]]:
    """Return the statement of bans that hold, the newest first, behind the position (since, id), and its values."""
    return _PAGE, [kind, keys, *(after or (None, None)), limit]


class Bans:
    """Refusals are noted in memory, where an order waits for nothing, and written down once a second; what a crash forgets is noted again
    at the next refusal. ``lifted`` is called with the key of each ban that somebody lifted, at whatever replica, within seconds.
    """

    def __init__(self, database: Database, *, monotonic: Callable[[], float]) -> None:
        self._database = database
        self._monotonic = monotonic
        self._noted: dict[bytes, _Noted] = {}
        self._lifts: dict[bytes, datetime] = {}
        self.lifted: Callable[[bytes], None] = lambda key: None

    def refused(self, key: bytes, kind: str, value: str, *, source: str, seconds: float) -> None:
        """Note an order that was refused, and in how many seconds the next one would not be."""
        now = self._monotonic()
        noted = self._noted.get(key)
        if noted is not None:
            noted.last, noted.ends, noted.refused = now, now + seconds, noted.refused + 1
        elif len(self._noted) < _MOST_NOTED:
            self._noted[key] = _Noted(kind, value, source, now, now, now + seconds)

    async def sync(self) -> None:
        """Learn what was lifted, and write down what was noted. When the database is away this raises, and nothing is forgotten."""
        async with self._database.acquire() as connection:
            lifts = {bytes(row["key"]): row["lifted_at"] for row in await connection.fetch(_LIFTED)}
        for key, at in lifts.items():
            if self._lifts.get(key) != at:
                self.forget_here([key])  # what was refused since was refused from memory
        self._lifts = lifts
        noted, self._noted = self._noted, {}
        if not noted:
            return
        try:
            async with self._database.acquire() as connection:
                await connection.execute(_NOTE, *_columns(noted, self._monotonic()))
        except BaseException:
            self._noted = {**noted, **self._noted}
            raise

    async def forget(self) -> None:
        """Delete what ended a day ago."""
        async with self._database.acquire() as connection:
            await connection.execute(_FORGET)

    async def lift(self, connection: Connection, keys: Sequence[bytes]) -> tuple[bool, Sequence[Record]]:
        """Forget what was counted under these keys. Return whether anything was, and the bans that ended."""
        ended = await connection.fetch(_LIFT, list(keys))
        freed = await connection.fetch(_FREE, list(keys))
        return bool(ended or freed), ended

    def forget_here(self, keys: Sequence[bytes]) -> None:
        """Let orders with these keys pass at this replica at once."""
        for key in keys:
            self._noted.pop(key, None)
            self.lifted(key)


def _columns(noted: dict[bytes, _Noted], now: float) -> tuple[list[Any], ...]:
    items = noted.values()
    return (
        list(noted),
        [item.kind for item in items],
        [item.value for item in items],
        [item.source for item in items],
        [now - item.first for item in items],
        [now - item.last for item in items],
        [item.ends - now for item in items],
        [item.refused for item in items],
    )
