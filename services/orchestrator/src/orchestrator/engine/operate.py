"""What operators do to workflows, orders and flags: each in the caller's transaction, beside its audit record."""

from __future__ import annotations

from common.errors import Conflict, NotFound
from common.postgres import Connection, Record
from orchestrator.engine.model import WorkflowState
from orchestrator.orders.measure import ask_to_derive

_LOCK = "SELECT * FROM workflow WHERE id = $1 FOR NO KEY UPDATE"
_SET_STATE = "UPDATE workflow SET state = $2, updated_at = now(), revision = revision + 1 WHERE id = $1 RETURNING *"
# A claim in flight loses its ready row, and with it the fence: its result will be refused.
_FORGET_READY = "DELETE FROM workflow_ready WHERE workflow_id = $1"
# Kinds that sleep run once with no event and set their timer again.
_MAKE_READY = """
INSERT INTO workflow_ready (workflow_id, lane)
SELECT id, workflow_lane(kind) FROM workflow WHERE id = $1 AND (last_seq > done_seq OR workflow_lane(kind) > 0)
ON CONFLICT (workflow_id) DO UPDATE SET attempts = 0, ready_at = now()
"""

_LOCK_ORDER = "SELECT number, status, aggregate_state FROM orders WHERE number = $1 FOR NO KEY UPDATE"
_DERIVE_ONE = """
WITH asked AS (DELETE FROM order_aggregate_change WHERE order_number = $1)
UPDATE orders SET aggregate_state = order_aggregate_state(number, status) WHERE number = $1 RETURNING aggregate_state
"""

_LOCK_FLAG = "SELECT * FROM flag WHERE name = $1 FOR NO KEY UPDATE"
_SET_FLAG = """
UPDATE flag SET enabled = $2, share = $3, version = version + 1, updated_at = now(), updated_by = $4
WHERE name = $1 RETURNING *
"""


class PostgresOperations:
    """The operations."""

    async def stop_workflow(self, connection: Connection, workflow_id: int) -> tuple[Record, Record]:
        """Stop a workflow (M9): its state becomes stopped, it is not claimed any more, a claim in flight is refused.

        Returns the row before and after. Raises ``NotFound``, or ``Conflict`` when it is stopped already or has finished.
        """
        before = await _locked(connection, workflow_id)
        if before["state"] not in {WorkflowState.RUNNING, WorkflowState.CRASHED}:
            raise Conflict(f"workflow {workflow_id} is {_name(before)}: only a running or crashed one can be stopped")
        await connection.execute(_FORGET_READY, workflow_id)
        return before, await _set(connection, before, WorkflowState.STOPPED)

    async def resume_workflow(self, connection: Connection, workflow_id: int) -> tuple[Record, Record]:
        """Let a stopped workflow go on with the events that have gathered. Raises ``NotFound`` or ``Conflict``."""
        before = await _locked(connection, workflow_id)
        if before["state"] != WorkflowState.STOPPED:
            raise Conflict(f"workflow {workflow_id} is {_name(before)}: only a stopped one can be resumed")
        after = await _set(connection, before, WorkflowState.RUNNING)
        await connection.execute(_MAKE_READY, workflow_id)
        return before, after

    async def retry_workflow(self, connection: Connection, workflow_id: int) -> tuple[Record, Record]:
        """Let a crashed workflow try the event on which it crashed again. Raises ``NotFound`` or ``Conflict``."""
        before = await _locked(connection, workflow_id)
        if before["state"] != WorkflowState.CRASHED:
            raise Conflict(f"workflow {workflow_id} is {_name(before)}: only a crashed one can be retried")
        after = await _set(connection, before, WorkflowState.RUNNING)
        await connection.execute(_MAKE_READY, workflow_id)
        return before, after

    async def recalculate_order(self, connection: Connection, number: str) -> tuple[str, str]:
        """Derive an order's aggregate state again (M10); return it before and after. Raises ``NotFound``."""
        row = await connection.fetchrow(_LOCK_ORDER, number)
        if row is None:
            raise NotFound(f"there is no order {number}")
        await ask_to_derive(connection, [number])
        derived = await connection.fetchval(_DERIVE_ONE, number)
        return row["aggregate_state"], derived

    async def set_flag(
        self,
        connection: Connection,
        name: str,
        *,
        enabled: bool,
        share: int | None,
        expected_version: int | None,
        actor: str,
    ) -> tuple[Record, Record]:
        """Set a flag; return it before and after. Raises ``NotFound``, or ``Conflict`` when it is at another version."""
        before = await connection.fetchrow(_LOCK_FLAG, name)
        if before is None:
            raise NotFound(f"there is no flag {name}")
        if expected_version is not None and before["version"] != expected_version:
            raise Conflict(f"flag {name} is at version {before['version']}, not {expected_version}")
        after = await connection.fetchrow(_SET_FLAG, name, enabled, before["share"] if share is None else share, actor)
        if after is None:
            raise NotFound(f"there is no flag {name}")
        return before, after


async def _locked(connection: Connection, workflow_id: int) -> Record:
    row = await connection.fetchrow(_LOCK, workflow_id)
    if row is None:
        raise NotFound(f"there is no workflow {workflow_id}")
    return row


async def _set(connection: Connection, row: Record, state: WorkflowState) -> Record:
    after = await connection.fetchrow(_SET_STATE, row["id"], int(state))
    await ask_to_derive(connection, [row["order_number"]])
    if after is None:
        raise NotFound(f"there is no workflow {row['id']}")
    return after


def _name(row: Record) -> str:
    return WorkflowState(row["state"]).name.lower()
