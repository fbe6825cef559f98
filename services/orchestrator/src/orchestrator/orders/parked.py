"""Orders whose ``created`` does not come: after a time limit, longer than the oldest record a spool may hold, a person is notified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter

from common.clock import Clock
from common.contracts.alerts import ProblemRaisedV1
from common.messaging import outbox
from common.postgres import Connection, Database, Record
from common.service import in_halves, kept_apart
from common.telemetry import get_logger
from orchestrator.engine.messages import encode_message
from orchestrator.engine.model import SERVICE, Encoded
from orchestrator.orders.messages import never_created_fingerprint
from orchestrator.orders.store import Parked

_log = get_logger()

# Asked every second, nearly always in vain: alone it needs no transaction.
_ANY_OVERDUE = "SELECT EXISTS (SELECT FROM parked_order WHERE since < $1 AND alerted_at IS NULL)"
_OVERDUE = """
SELECT workflow_id, order_number, source, hook, since FROM parked_order
WHERE since < $1 AND alerted_at IS NULL AND order_number <> ALL($2::text[]) ORDER BY since LIMIT 200 FOR UPDATE SKIP LOCKED
"""
_MARK_OVERDUE = "UPDATE parked_order SET alerted_at = now() WHERE workflow_id = ANY($1::bigint[])"


async def raise_overdue(database: Database, clock: Clock, *, limit: timedelta, notify: Callable[[], None]) -> int:
    """Raise an incident for each order that has been parked for longer than ``limit``, once; return how many there were.

    ``notify`` is called after a commit that put alerts into the outbox. Safe to run in every replica at once.
    """
    now = clock.now()
    async with database.acquire() as connection:
        if not await connection.fetchval(_ANY_OVERDUE, now - limit):
            return 0
    async with database.transaction() as connection:
        rows = await connection.fetch(_OVERDUE, now - limit, kept_apart())
        raised = sum(
            await in_halves(rows, partial(_raise, connection, now), name=itemgetter("order_number"), within=connection)
        )
    if raised:
        _log.warning("parked_orders_overdue", orders=raised)
        notify()
    return raised


async def _raise(connection: Connection, now: datetime, rows: Sequence[Record]) -> int:
    parked = [
        (Parked(order_number=row["order_number"], source=row["source"], hook=row["hook"]), row["since"]) for row in rows
    ]
    await outbox.add_encoded(connection, [_alert(item, since, now=now) for item, since in parked])
    await connection.execute(_MARK_OVERDUE, [row["workflow_id"] for row in rows])
    return len(rows)


def _alert(parked: Parked, since: datetime, *, now: datetime) -> Encoded:
    message = ProblemRaisedV1(
        kind="order_never_created",
        severity="critical",
        fingerprint=never_created_fingerprint(parked.order_number),
        summary="Events of an order arrived, its order.created did not; the order is not known to the store",
        details={"first_hook": parked.hook, "parked_since": since.isoformat()},
        service=SERVICE,
        order_number=parked.order_number,
        source=parked.source,
        occurred_at=now,
    )
    identity = (message.fingerprint, since.isoformat())  # given up, it may be parked again
    return encode_message(message, *identity, subject=parked.order_number, now=now, traceparent=None)
