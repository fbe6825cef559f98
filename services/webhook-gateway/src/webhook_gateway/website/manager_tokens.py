"""Which tokens ever were a manager's: a website that still sends a rotated one has lost the way past the limits."""

from __future__ import annotations

from collections.abc import Callable

from common.postgres import Database

_REMEMBER = """
INSERT INTO manager_tokens AS kept (digest) SELECT unnest($1::bytea[])
ON CONFLICT (digest) DO UPDATE SET last_seen = now()
"""
_ALL = "SELECT digest FROM manager_tokens"


class ManagerTokens:
    """Knows SHA-256 digests only. In memory on the way of an order; the database is asked now and then."""

    def __init__(self, database: Database, current: Callable[[], frozenset[bytes]]) -> None:
        self._database = database
        self._current = current
        self._known: frozenset[bytes] = frozenset()

    def was_manager(self, digest: bytes) -> bool:
        """Say whether a token with this digest is, or ever was, a manager's."""
        return digest in self._known or digest in self._current()

    async def refresh(self) -> None:
        """Write down the tokens of today and read those of all time."""
        current = self._current()
        async with self._database.acquire() as connection:
            await connection.execute(_REMEMBER, sorted(current))
            rows = await connection.fetch(_ALL)
        self._known = current | {bytes(row["digest"]) for row in rows}
