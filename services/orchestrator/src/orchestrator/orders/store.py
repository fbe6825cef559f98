"""Reads what the order-life workflow needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.postgres import Database
from orchestrator.engine.model import StoredOrder, WorkflowEvent
from orchestrator.orders.rows import event_of, stored_order_of

_ORDERS = "SELECT number, document, revision, tips_revision FROM orders WHERE number = ANY($1::text[])"
_EVENTS = """
SELECT e.workflow_id, e.seq, e.type, e.event_id, e.attributes, e.payload, e.traceparent, e.received_at
FROM unnest($1::bigint[], $2::integer[]) AS wanted (id, upto)
JOIN workflow_event AS e ON e.workflow_id = wanted.id AND e.seq <= wanted.upto
ORDER BY e.workflow_id, e.seq
"""


class PostgresOrderReader:
    """The ``OrderReader`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def orders(self, numbers: Sequence[str]) -> dict[str, StoredOrder]:
        """See the port."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_ORDERS, numbers)
        return {row["number"]: stored_order_of(row) for row in rows}

    async def events(self, upto: Mapping[int, int]) -> dict[int, list[WorkflowEvent]]:
        """See the port."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_EVENTS, list(upto), list(upto.values()))
        found: dict[int, list[WorkflowEvent]] = {workflow_id: [] for workflow_id in upto}
        for row in rows:
            found[row["workflow_id"]].append(event_of(row))
        return found
