"""Which tokens were a website's or a manager's: whoever still sends a rotated one is ours, and has lost the way in.

That ends some weeks after the rotation, and at once where the file of tokens says that a token is revoked: what leaked is anybody's.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from common.postgres import Database

_TABLES = {"website": "website_tokens", "website_manager": "manager_tokens"}
_REMEMBER = """
INSERT INTO {table} AS kept (digest) SELECT unnest($1::bytea[])
ON CONFLICT (digest) DO UPDATE SET last_seen = now()
"""
_FORGET = "DELETE FROM {table} WHERE digest = ANY($1::bytea[]) OR last_seen < now() - $2::interval"
_ALL = "SELECT digest FROM {table}"
_OURS_FOR = timedelta(days=30)
"""After a token has left the file; until then every sender has met the refusals of it."""


class KnownTokens:
    """Knows SHA-256 digests only. In memory on the way of an order; the database is asked now and then."""

    def __init__(
        self,
        database: Database,
        current: Callable[[str], frozenset[bytes]],
        *,
        revoked: Callable[[], frozenset[bytes]],
        ours_for: timedelta = _OURS_FOR,
    ) -> None:
        """``current`` gives the digests of today's tokens of a role, ``revoked`` those that are nobody's.

        ``ours_for``: how long a token that has left the file still counts as ours.
        """
        self._database = database
        self._current = current
        self._revoked = revoked
        self._ours_for = ours_for
        self._known: dict[str, frozenset[bytes]] = {role: frozenset() for role in _TABLES}

    def role_of(self, digest: bytes) -> str | None:
        """Return the role that a token with this digest has, or had not long ago; None when it is none of a website's, or revoked."""
        if digest in self._revoked():
            return None
        return next((role for role in _TABLES if digest in self._known[role] or digest in self._current(role)), None)

    async def refresh(self) -> None:
        """Write down the tokens of today, forget those that are ours no more, and read those that are left."""
        for role, table in _TABLES.items():
            today = self._current(role)
            async with self._database.acquire() as connection:
                await connection.execute(_REMEMBER.format(table=table), sorted(today))
                await connection.execute(_FORGET.format(table=table), sorted(self._revoked()), self._ours_for)
                rows = await connection.fetch(_ALL.format(table=table))
            self._known[role] = today | {bytes(row["digest"]) for row in rows}
