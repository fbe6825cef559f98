"""SQL conditions that are really asked for: the planner then sees which index serves a search.

``$1 IS NULL OR column = $1`` would be one statement for all searches, and one plan for all of them: the worst.
"""

from __future__ import annotations

from typing import Any

from common.postgres import Database, Record


class Filters:
    """Conditions joined by AND, and the values of their parameters. Conditions are constants of ours, values never are part of them."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._conditions: list[str] = []

    def add(self, condition: str, *values: Any) -> None:
        """Add a condition with ``{}`` where each value belongs."""
        self._conditions.append(condition.format(*(self.place(value) for value in values)))

    def add_given(self, condition: str, value: Any) -> None:
        """Add a condition unless its value is None."""
        if value is not None:
            self.add(condition, value)

    def place(self, value: Any) -> str:
        """Add a value; return its parameter."""
        self.values.append(value)
        return f"${len(self.values)}"

    @property
    def where(self) -> str:
        """The WHERE clause, empty without conditions."""
        return f"WHERE {' AND '.join(self._conditions)}" if self._conditions else ""

    async def fetch(self, database: Database, query: str, *, order: str, limit: int) -> list[Record]:
        """Return the rows of ``query`` that fit, one row more than ``limit`` when there is more."""
        statement = f"{query} {self.where} ORDER BY {order} LIMIT {self.place(limit + 1)}"
        async with database.acquire() as connection:
            return await connection.fetch(statement, *self.values)
