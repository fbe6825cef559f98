"""Searching deliveries. Read only. Every search is carried by an index (a test reads the plans)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from common.postgres import Database, Record
from webhook_gateway.deliveries.views import DeliveriesQuery
from webhook_gateway.hooks.model import Outcome
from webhook_gateway.rescue.store import cursor_uuid

_ITEM = """
SELECT delivery_id::text AS id, received_at, source, event, type, outcome, lane, number, external_id, sent_at, reason, status,
       replica, replay_of::text AS replay_of, occurred_at, actor, why, octet_length(body) AS size, traceparent
FROM deliveries WHERE {conditions} ORDER BY received_at DESC, delivery_id DESC LIMIT {limit}
"""
_EITHER = "SELECT * FROM (({number}) UNION ALL ({external})) AS found ORDER BY received_at DESC, id DESC LIMIT {limit}"
_DELIVERY = """
SELECT delivery_id::text AS id, received_at, recorded_at, source, event, type, event_id, outcome, lane, number, external_id,
       sent_at, digest, currency, reason, status, replica, replay_of::text AS replay_of, occurred_at, actor, why,
       body_form, body, octet_length(body) AS size, headers, traceparent
FROM deliveries WHERE delivery_id = $1
"""


class DeliverySearch:
    """For people. Nothing here is on the way of a hook."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def deliveries(
        self, wanted: DeliveriesQuery, *, after: tuple[Any, ...] | None, limit: int
    ) -> Sequence[Record]:
        """Return deliveries, the newest first, behind the position (received_at, id)."""
        statement, values = search(wanted, after=after, limit=limit)
        async with self._database.acquire() as connection:
            return await connection.fetch(statement, *values)

    async def delivery(self, delivery_id: uuid.UUID) -> Record | None:
        """Return one delivery with its body."""
        async with self._database.acquire() as connection:
            return await connection.fetchrow(_DELIVERY, delivery_id)


def search(wanted: DeliveriesQuery, *, after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
    """Return the statement that holds only the conditions asked for, and its values: one plan for all would fit none.

    An outcome stands in the statement itself, because only then the planner can use the index that leaves the ordinary outcome out.
    """
    values: list[Any] = []

    def bind(value: Any) -> str:
        """Return the placeholder of a value."""
        values.append(value)
        return f"${len(values)}"

    conditions = ["true"]
    if wanted.source is not None:
        conditions.append(f"source = {bind(wanted.source)}")
    if wanted.event is not None:
        conditions.append(f"event = {bind(wanted.event)}")
    if wanted.outcome is not None:
        conditions.append(f"outcome = '{Outcome(wanted.outcome).value}'")
    if wanted.since is not None:
        conditions.append(f"received_at >= {bind(wanted.since)}")
    if wanted.until is not None:
        conditions.append(f"received_at < {bind(wanted.until)}")
    if after is not None:
        conditions.append(f"(received_at, delivery_id) < ({bind(after[0])}, {bind(cursor_uuid(after[1]))})")
    rows = bind(limit)
    if wanted.order is None:
        return _ITEM.format(conditions=" AND ".join(conditions), limit=rows), values
    name = bind(wanted.order)
    common = " AND ".join(conditions[1:] or ["true"])
    number = _ITEM.format(conditions=f"number = {name} AND {common}", limit=rows)
    external = _ITEM.format(
        conditions=f"external_id = {name} AND number IS DISTINCT FROM {name} AND {common}", limit=rows
    )
    return _EITHER.format(number=number, external=external, limit=rows), values
