"""Operators skip many events that cannot be carried out at once, by ids or by a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated

from pydantic import Field

from common.clock import Clock
from common.http import Bulk, BulkChange, BulkDone, BulkFilter, Change, Moment
from common.postgres import Connection
from orchestrator.engine.foresee import Foretellers, tell_what_follows
from orchestrator.engine.search import Filters
from orchestrator.engine.select import OrderNumbers, Text
from orchestrator.engine.skip import skip_event

EventId = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,17}-[1-9][0-9]{0,8}$")]
_IN_STORE = "EXISTS (SELECT FROM orders AS o WHERE o.number = w.order_number AND o.store_id = {})"
_FAILED = """
SELECT a.workflow_id || '-' || a.seq AS id FROM set_aside_event AS a JOIN workflow AS w ON w.id = a.workflow_id
"""
_LOCK = "SELECT FROM workflow WHERE id = ANY($1::bigint[]) ORDER BY order_number, kind, key FOR NO KEY UPDATE"
_VERSIONS = """
SELECT e.workflow_id, e.seq, coalesce(a.state, 0) || '.' || coalesce(a.attempts, 0) AS version
FROM unnest($1::bigint[], $2::integer[]) AS d (id, seq)
JOIN workflow_event AS e ON e.workflow_id = d.id AND e.seq = d.seq
LEFT JOIN set_aside_event AS a ON a.workflow_id = d.id AND a.seq = d.seq
"""


class FailedEventFilter(BulkFilter):
    """Which failed events; all that is given has to hold."""

    workflow_id: int | None = Field(default=None, ge=1, lt=2**63)
    event_type: Text | None = None
    code: Text | None = None
    kind: Text | None = None
    order_numbers: OrderNumbers | None = None
    source: Text | None = None
    store_id: Text | None = None
    failed_after: Moment | None = None
    failed_before: Moment | None = None


class SkipEvents(BulkChange[EventId, FailedEventFilter]):
    """Which failed events to skip: by ids or by a filter."""


def skip_many(clock: Clock, foretellers: Foretellers) -> Bulk[str]:
    """Return the operation."""
    work = partial(_skip, clock=clock, foretellers=foretellers)
    return Bulk(operation="workflow_event.skip", find=_find, lock=_lock, work=work)


async def _find(
    connection: Connection, wanted: FailedEventFilter, among: Sequence[str] | None, limit: int
) -> list[str]:
    filters = Filters()
    filters.add("a.state = 3")
    filters.add_given("a.workflow_id = {}", wanted.workflow_id)
    filters.add_given("a.type = {}", wanted.event_type)
    filters.add_given("a.code = {}", wanted.code)
    filters.add_given("a.source = {}", wanted.source)
    filters.add_given("w.kind = {}", wanted.kind)
    filters.add_given("w.order_number = ANY({}::text[])", wanted.order_numbers)
    filters.add_given(_IN_STORE, wanted.store_id)
    filters.add_given("a.failed_at >= {}", wanted.failed_after)
    filters.add_given("a.failed_at < {}", wanted.failed_before)
    if among is not None:
        workflows, places = _places(among)
        filters.add("(a.workflow_id, a.seq) IN (SELECT * FROM unnest({}::bigint[], {}::integer[]))", workflows, places)
    query = f"{_FAILED} {filters.where} ORDER BY a.workflow_id, a.seq LIMIT {filters.place(limit)}"
    return [row["id"] for row in await connection.fetch(query, *filters.values)]


async def _lock(connection: Connection, ids: Sequence[str]) -> Mapping[str, str]:
    workflows, places = _places(ids)
    await connection.execute(_LOCK, workflows)
    rows = await connection.fetch(_VERSIONS, workflows, places)
    return {f"{row['workflow_id']}-{row['seq']}": row["version"] for row in rows}


async def _skip(change: Change, event_id: str, *, clock: Clock, foretellers: Foretellers) -> BulkDone:
    (workflow_id,), (seq,) = _places([event_id])
    ended = await skip_event(change, workflow_id, seq, expected_version=None, now=clock.now())
    await tell_what_follows(change, ended.workflow, foretellers)
    return BulkDone(outcome="skipped")


def _places(ids: Sequence[str]) -> tuple[list[int], list[int]]:
    pairs = [identifier.split("-") for identifier in ids]
    return [int(workflow) for workflow, _ in pairs], [int(seq) for _, seq in pairs]
