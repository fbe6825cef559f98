"""Deliveries in the gateway's database: what came in, byte for byte."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from common.contracts.intake import IntakeMessage
from common.postgres import Connection
from webhook_gateway.deliveries.digests import array_text

_COLUMNS = {
    "delivery_id": "uuid",
    "received_at": "timestamptz",
    "type": "text",
    "event_id": "text",
    "source": "text",
    "event": "text",
    "number": "text",
    "external_id": "text",
    "sent_at": "text",
    "digest": "text",
    "currency": "text",
    "outcome": "text",
    "lane": "text",
    "reason": "text",
    "status": "integer",
    "replica": "text",
    "replay_of": "uuid",
    "body_form": "text",
    "body": "bytea",
    "headers": "jsonb",
    "traceparent": "text",
    "occurred_at": "timestamptz",
    "repeats": "text",
    "actor": "text",
    "why": "text",
    "people": "text",  # an array of arrays would be unnested whole; cast below
}
_ARRAYS = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(_COLUMNS.values(), 1))
_NAMES = ", ".join(_COLUMNS)
# One statement for a batch. A copy that came by the spool corrects the storage path of the one that came by the broker.
_SAVE_DELIVERIES = f"""
INSERT INTO deliveries AS kept ({_NAMES})
SELECT {_NAMES.replace("people", "people::bigint[]")} FROM unnest({_ARRAYS}) AS new ({_NAMES})
ON CONFLICT (received_at, delivery_id) DO UPDATE
SET lane = 'spool', outcome = CASE kept.outcome WHEN 'confirmed' THEN 'spooled' ELSE kept.outcome END
WHERE excluded.lane = 'spool'
"""  # noqa: S608 - constants
_DELIVERY = """
SELECT delivery_id::text AS id, type, event_id, source, event, body_form, body, coalesce(occurred_at, received_at) AS occurred_at,
       repeats, number, external_id, sent_at, digest, currency
FROM deliveries WHERE delivery_id = $1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """A delivery as it is kept. ``headers`` are masked; ``people`` are digests of whom it is about."""

    hook: IntakeMessage
    outcome: str
    replay_of: str | None
    headers: Mapping[str, Any]
    people: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDelivery:
    """What a replay starts from. ``occurred_at``: when it first came in, also where it is a replay itself."""

    id: str
    type: str
    event_id: str
    source: str
    event: str
    body_form: Literal["envelope", "payload"]
    body: bytes
    occurred_at: datetime
    repeats: str | None
    number: str | None
    external_id: str | None
    sent_at: str | None
    digest: str | None
    currency: str | None


async def save_deliveries(connection: Connection, rows: Sequence[DeliveryRow]) -> None:
    """Insert deliveries, each once; the copy of a delivery that came by the other storage path only corrects the path."""
    once: dict[tuple[str, datetime], DeliveryRow] = {}
    for row in rows:
        key = (row.hook.delivery_id, row.hook.received_at)
        if key not in once or row.hook.lane == "spool":
            once[key] = row
    if once:
        await connection.execute(_SAVE_DELIVERIES, *zip(*map(_delivery_values, once.values()), strict=True))


async def find_delivery(connection: Connection, delivery_id: uuid.UUID) -> StoredDelivery | None:
    """Return a kept delivery, wherever its partition is."""
    row = await connection.fetchrow(_DELIVERY, delivery_id)
    if row is None:
        return None
    form: Literal["envelope", "payload"] = "payload" if row["body_form"] == "payload" else "envelope"
    return StoredDelivery(**{**dict(row), "body_form": form})


def _delivery_values(row: DeliveryRow) -> tuple[Any, ...]:
    hook = row.hook
    return (
        uuid.UUID(hook.delivery_id),
        hook.received_at,
        hook.type,
        hook.event_id,
        hook.source,
        hook.event,
        hook.number,
        hook.external_id,
        hook.sent_at,
        hook.digest,
        hook.currency,
        row.outcome,
        hook.lane,
        hook.reason,
        hook.status,
        hook.replica,
        None if row.replay_of is None else uuid.UUID(row.replay_of),
        hook.body_form,
        hook.body,
        dict(row.headers),
        hook.traceparent,
        hook.occurred_at,
        hook.repeats,
        hook.actor,
        hook.why,
        array_text(row.people),
    )
