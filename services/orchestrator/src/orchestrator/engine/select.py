"""Which workflows: the conditions that lists and bulk operations take alike."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, field_validator

from common.http import BulkFilter, Moment
from common.postgres import Connection
from orchestrator.engine.model import ORDER_LIFE, WorkflowState
from orchestrator.engine.search import STANDING, Filters, in_state


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("no text of ours has a NUL in it")
    return text


Text = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_storable)]
OrderNumbers = Annotated[list[Text], Field(min_length=1, max_length=1000)]
_OF_FAILED = "SELECT a.workflow_id FROM set_aside_event AS a WHERE a.state = 3"
# An order that failed on its `created` has no row of its own: then its events say where it came from.
_FROM = """
(EXISTS (SELECT FROM orders AS o WHERE o.number = w.order_number AND o.source = {0})
 OR EXISTS (SELECT FROM set_aside_event AS s WHERE s.workflow_id = w.id AND s.source = {0}))
"""
_IN_STORE = "EXISTS (SELECT FROM orders AS o WHERE o.number = w.order_number AND o.store_id = {0})"


class WorkflowConditions(BaseModel):
    """Which workflows; all that is given has to hold. `state` is a number or a name: running 1, stopped 2, finished 3, crashed 4.

    `event_type` and `code` are of a failed event: its type, and why it cannot be carried out.
    """

    state: str | None = Field(default=None, max_length=16)
    order_number: Text | None = None
    kind: Text | None = None
    source: Text | None = None
    store_id: Text | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    event_type: Text | None = None
    code: Text | None = None
    error: Annotated[str | None, Field(max_length=2000, description="of a crashed or stopped one, word for word")] = (
        None
    )

    @field_validator("state")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return number_of(WorkflowState, value, "a workflow's state is 1 running, 2 stopped, 3 finished or 4 crashed")


class WorkflowFilter(BulkFilter, WorkflowConditions):
    """Which workflows to change; all that is given has to hold."""

    order_numbers: OrderNumbers | None = None


def add_conditions(filters: Filters, wanted: WorkflowConditions) -> None:
    """Add the conditions on a workflow ``w``."""
    # Numbers and kinds are spelled out where an index is only for some of them (migrations 0110, 0111 and 0141).
    if wanted.state is not None:
        filters.add(in_state(int(wanted.state)))
    filters.add_given("w.order_number = {}", wanted.order_number)
    filters.add_given("w.kind = {}", wanted.kind)
    if wanted.kind is not None and wanted.kind != ORDER_LIFE:
        filters.add(f"w.kind <> '{ORDER_LIFE}'")
    filters.add_given(_FROM, wanted.source)
    filters.add_given(_IN_STORE, wanted.store_id)
    filters.add_given("w.created_at >= {}", wanted.created_after)
    filters.add_given("w.created_at < {}", wanted.created_before)
    filters.add_given(f"w.id = ANY(ARRAY({STANDING})) AND w.error = {{}}", wanted.error)
    add_failure(filters, wanted.event_type, wanted.code)


def add_failure(filters: Filters, event_type: str | None, code: str | None) -> None:
    """Add the condition that an event of this type failed for this reason; None: any."""
    if event_type is not None:
        filters.add(f"w.id IN ({_OF_FAILED} AND a.type = {{}})", event_type)
    if code is not None:
        filters.add(f"w.id IN ({_OF_FAILED} AND a.code = {{}})", code)


async def find_workflows(
    connection: Connection,
    wanted: WorkflowFilter,
    among: Sequence[int] | None,
    limit: int,
    *,
    allowed: frozenset[WorkflowState],
) -> list[int]:
    """Return the ids of workflows that match, the oldest first, only of ``among`` where that is not None.

    Without a state those in a state that is ``allowed``. By store only orders that exist are found.
    """
    filters = Filters()
    add_conditions(filters, wanted)
    if wanted.state is None:
        filters.add(f"({' OR '.join(in_state(state) for state in sorted(allowed))})")
    filters.add_given("w.order_number = ANY({}::text[])", wanted.order_numbers)
    filters.add_given("w.id = ANY({}::bigint[])", among)
    query = f"SELECT w.id FROM workflow AS w {filters.where} ORDER BY w.id LIMIT {filters.place(limit)}"  # noqa: S608 - constants and parameters
    return [row["id"] for row in await connection.fetch(query, *filters.values)]


def number_of(states: type[IntEnum], value: str | None, otherwise: str) -> str | None:
    """Return the number of a state that is given by number or by name. Raises ``ValueError``."""
    if value is None:
        return None
    for state in states:
        if value in {str(int(state)), state.name.lower()}:
            return str(int(state))
    raise ValueError(otherwise)
