"""``check-orders`` is silent where all is right, and names each thing that is broken on purpose in the database."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common.checks import EXIT_RIGHT, EXIT_UNKNOWN, EXIT_WRONG
from common.contracts.alerts import ProblemResolvedV1
from common.contracts.envelope import Envelope
from orchestrator.orders.check_command import check_orders
from tests.support.order_hooks import life, marketplace
from tests.support.servers import eventually

ORDERS = 3

BREAKS = {
    "DELETE FROM workflow_event WHERE workflow_id = 1 AND seq = 2": {"events_missing", "order_differs", "stock"},
    "UPDATE orders SET status = 'paid', aggregate_state = 'in_progress' WHERE number = $1": {"order_differs"},
    "UPDATE orders SET document = jsonb_set(document, '{positions,0,price}', '1') WHERE number = $1": {"order_differs"},
    "UPDATE orders SET aggregate_state = 'crashed' WHERE number = $1": {"aggregate_state"},
    "DELETE FROM orders WHERE number = $1": {"order_missing"},
    """INSERT INTO stock_movements (number, revision, store_id, position_id, quantity, kind, occurred_at)
       VALUES ($1, 99, '17', 'a', -4, 'shipment', now())""": {"stock"},
    """INSERT INTO timeline (order_number, occurred_at, service, kind, actor, summary, details)
       SELECT order_number, occurred_at, service, kind, actor, summary, details FROM timeline
       WHERE order_number = $1 AND kind = 'order.deliver'""": {"event_twice"},
    "DELETE FROM timeline WHERE order_number = $1 AND kind = 'order.deliver'": {"event_lost"},
    "UPDATE workflow SET state = 1, done_seq = done_seq - 1 WHERE order_number = $1": {
        "stuck",
        "order_differs",
        "stock",
    },
    "INSERT INTO workflow_ready (workflow_id) SELECT id FROM workflow WHERE order_number = $1": {"ready_by_mistake"},
    "UPDATE workflow SET order_number = 'SOMEBODY' WHERE order_number = $1": {
        "order_without_workflow",
        "order_missing",
    },
}


async def findings(capsys: pytest.CaptureFixture[str], dsn: str, *more: str) -> tuple[int, set[str]]:
    """Run the command; return its exit code and the kinds of what it found."""
    arguments = ["--postgres-dsn", dsn, "--json", *more]
    capsys.readouterr()
    code = await asyncio.to_thread(check_orders, arguments)
    document = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return code, {item["kind"] for item in document["findings"]}


_TABLES = ("orders", "workflow", "workflow_event", "workflow_ready", "timeline", "stock_movements")


async def _kept(database: Any) -> dict[str, list[Any]]:
    return {table: [tuple(row) for row in await database.fetch(f"SELECT * FROM {table}")] for table in _TABLES}  # noqa: S608 - constants


async def _put_back(database: Any, kept: dict[str, list[Any]]) -> None:
    async with database.transaction():
        for table, rows in kept.items():
            await database.execute(f"DELETE FROM {table}")  # noqa: S608 - a constant
            for row in rows:
                places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
                await database.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE VALUES ({places})", *row)  # noqa: S608 - constants


async def test_each_thing_that_is_broken_on_purpose_is_named(
    start: Any, amqp_url: str, database: Any, dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await start(workers=1, upkeep_every=300, measure_every=300)
    async with marketplace(amqp_url) as sent:
        for index in range(ORDERS):
            await sent.send(life(f"C{index}"))

        async def quiet() -> bool:
            done = await database.fetchrow(
                "SELECT (SELECT sum(done_seq)::int FROM workflow WHERE kind = 'order_life'), (SELECT count(*)::int FROM outbox)"
            )
            assert tuple(done) == (ORDERS * 4, 0)
            return True

        await eventually(quiet, what="all lives")
        published = tmp_path / "published"
        published.write_text("\n".join(await sent.published()))
    assert await findings(capsys, dsn, "--published", str(published)) == (EXIT_RIGHT, set())
    number = await database.fetchval("SELECT order_number FROM workflow WHERE id = 1")
    for statement, expected in BREAKS.items():
        kept = await _kept(database)
        await database.execute(statement, *([number] if "$1" in statement else []))
        code, found = await findings(capsys, dsn)
        assert (code, found >= expected) == (EXIT_WRONG, True), f"{statement}: {found}"
        await _put_back(database, kept)
    assert await findings(capsys, dsn) == (EXIT_RIGHT, set())
    lines = published.read_text().splitlines()
    published.write_text("\n".join(lines[:-1]))
    assert await findings(capsys, dsn, "--published", str(published)) == (EXIT_WRONG, {"message_lost"})
    over = ProblemResolvedV1(fingerprint="f", summary="s", service="t", occurred_at=datetime.now(UTC))
    announced = Envelope.of(over, event_id="twice", source="/x", subject=None, time=over.occurred_at)
    for _ in range(2):
        await database.execute(
            "INSERT INTO outbox (exchange, routing_key, body) VALUES ('nowhere', 'x', $1)", announced.encode()
        )
    code, found = await findings(capsys, dsn)
    assert (code, "message_twice" in found) == (EXIT_WRONG, True)
    assert await asyncio.to_thread(check_orders, ["--postgres-dsn", "postgresql://127.0.0.1:1/x"]) == EXIT_UNKNOWN
