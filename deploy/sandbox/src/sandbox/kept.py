"""What the outside world still knows after the sandbox has stopped: money, and what was said, are not forgotten by a new start."""

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

Thing = TypeVar("Thing")

_OPEN = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS kept (kind text NOT NULL, name text NOT NULL, body text NOT NULL, PRIMARY KEY (kind, name));
"""
_PUT = "INSERT INTO kept VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body"
_FORGET_OLD = """
DELETE FROM kept WHERE rowid IN (
    SELECT row FROM (SELECT rowid AS row, row_number() OVER (PARTITION BY kind ORDER BY rowid DESC) AS age FROM kept) WHERE age > ?
)
"""
_ALL = "SELECT name, body FROM kept WHERE kind = ? ORDER BY rowid"


class Kept:
    """Things by kind and name, in a file or, without one, in memory alone.

    What `put` was given survives the death of the process as soon as it returns. Of each kind the newest `limit` are kept: older ones
    go when the file is opened. Raises sqlite3.Error when the file is none of ours or cannot be written.
    """

    def __init__(self, file: Path | None = None, *, limit: int = 100_000) -> None:
        self._forms: dict[type[Any], TypeAdapter[Any]] = {}
        self._rows = sqlite3.connect(file or ":memory:", isolation_level=None, check_same_thread=False)
        self._rows.executescript(_OPEN)
        self._rows.execute(_FORGET_OLD, (limit,))

    def put(self, kind: str, name: str, thing: Any) -> None:
        """Keep a thing as it is now; it stays at the place where it first came. Half a character cannot be written: not kept."""
        with suppress(ValueError):
            self._rows.execute(_PUT, (kind, name, self._form(type(thing)).dump_json(thing).decode()))

    def all(self, kind: str, form: type[Thing]) -> dict[str, Thing]:
        """Return everything of a kind by name, oldest first."""
        return {name: self._form(form).validate_json(body) for name, body in self._rows.execute(_ALL, (kind,))}

    def forget(self, *kinds: str) -> None:
        """Forget everything of these kinds."""
        self._rows.executemany("DELETE FROM kept WHERE kind = ?", [(kind,) for kind in kinds])

    def close(self) -> None:
        """Let go of the file."""
        self._rows.close()

    def _form(self, form: type[Any]) -> TypeAdapter[Any]:
        if form not in self._forms:
            self._forms[form] = TypeAdapter(form)
        return self._forms[form]
