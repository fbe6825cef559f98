"""Searching deliveries. Read only. Every search is carried by an index (a test reads the plans)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from common.postgres import Connection, Database, Record
from webhook_gateway.deliveries.decisions import DECISION, VERSION
from webhook_gateway.deliveries.digests import PeopleDigests
from webhook_gateway.deliveries.query import TypedQuery, read_query
from webhook_gateway.deliveries.views import DeliveryFilter
from webhook_gateway.hooks.model import Outcome
from webhook_gateway.rescue.store import cursor_uuid

_ITEM = """
delivery_id::text AS id, received_at, source, event, type, outcome, lane, number, external_id, sent_at, reason, status,
replica, replay_of::text AS replay_of, occurred_at, actor, why, octet_length(body) AS size, traceparent, erased_at
"""
_FOUND = (
    "SELECT {columns} FROM deliveries AS d WHERE {conditions} ORDER BY received_at DESC, delivery_id DESC LIMIT {limit}"
)
_DELIVERY = f"""
SELECT delivery_id::text AS id, received_at, recorded_at, source, event, type, event_id, outcome, lane, number, external_id,
       sent_at, digest, currency, reason, status, replica, replay_of::text AS replay_of, occurred_at, actor, why,
       body_form, body, octet_length(body) AS size, headers, traceparent, erased_at, {VERSION} AS version, {DECISION} AS decision
FROM deliveries AS d WHERE delivery_id = $1
"""  # noqa: S608 - a constant
_UNDECIDED = """outcome = 'quarantined'
AND NOT EXISTS (SELECT FROM delivery_dismissals AS k WHERE k.delivery_id = d.delivery_id)
AND NOT EXISTS (SELECT FROM delivery_replays AS r WHERE r.delivery_id = d.delivery_id)"""


class DeliverySearch:
    """For people. Nothing here is on the way of a hook."""

    def __init__(self, database: Database, digests: PeopleDigests) -> None:
        self.database = database
        self._digests = digests

    def select(self, wanted: DeliveryFilter, *, after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
        """Return the statement of deliveries, the newest first, behind the position (received_at, id), and its values."""
        return search(wanted, self._digests, after=after, limit=limit)

    async def ids(
        self, connection: Connection, wanted: DeliveryFilter, *, among: Sequence[str] | None, limit: int
    ) -> list[str]:
        """Return the ids of deliveries that match, the newest first, only of ``among`` where it is not None."""
        statement, values = search(wanted, self._digests, limit=limit, among=among, columns="delivery_id::text AS id")
        return [row["id"] for row in await connection.fetch(statement, *values)]

    async def delivery(self, delivery_id: uuid.UUID) -> Record | None:
        """Return one delivery with its body."""
        async with self.database.acquire() as connection:
            return await connection.fetchrow(_DELIVERY, delivery_id)


def search(
    wanted: DeliveryFilter,
    digests: PeopleDigests,
    *,
    limit: int,
    after: tuple[Any, ...] | None = None,
    among: Sequence[str] | None = None,
    columns: str = _ITEM,
) -> tuple[str, list[Any]]:
    """Return the statement that gives deliveries, the newest first, and its values.

    It holds only the conditions asked for: one plan for all would fit none. An outcome stands in the statement itself, because only then
    the planner can use the index that leaves the ordinary outcome out. Raises ``InvalidInput`` for a ``q`` that cannot be understood.
    """
    values: list[Any] = []

    def bind(value: Any) -> str:
        """Return the placeholder of a value."""
        values.append(value)
        return f"${len(values)}"

    typed = None if wanted.q is None else read_query(wanted.q)
    conditions = _names(wanted, typed, digests, bind) + _conditions(wanted, typed, bind)
    if after is not None:
        conditions.append(f"(received_at, delivery_id) < ({bind(after[0])}, {bind(cursor_uuid(after[1]))})")
    if among is not None:
        conditions.append(f"delivery_id = ANY ({bind([uuid.UUID(one) for one in among])}::uuid[])")
    found = _FOUND.format(columns=columns, conditions=" AND ".join(conditions) or "true", limit=bind(limit))
    return found, values


def _conditions(wanted: DeliveryFilter, typed: TypedQuery | None, bind: Any) -> list[str]:
    """What has to hold whichever way a delivery is found."""
    conditions = [
        f"{column} = {bind(value)}"
        for column in ("source", "event", "number", "external_id")
        if (value := getattr(wanted, column)) is not None
    ]
    if wanted.outcome is not None:
        conditions.append(f"outcome = '{Outcome(wanted.outcome).value}'")
    if wanted.reason is not None:
        conditions.append(f"(reason = {bind(wanted.reason)} OR reason LIKE {bind(_beginning(wanted.reason))})")
    if wanted.undecided:
        conditions.append(_UNDECIDED)
    if wanted.trace is not None:
        conditions.append(f"substr(traceparent, 4, 32) = {bind(wanted.trace)}")
    spans = [(wanted.since, wanted.until)] + ([] if typed is None else [(typed.since, typed.until)])
    for since, until in spans:
        if since is not None:
            conditions.append(f"received_at >= {bind(since)}")
        if until is not None:
            conditions.append(f"received_at < {bind(until)}")
    return conditions


def _names(wanted: DeliveryFilter, typed: TypedQuery | None, digests: PeopleDigests, bind: Any) -> list[str]:
    """Of each name that was given: the columns in which it may stand, each with an index of its own."""
    names: list[str] = []
    if wanted.order is not None:
        order = bind(wanted.order)
        names.append(f"(number = {order} OR external_id = {order})")
    if typed is not None and typed.whole is not None:
        whole = bind(typed.whole)
        ways = [f"number = upper({whole})", f"external_id = {whole}"]
        if typed.delivery_id is not None:
            ways.append(f"delivery_id = {bind(typed.delivery_id)}")
        if typed.people:
            ways += [f"people @> {bind(digested)}::bigint[]" for digested in digests.asked(typed.people)]
        names.append(f"({' OR '.join(ways)})")
    return names


def _beginning(reason: str) -> str:
    return reason.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + ":%"
