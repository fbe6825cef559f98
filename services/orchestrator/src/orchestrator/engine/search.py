"""Operators look workflows and their events up. Keyset pages only; each list asks for one row more than it shows."""

from __future__ import annotations

from typing import Any

from common.postgres import Database, Record
from orchestrator.engine.model import ORDER_LIFE
from orchestrator.engine.views import EventState

_WORKFLOW_COLUMNS = """
w.id, w.order_number, w.kind, w.key, w.state, w.last_seq, w.done_seq, w.revision, w.error, w.error_stack, w.failed_at,
w.created_at,
w.updated_at, r.ready_at, r.attempts, r.owner, r.lease_until
"""
_EVENT_COLUMNS = """
e.workflow_id, e.seq, e.type, e.event_id, e.attributes, e.traceparent, e.received_at, e.recorded_at, w.done_seq,
w.state AS workflow_state
"""
# Workflows with events that are not carried out: runnable ones have a ready row, the others stand still.
_PENDING = """
SELECT q.workflow_id AS id FROM workflow_ready AS q
UNION SELECT p.id FROM workflow AS p WHERE p.state IN (2, 4) AND p.state <> 3 AND p.last_seq > p.done_seq
"""


class Filters:
    """Conditions joined by AND, only those that are asked for, and the values of their parameters.

    ``$1 IS NULL OR column = $1`` would be one statement for all searches, and one plan for all of them: the worst. Conditions are
    constants of ours, values never are part of them.
    """

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


class WorkflowSearch:
    """Reads workflows and events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def workflows(
        self, *, state: int | None, number: str | None, kind: str | None, before: int | None, limit: int
    ) -> list[Record]:
        """Return workflows, the newest first, with ids below ``before``."""
        filters = Filters()
        # Numbers and kinds are spelled out where an index is only for some of them (migrations 0110 and 0111).
        if state is not None:
            filters.add(f"w.state = {state:d}")
        filters.add_given("w.order_number = {}", number)
        filters.add_given("w.kind = {}", kind)
        if kind is not None and kind != ORDER_LIFE:
            filters.add(f"w.kind <> '{ORDER_LIFE}'")
        filters.add_given("w.id < {}", before)
        query = f"SELECT {_WORKFLOW_COLUMNS} FROM workflow AS w LEFT JOIN workflow_ready AS r ON r.workflow_id = w.id"  # noqa: S608 - a constant of ours
        return await filters.fetch(self._database, query, order="w.id DESC", limit=limit)

    async def events(
        self, workflow_id: int | None, *, state: int | None, after: tuple[int, int] | None, limit: int
    ) -> list[Record]:
        """Return events by workflow and sequence, from after the position; payloads are left out.

        ``state`` follows from the cursor: 1 new, 2 done, 3 failed (it crashed its workflow). Without a workflow, new and failed ones
        are looked for in the workflows that are runnable, stopped or crashed; the others are most of the table, met as it is walked.
        """
        filters = Filters()
        if workflow_id is not None:
            filters.add("w.id = {}", workflow_id)
        elif state == EventState.FAILED:
            filters.add("w.state = 4")
        elif state == EventState.NEW:
            filters.add(f"w.id = ANY(ARRAY({_PENDING}))")
        if state == EventState.DONE:
            filters.add("e.seq <= w.done_seq")
        elif state == EventState.FAILED:
            filters.add("w.state = 4 AND e.seq = w.done_seq + 1")
        elif state is not None:
            filters.add("e.seq > w.done_seq AND NOT (w.state = 4 AND e.seq = w.done_seq + 1)")
        if after is not None:
            filters.add("e.workflow_id >= {0} AND (e.workflow_id, e.seq) > ({0}, {1})", *after)
        query = f"SELECT {_EVENT_COLUMNS} FROM workflow AS w JOIN workflow_event AS e ON e.workflow_id = w.id"  # noqa: S608 - a constant of ours
        return await filters.fetch(self._database, query, order="e.workflow_id, e.seq", limit=limit)
