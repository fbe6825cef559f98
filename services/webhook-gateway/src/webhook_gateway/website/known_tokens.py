"""Which tokens ever were a website's or a manager's: whoever still sends a rotated one is ours, and has lost the way in."""

from __future__ import annotations

from collections.abc import Callable

from common.postgres import Database

_TABLES = {"website": "website_tokens", "website_manager": "manager_tokens"}
_REMEMBER = """
INSERT INTO {table} AS kept (digest) SELECT unnest($1::bytea[])
ON CONFLICT (digest) DO UPDATE SET last_seen = now()
"""
_ALL = "SELECT digest FROM {table}"


class KnownTokens:
    """Knows SHA-256 digests only. In memory on the way of an order; the database is asked now and then."""

    def __init__(self, database: Database, current: Callable[[str], frozenset[bytes]]) -> None:
        """``current`` gives the digests of today's tokens of a role."""
        self._database = database
        self._current = current
        self._known: dict[str, frozenset[bytes]] = {role: frozenset() for role in _TABLES}

    def role_of(self, digest: bytes) -> str | None:
        """Return the role that a token with this digest has, or had; None when it never was one of a website."""
        return next((role for role in _TABLES if digest in self._known[role] or digest in self._current(role)), None)

    async def refresh(self) -> None:
        """Write down the tokens of today and read those of all time."""
        for role, table in _TABLES.items():
            today = self._current(role)
            async with self._database.acquire() as connection:
                await connection.execute(_REMEMBER.format(table=table), sorted(today))
                rows = await connection.fetch(_ALL.format(table=table))
            self._known[role] = self._known[role] | today | {bytes(row["digest"]) for row in rows}
