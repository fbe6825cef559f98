"""``python -m orchestrator check-orders``: works without the service, reads one snapshot of the database, changes nothing."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from common.checks import Finding, Report, check_parser, database_of, run_check
from common.errors import InvalidInput
from common.postgres import Connection, Database, Record
from orchestrator.engine.model import ORDER_LIFE
from orchestrator.engine.store import event_of
from orchestrator.orders.check import LifeRecord, SentMessages, check_life

_BATCH = 500
_OF_WORKFLOW = (
    "state", "last_seq", "done_seq", "pruned_seq", "failed_events", "retried_events", "ready", "parked", "asked",
)  # fmt: skip
_WORKFLOWS = """
SELECT w.id, w.order_number, w.state, w.last_seq, w.done_seq, w.pruned_seq, w.failed_events, w.retried_events,
       EXISTS (SELECT FROM workflow_ready AS q WHERE q.workflow_id = w.id) AS ready,
       EXISTS (SELECT FROM parked_order AS p WHERE p.workflow_id = w.id) AS parked,
       EXISTS (SELECT FROM order_aggregate_change AS c WHERE c.order_number = w.order_number) AS asked
FROM workflow AS w WHERE w.id > $1 AND w.kind = $3 ORDER BY w.id LIMIT $2
"""
_EVENTS = """
SELECT workflow_id, seq, type, event_id, attributes, payload, traceparent, received_at
FROM workflow_event WHERE workflow_id = ANY($1::bigint[]) ORDER BY workflow_id, seq
"""
_ASIDE = "SELECT workflow_id, seq, state FROM set_aside_event WHERE workflow_id = ANY($1::bigint[])"
_ORDERS = """
SELECT number, status, aggregate_state, document, order_aggregate_state(number, status) AS derived
FROM orders WHERE number = ANY($1::text[])
"""
_MOVED = """
SELECT number, store_id, position_id, sum(quantity) AS quantity FROM stock_movements
WHERE number = ANY($1::text[]) GROUP BY number, store_id, position_id HAVING sum(quantity) <> 0
"""
_ACTS = """
SELECT order_number, kind, details->>'event_id' AS event_id FROM timeline
WHERE order_number = ANY($1::text[]) AND service = 'orchestrator' AND details ? 'act' ORDER BY order_number, id
"""
_STRANGERS = """
SELECT o.number FROM orders AS o
WHERE NOT EXISTS (SELECT FROM workflow AS w WHERE w.order_number = o.number AND w.kind = $1) LIMIT 100
"""
_OUTBOX = "SELECT body FROM outbox"


class OrderEvidence:
    """One snapshot: whatever goes on meanwhile, all that is read belongs together."""

    def __init__(self, connection: Connection, published: Path | None) -> None:
        self._connection = connection
        self._published = published

    async def messages(self) -> SentMessages:
        """Return which messages are in the outbox, and which somebody saw published: a file with one event id a line."""
        bodies = [row["body"] for row in await self._connection.fetch(_OUTBOX)]
        sent = SentMessages(pending=Counter(orjson.loads(body)["id"] for body in bodies))
        if self._published is not None:
            try:
                sent.published = set(self._published.read_text(encoding="utf-8").split())
            except OSError as error:
                raise InvalidInput(f"{self._published} cannot be read ({type(error).__name__})") from error
        return sent

    async def strangers(self) -> list[str]:
        """Return orders that no workflow made."""
        return [row["number"] for row in await self._connection.fetch(_STRANGERS, ORDER_LIFE)]

    async def lives(self) -> AsyncIterator[LifeRecord]:
        """Yield every order's life."""
        last = 0
        while rows := await self._connection.fetch(_WORKFLOWS, last, _BATCH, ORDER_LIFE):
            last = rows[-1]["id"]
            numbers = [row["order_number"] for row in rows]
            events = _grouped(await self._connection.fetch(_EVENTS, [row["id"] for row in rows]), "workflow_id")
            aside = _grouped(await self._connection.fetch(_ASIDE, [row["id"] for row in rows]), "workflow_id")
            orders = {row["number"]: row for row in await self._connection.fetch(_ORDERS, numbers)}
            moved = _grouped(await self._connection.fetch(_MOVED, numbers), "number")
            acts = _grouped(await self._connection.fetch(_ACTS, numbers), "order_number")
            for row in rows:
                number = row["order_number"]
                order = orders.get(number)
                yield LifeRecord(
                    number=number,
                    workflow_id=row["id"],
                    **{name: row[name] for name in _OF_WORKFLOW},
                    events=[event_of(item) for item in events.get(row["id"], [])],
                    aside={item["seq"]: item["state"] for item in aside.get(row["id"], [])},
                    order=None if order is None else dict(order),
                    derived_state=None if order is None else order["derived"],
                    moved={
                        (item["store_id"], item["position_id"]): Decimal(item["quantity"])
                        for item in moved.get(number, [])
                    },
                    acts=[(item["kind"], item["event_id"]) for item in acts.get(number, [])],
                )


@asynccontextmanager
async def order_evidence(dsn: str, published: Path | None) -> AsyncIterator[OrderEvidence]:
    """Open one snapshot of the database, read only. Raises ``DatabaseAway``."""
    database = Database(dsn, application_name="check-orders", command_timeout=300.0)
    async with database.session() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        yield OrderEvidence(connection, published)


def _grouped(rows: list[Record], key: str) -> dict[Any, list[Record]]:
    groups: dict[Any, list[Record]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return groups


def check_orders(arguments: Sequence[str]) -> int:
    """Fold every order again from its events and compare it with what is stored."""
    parser = check_parser(
        "orchestrator check-orders",
        "Fold every order again from its events and compare it with what is stored: state, goods, timeline, messages, workflows.",
        variable="ORCHESTRATOR_POSTGRES_DSN",
        database="the orders database",
    )
    parser.add_argument(
        "--published", type=Path, metavar="FILE", help="ids of the events that were seen published, one per line"
    )
    all_right = "nothing is lost, nothing was done twice, everything is at its end"
    return run_check(parser, arguments, _look, all_right=all_right)


async def _look(options: argparse.Namespace) -> Report:
    orders = 0
    found: list[Finding] = []
    async with order_evidence(database_of(options, "orchestrator"), options.published) as snapshot:
        sent = await snapshot.messages()
        found += [
            Finding("message_twice", f"{name}: waits {count} times in the outbox")
            for name, count in sent.pending.items()
            if count > 1
        ]
        found += [Finding("order_without_workflow", number) for number in await snapshot.strangers()]
        async for record in snapshot.lives():
            orders += 1
            found += check_life(record, sent)
    return Report(findings=found, summary=[f"{orders} orders folded again"], document={"orders": orders})
