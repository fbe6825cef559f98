"""What people and services look up of orders and goods. Keyset pages only; each list asks for one row more than it shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from common.postgres import Database, Record
from orchestrator.engine.model import WorkflowState
from orchestrator.engine.search import Filters, in_state

_ORDER = "SELECT * FROM orders WHERE number = $1"

# Orders in trouble are few among many: they are found by their workflows.
_TROUBLED = "number = ANY(ARRAY(SELECT w.order_number FROM workflow AS w WHERE {}))"
_TROUBLE = {"stopped": WorkflowState.STOPPED, "crashed": WorkflowState.CRASHED}

# With a number its own unique index answers; the planner would otherwise be tempted to walk the primary key.
_STOCK_OF_ORDER = "(SELECT * FROM stock_movements WHERE number = {} OFFSET 0) AS moved"


class OrderSearch:
    """Reads orders and goods."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def order(self, number: str) -> Record | None:
        """Return one order."""
        async with self._database.acquire() as connection:
            return await connection.fetchrow(_ORDER, number)

    async def orders(
        self,
        *,
        aggregate_state: str | None,
        since: datetime | None,
        until: datetime | None,
        after: tuple[Any, ...] | None,
        limit: int,
        **equal: str | None,
    ) -> list[Record]:
        """Return orders, the newest first, from after the position (created_at, number). ``equal``: status, source, store_id …"""
        filters = Filters()
        filters.add_given("aggregate_state = {}", aggregate_state)
        if aggregate_state in _TROUBLE:
            filters.add(_TROUBLED.format(in_state(_TROUBLE[aggregate_state])))
        for column in ("status", "source", "store_id", "external_id"):
            filters.add_given(f"{column} = {{}}", equal[column])
        filters.add_given("created_at >= {}", since)
        filters.add_given("created_at < {}", until)
        if after is not None:
            filters.add("(created_at, number) < ({}, {})", *after)
        return await filters.fetch(
            self._database, "SELECT * FROM orders", order="created_at DESC, number DESC", limit=limit
        )

    async def stock_movements(
        self, *, store_id: str | None, number: str | None, after: int | None, limit: int
    ) -> list[Record]:
        """Return stock movements, the oldest first, with ids above ``after``."""
        filters = Filters()
        source = "stock_movements" if number is None else _STOCK_OF_ORDER.format(filters.place(number))
        filters.add_given("store_id = {}", store_id)
        filters.add_given("id > {}", after)
        query = f"SELECT * FROM {source}"  # noqa: S608 - constants of ours
        return await filters.fetch(self._database, query, order="id", limit=limit)
