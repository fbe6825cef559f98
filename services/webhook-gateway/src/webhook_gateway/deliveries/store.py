"""The gateway's own database: what came in, what is endangered, what was refused. Never on the way of a hook."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Literal

from common.contracts.envelope import Envelope
from common.contracts.intake import Hook
from common.errors import Unavailable
from common.messaging import outbox
from common.postgres import Connection, Database, worth_repeating
from webhook_gateway.database import told_as_unavailable
from webhook_gateway.deliveries import unarrived as created_orders
from webhook_gateway.hooks.ports import (
    ArrivedOrder,
    AwaitedOrder,
    DeliveryRow,
    Disowned,
    EndangeredRow,
    RecorderUnit,
    Refusals,
    StoredDelivery,
)
from webhook_gateway.rescue import store as endangered

# One statement for a batch. A copy that came by the spool corrects the lane of the one that came by the broker.
_SAVE_DELIVERIES = """
INSERT INTO deliveries AS kept (
    delivery_id, received_at, type, event_id, source, event, number, external_id, sent_at, digest, currency,
    outcome, lane, reason, status, replica, replay_of, body_form, body, headers, traceparent
) SELECT * FROM unnest(
    $1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
    $11::text[], $12::text[], $13::text[], $14::text[], $15::integer[], $16::text[], $17::uuid[], $18::text[], $19::bytea[],
    $20::jsonb[], $21::text[]
)
ON CONFLICT (received_at, delivery_id) DO UPDATE
SET lane = 'spool', outcome = CASE kept.outcome WHEN 'confirmed' THEN 'spooled' ELSE kept.outcome END
WHERE excluded.lane = 'spool'
"""
_SAVE_REFUSALS = """
INSERT INTO refusals AS kept (bucket, replica, run, source, reason, count)
SELECT bucket, $1, $2, source, reason, count
FROM unnest($3::timestamptz[], $4::text[], $5::text[], $6::bigint[]) AS new (bucket, source, reason, count)
ON CONFLICT (bucket, replica, run, source, reason) DO UPDATE SET count = greatest(kept.count, excluded.count)
"""
# Whichever comes first, the delivery or the word that it was refused: the other is looked for again and again (see ``settle_disowned``).
_DISOWN = """
INSERT INTO disowned_deliveries (delivery_id, received_at) SELECT * FROM unnest($1::uuid[], $2::timestamptz[]) ON CONFLICT DO NOTHING
"""
_SETTLE_DISOWNED = """
UPDATE deliveries AS d SET outcome = 'refused' FROM disowned_deliveries AS r
WHERE d.delivery_id = r.delivery_id AND d.received_at = r.received_at AND d.outcome IN ('confirmed', 'spooled', 'quarantined')
"""
_DELIVERY = """
SELECT delivery_id::text AS id, type, source, event, body_form, body, received_at, number, external_id, sent_at, digest, currency
FROM deliveries WHERE delivery_id = $1
"""
_LAST_RESORT_S = 3.0


class PostgresRecorder:
    """Implements ``RecorderUnit`` on the connection of a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def save_deliveries(self, rows: Sequence[DeliveryRow]) -> None:
        """Insert deliveries; the copy of a delivery that came by the other lane only corrects the lane."""
        once: dict[tuple[str, datetime], DeliveryRow] = {}
        for row in rows:
            key = (row.hook.delivery_id, row.hook.received_at)
            if key not in once or row.hook.lane == "spool":
                once[key] = row
        await self._connection.execute(_SAVE_DELIVERIES, *zip(*map(_delivery_values, once.values()), strict=True))

    async def save_endangered(self, rows: Sequence[EndangeredRow]) -> None:
        """Insert endangered orders, each once."""
        await endangered.save(self._connection, rows)

    async def settle_arrived(self, names: Sequence[str]) -> Sequence[ArrivedOrder]:
        """Mark endangered orders of which another try was taken."""
        return await endangered.settle_arrived(self._connection, names)

    async def expect_orders(self, orders: Sequence[AwaitedOrder]) -> None:
        """Note orders that the orchestrator has to tell of."""
        await created_orders.expect(self._connection, orders)

    async def publish(self, events: Sequence[Envelope]) -> None:
        """Promise events by the outbox."""
        await outbox.add(self._connection, *events)


class PostgresDesk:
    """Implements ``DeskUnit`` on the connection of a transaction. With ``dry_run`` it reads and changes nothing."""

    def __init__(self, connection: Connection, *, dry_run: bool) -> None:
        self._connection = connection
        self._dry_run = dry_run

    async def delivery(self, delivery_id: str) -> StoredDelivery | None:
        """Return a kept delivery, wherever its partition is."""
        row = await self._connection.fetchrow(_DELIVERY, uuid.UUID(delivery_id))
        if row is None:
            return None
        form: Literal["envelope", "payload"] = "payload" if row["body_form"] == "payload" else "envelope"
        return StoredDelivery(**{**dict(row), "body_form": form})

    async def publish(self, events: Sequence[Envelope]) -> None:
        """Promise events by the outbox."""
        if not self._dry_run:
            await outbox.add(self._connection, *events)


class PostgresLastResort:
    """Implements ``LastResort``: records a hook without broker and spool, within three seconds: a website waits for its answer."""

    def __init__(self, database: Database, record: Callable[[RecorderUnit, Sequence[Hook]], Awaitable[None]]) -> None:
        self._database = database
        self._record = record

    async def keep(self, hook: Hook) -> None:
        """Record the hook in a transaction of its own. Raises ``Unavailable``."""
        try:
            async with asyncio.timeout(_LAST_RESORT_S), self._database.transaction(timeout=2.0) as connection:
                await self._record(PostgresRecorder(connection), [hook])
        except Exception as error:
            if worth_repeating(error):
                raise Unavailable(f"the database does not answer ({type(error).__name__})") from error
            raise


class PostgresRefusals:
    """Implements ``RefusalStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, replica: str, run: str, rows: Sequence[Refusals]) -> None:
        """Write absolute counts. Raises ``Unavailable``."""
        try:
            async with self._database.acquire() as connection:
                await connection.execute(
                    _SAVE_REFUSALS,
                    replica,
                    uuid.UUID(run),
                    [row.bucket for row in rows],
                    [row.source for row in rows],
                    [row.reason for row in rows],
                    [row.count for row in rows],
                )
        except Exception as error:
            if worth_repeating(error):
                raise Unavailable(f"the database does not answer ({type(error).__name__})") from error
            raise

    async def disown(self, deliveries: Sequence[Disowned]) -> None:
        """Make "refused" the outcome of these deliveries, also of those that are recorded later. Raises ``Unavailable``."""
        with told_as_unavailable():
            async with self._database.acquire() as connection:
                await connection.execute(
                    _DISOWN,
                    [uuid.UUID(one.delivery_id) for one in deliveries],
                    [one.received_at for one in deliveries],
                )

    async def settle_disowned(self) -> None:
        """Correct the outcomes of what was recorded since. Raises ``Unavailable``."""
        with told_as_unavailable():
            async with self._database.acquire() as connection:
                await connection.execute(_SETTLE_DISOWNED)


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
    )
