"""Operators look workflows and their events up. Keyset pages only; each list asks for one row more than it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from common.postgres import Database, Record
from orchestrator.engine.model import EventState, WorkflowState

_WORKFLOW_COLUMNS = """
w.id, w.order_number, w.kind, w.key, w.state, w.last_seq, w.done_seq, w.failed_events, w.retried_events, w.revision, w.error,
w.error_stack, w.failed_at, w.created_at, w.updated_at, r.ready_at, r.attempts, r.owner, r.lease_until
"""
EVENTS = """
SELECT e.workflow_id, e.seq, e.type, e.event_id, e.attributes, e.traceparent, e.received_at, e.recorded_at, w.done_seq,
       w.state AS workflow_state, a.state AS aside, a.code, a.error, a.error_stack, a.attempts, a.failed_at, a.ended_at, a.ended_by,
       a.ended_why, a.replaced_by
FROM workflow AS w JOIN workflow_event AS e ON e.workflow_id = w.id
LEFT JOIN set_aside_event AS a ON a.workflow_id = e.workflow_id AND a.seq = e.seq
"""
"""Events as ``views.workflow_event_view`` shows them."""
# Workflows with events that are not carried out: runnable ones have a ready row, the others stand still.
_PENDING = """
SELECT q.workflow_id AS id FROM workflow_ready AS q
UNION SELECT p.id FROM workflow AS p WHERE p.state IN (2, 4) AND p.state <> 3 AND p.last_seq > p.done_seq
"""
CRASHED = """
SELECT c.id FROM workflow AS c WHERE c.state = 4 AND c.state <> 3
UNION ALL SELECT f.id FROM workflow AS f WHERE f.failed_events > 0 AND f.state NOT IN (2, 4)
"""
"""Workflows that need a person: see ``views.shown_state``."""


STANDING = f"{CRASHED} UNION ALL SELECT t.id FROM workflow AS t WHERE t.state = 2 AND t.state <> 3"  # noqa: S608 - a constant of ours
"""Workflows that are crashed or stopped."""
GROUPS = f"""
SELECT w.kind, CASE w.state WHEN 2 THEN 2 ELSE 4 END AS state, f.code, coalesce(f.error, w.error) AS error, count(*) AS workflows,
       sum(w.failed_events)::bigint AS failed_events, min(coalesce(f.failed_at, w.failed_at)) AS first_failed_at,
       max(coalesce(f.failed_at, w.failed_at)) AS last_failed_at
FROM workflow AS w
LEFT JOIN LATERAL (
    SELECT a.code, a.error, a.failed_at FROM set_aside_event AS a WHERE a.workflow_id = w.id AND a.state = 3 ORDER BY a.seq LIMIT 1
) AS f ON true
WHERE w.id = ANY(ARRAY({STANDING}))
GROUP BY 1, 2, 3, 4 ORDER BY workflows DESC, w.kind, error LIMIT $1
"""  # noqa: S608 - a constant of ours
"""Workflows that stand still, by what they have in common."""
_SET_ASIDE = "SELECT s.workflow_id FROM set_aside_event AS s WHERE s.state"
# The array is made first, so that no plan looks for the trace along all events in their order.
_OF_TRACE = """
w.id = ANY(ARRAY(SELECT t.workflow_id FROM workflow_event AS t WHERE substr(t.traceparent, 4, 32) = {0}))
AND substr(e.traceparent, 4, 32) = {0}
"""
_ACTS = """
SELECT at, actor, role, action, reason, before, after FROM audit_log
WHERE target = $1 ORDER BY id DESC LIMIT $2
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

    def select(self, query: str, *, order: str, limit: int) -> tuple[str, list[Any]]:
        """Return the statement of the rows of ``query`` that fit, at most ``limit``, and its values."""
        return f"{query} {self.where} ORDER BY {order} LIMIT {self.place(limit)}", self.values


class WorkflowSearch:
    """Reads workflows and events."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @staticmethod
    def workflows(conditions: Callable[[Filters], None], *, before: int | None, limit: int) -> tuple[str, list[Any]]:
        """Return the statement of workflows, the newest first, with ids below ``before``, and its values.

        ``conditions`` adds those on the workflow ``w``.
        """
        filters = Filters()
        conditions(filters)
        filters.add_given("w.id < {}", before)
        query = f"SELECT {_WORKFLOW_COLUMNS} FROM workflow AS w LEFT JOIN workflow_ready AS r ON r.workflow_id = w.id"  # noqa: S608 - a constant of ours
        return filters.select(query, order="w.id DESC", limit=limit)

    @staticmethod
    def events(
        workflow_id: int | None,
        *,
        order_number: str | None = None,
        state: int | None,
        trace: str | None = None,
        after: tuple[Any, ...] | None,
        limit: int,
    ) -> tuple[str, list[Any]]:
        """Return the statement of events by workflow and sequence, from after the position, and its values; payloads are left out.

        ``state`` is that of ``views.workflow_event_view``. Without a workflow or an order, new and failed ones are looked for in the
        workflows that are runnable, stopped or in need of a person, those that were set aside in the table of these; the done ones are
        most of all events, met as the table is walked.
        """
        filters = Filters()
        filters.add_given("w.order_number = {}", order_number)
        filters.add_given("w.id = {}", workflow_id)
        anywhere = workflow_id is None and order_number is None
        if anywhere and state == EventState.FAILED:
            filters.add(f"w.id = ANY(ARRAY({CRASHED} UNION ALL {_SET_ASIDE} = 3))")
        elif anywhere and state == EventState.NEW:
            filters.add(f"w.id = ANY(ARRAY({_PENDING}))")
        elif anywhere and state is not None and state != EventState.DONE:
            filters.add(f"w.id = ANY(ARRAY({_SET_ASIDE} = {state:d}))")
        stands_before = "w.state = 4 AND e.seq = w.done_seq + 1"
        if state == EventState.DONE:
            filters.add("e.seq <= w.done_seq AND a.state IS NULL")
        elif state == EventState.FAILED:
            filters.add(f"(a.state = 3 OR {stands_before})")
        elif state == EventState.NEW:
            filters.add(f"(a.state = 1 OR e.seq > w.done_seq AND NOT ({stands_before}))")
        elif state is not None:
            filters.add(f"a.state = {state:d}")
        if trace is not None:
            filters.add(_OF_TRACE, trace)
        if after is not None:
            filters.add("e.workflow_id >= {0} AND (e.workflow_id, e.seq) > ({0}, {1}::bigint)", *after)
        return filters.select(EVENTS, order="e.workflow_id, e.seq", limit=limit)

    async def groups(self, *, limit: int) -> list[Record]:
        """Return the largest groups of workflows that are crashed or stopped: by kind, state, and why the first of their events failed."""
        async with self.database.acquire() as connection:
            return await connection.fetch(GROUPS, limit)

    async def workflow(self, workflow_id: int, *, events: int) -> tuple[Record, list[Record], list[Record]] | None:
        """Return a workflow, its last ``events`` events in sequence, and what people did to it, the newest first; None: unknown."""
        async with self.database.acquire() as connection:
            row = await connection.fetchrow("SELECT * FROM workflow WHERE id = $1", workflow_id)
            if row is None:
                return None
            shown = await connection.fetch(
                f"{EVENTS} WHERE w.id = $1 AND e.workflow_id = $1 ORDER BY e.seq DESC LIMIT $2", workflow_id, events
            )
            acts = await connection.fetch(_ACTS, f"workflow:{workflow_id}", events)
        return row, shown[::-1], acts


def in_state(state: int) -> str:
    """Return the condition on a workflow ``w`` that people see it in this state (see ``views.shown_state``)."""
    if state == WorkflowState.CRASHED:
        return f"w.id = ANY(ARRAY({CRASHED}))"
    return f"w.state = {state:d}" if state == WorkflowState.STOPPED else f"w.state = {state:d} AND w.failed_events = 0"
