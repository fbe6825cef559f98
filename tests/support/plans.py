"""Which plans PostgreSQL really used, nested statements of functions included: ``auto_explain`` tells the session."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from common.postgres import Connection, Database

_OPTIONS = (
    "-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0 -c auto_explain.log_nested_statements=on"
    " -c auto_explain.log_level=notice -c auto_explain.log_format=json -c client_min_messages=notice"
)


class WatchedDatabase(Database):
    """A database that keeps the plan of everything that is executed through it."""

    def __init__(self, dsn: str) -> None:
        mark = "&" if "?" in dsn else "?"
        super().__init__(f"{dsn}{mark}options={quote(_OPTIONS)}", application_name="plans", command_timeout=120.0)
        self.plans: list[dict[str, Any]] = []

    @asynccontextmanager
    async def acquire(self, *, timeout: float = 5.0) -> AsyncIterator[Connection]:
        """Lend a connection whose notices are read."""
        async with super().acquire(timeout=timeout) as connection:
            connection.add_log_listener(self._heard)
            try:
                yield connection
            finally:
                connection.remove_log_listener(self._heard)

    def _heard(self, _connection: object, message: Any) -> None:
        _, _, text = str(message.message).partition("plan:\n")
        if text:
            self.plans.append(json.loads(text))

    def sequential_scans(self, tables: frozenset[str]) -> set[tuple[str, str]]:
        """Return (table, statement) of every sequential scan of one of these tables, or of a partition of it; forget all plans."""
        found: set[tuple[str, str]] = set()
        for plan in self.plans:
            for node in _nodes(plan["Plan"]):
                table = re.sub(r"_\d+$", "", node.get("Relation Name", ""))
                if node["Node Type"] == "Seq Scan" and table in tables:
                    found.add((table, " ".join(plan["Query Text"].split())[:200]))
        self.plans.clear()
        return found

    def index_conditions(self) -> set[str]:
        """Return what every index was asked for; forget all plans."""
        found = {node["Index Cond"] for plan in self.plans for node in _nodes(plan["Plan"]) if "Index Cond" in node}
        self.plans.clear()
        return found


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


async def rows_read(connection: Connection, statement: str, values: Sequence[Any]) -> int:
    """Carry a statement out and return how many rows it took from tables and indexes, those included that did not fit."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0))
        * node["Actual Loops"]
        for node in await _scans(connection, statement, values)
    )


async def scans_begun(connection: Connection, statement: str, values: Sequence[Any]) -> int:
    """Carry a statement out and return how often it began to read a table or an index: once for each row, where it looks row by row."""
    return sum(node["Actual Loops"] for node in await _scans(connection, statement, values))


async def _scans(connection: Connection, statement: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    kept = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *values)
    return [node for node in _nodes(json.loads(kept)[0]["Plan"]) if "Scan" in node["Node Type"]]
