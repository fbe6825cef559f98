"""A connection on which something else happens right before one of its statements: what another process does meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from common.postgres import Connection

_ASKING = ("execute", "executemany", "fetch", "fetchrow", "fetchval")


class InterruptedConnection:
    """Passes everything on, and counts the statements."""

    def __init__(self, connection: Connection, *, at: int, by: Callable[[], Awaitable[Any]]) -> None:
        """Have ``by`` happen before the statement number ``at``, counted from 0."""
        self._connection = connection
        self._at = at
        self._by = by
        self.statements = 0

    def __getattr__(self, name: str) -> Any:
        """Return what the connection has, interrupted where it asks the database."""
        asked = getattr(self._connection, name)
        if name not in _ASKING:
            return asked

        async def ask(*arguments: Any) -> Any:
            if self.statements == self._at:
                await self._by()
            self.statements += 1
            return await asked(*arguments)

        return ask

    @property
    def itself(self) -> Connection:
        """Itself, as what it stands in for."""
        return cast("Connection", self)
