"""Operators end the wait of parked orders that will never be created, by their numbers or by a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import BaseModel

from common.clock import Clock
from common.errors import Conflict, NotFound
from common.http import Bulk, BulkChange, BulkDone, BulkFilter, Change, Moment, PageQuery
from common.postgres import Connection
from common.service import publish
from common.telemetry import current_traceparent
from orchestrator.engine.messages import problem_over
from orchestrator.engine.model import ORDER_LIFE, timeline_entry
from orchestrator.engine.search import Filters
from orchestrator.engine.select import Text
from orchestrator.engine.store import add_to_timeline
from orchestrator.orders.messages import never_created_fingerprint

_LOCK_LIVES = "SELECT FROM workflow WHERE order_number = ANY($1::text[]) AND kind = $2 ORDER BY order_number, kind, key FOR NO KEY UPDATE"
_PARKED = """
SELECT w.*, p.source, p.hook, p.since, p.alerted_at FROM parked_order AS p JOIN workflow AS w ON w.id = p.workflow_id
WHERE w.order_number = ANY($1::text[])
"""
# Nothing is left to carry out; whatever comes later runs the workflow again.
_END = """
WITH ended AS (DELETE FROM parked_order WHERE workflow_id = $1 RETURNING alerted_at),
     idle AS (DELETE FROM workflow_ready WHERE workflow_id = $1),
     over AS (UPDATE workflow SET state = 3, revision = revision + 1, updated_at = now() WHERE id = $1)
SELECT alerted_at FROM ended
"""


class ParkedConditions(BaseModel):
    """Which parked orders; all that is given has to hold. `hook` is the first event that came, `parked_after` and `parked_before` when."""

    order_number: Text | None = None
    source: Text | None = None
    hook: Text | None = None
    parked_after: Moment | None = None
    parked_before: Moment | None = None


class ParkedQuery(PageQuery, ParkedConditions):
    """Filters of the list of parked orders."""


class ParkedFilter(BulkFilter, ParkedConditions):
    """Which parked orders to give up."""


class GiveUpParked(BulkChange[Text, ParkedFilter]):
    """Which parked orders will never be created: by ids (their numbers) or by a filter."""


class ParkedOrder(BaseModel):
    """An order that waits for its `order.created`: the first event that came, when, and when a person was notified of it."""

    order_number: str
    workflow_id: int
    source: str
    hook: str
    since: datetime
    alerted_at: datetime | None


def give_up_parked(clock: Clock) -> Bulk[str]:
    """Return the operation. What came for such an order takes no effect, unless its ``created`` comes after all while it is kept."""
    return Bulk(operation="parked_order.give_up", find=_find, lock=_lock, work=partial(_give_up, clock=clock))


def select_parked(query: ParkedQuery, after: tuple[datetime, str] | None, limit: int) -> tuple[str, list[Any]]:
    """Return the statement of parked orders, the longest waiting first, from after the position (since, order_number), and its values."""
    filters = _filters(query)
    if after is not None:
        filters.add("(since, order_number) > ({}, {})", *after)
    return filters.select("SELECT * FROM parked_order", order="since, order_number", limit=limit)


def _filters(wanted: ParkedConditions) -> Filters:
    filters = Filters()
    filters.add_given("order_number = {}", wanted.order_number)
    filters.add_given("source = {}", wanted.source)
    filters.add_given("hook = {}", wanted.hook)
    filters.add_given("since >= {}", wanted.parked_after)
    filters.add_given("since < {}", wanted.parked_before)
    return filters


async def _find(connection: Connection, wanted: ParkedFilter, among: Sequence[str] | None, limit: int) -> Sequence[str]:
    filters = _filters(wanted)
    filters.add_given("order_number = ANY({}::text[])", among)
    query = f"SELECT order_number FROM parked_order {filters.where} ORDER BY since, order_number LIMIT {filters.place(limit)}"  # noqa: S608 - constants and parameters
    return [row["order_number"] for row in await connection.fetch(query, *filters.values)]


async def _lock(connection: Connection, numbers: Sequence[str]) -> Mapping[str, str]:
    await connection.execute(_LOCK_LIVES, numbers, ORDER_LIFE)
    rows = await connection.fetch(_PARKED, numbers)
    return {row["order_number"]: f"{row['last_seq']}.{row['done_seq']}.{row['revision']}" for row in rows}


async def _give_up(change: Change, number: str, *, clock: Clock) -> BulkDone:
    connection, trace, now = change.connection, current_traceparent(), clock.now()
    parked = await connection.fetchrow(_PARKED, [number])
    if parked is None:
        raise NotFound(f"order {number} is not parked")
    if parked["failed_events"] + parked["retried_events"]:
        raise Conflict(f"order {number} has failed events: one may be its order.created; mend or skip them first")
    if parked["done_seq"] < parked["last_seq"]:
        raise Conflict(f"order {number} has events that are not carried out: one may be its order.created")
    # As it is when it ends: the alert may have been raised since it was read.
    alerted_at = await connection.fetchval(_END, parked["id"])
    entry = timeline_entry(
        number,
        "parked_order.given_up",
        "Given up: its order.created will never come",
        now=now,
        traceparent=trace,
        actor=change.principal.name,
        details={"reason": change.reason},
    )
    await add_to_timeline(connection, [entry])
    if alerted_at is not None:
        over = problem_over(
            never_created_fingerprint(number),
            "it will never be created",
            parked["since"].isoformat(),
            subject=number,
            now=now,
            traceparent=trace,
        )
        await publish(change, over)
    await change.record(
        "parked_order.give_up",
        f"order:{number}",
        before={"source": parked["source"], "hook": parked["hook"], "since": parked["since"].isoformat()},
        after={"events": parked["last_seq"], "given_up": True},
    )
    return BulkDone(outcome="given_up", detail=f"{parked['last_seq']} of its events take no effect")
