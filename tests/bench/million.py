"""P2 and P5 with a million finished orders that the product made: the whole orchestrator's pace, the searches of orders, bytes by table.

Some hundred orders live their lives through the orchestrator's own code. Their rows are then copied by the database under other numbers
until there are ``BENCH_FINISHED_ORDERS``, so that each has the size and the shape of a real one; the customers, all different, come by
COPY. It takes about forty minutes and 25 GB, so ``make bench`` leaves it out: ``BENCH_ONLY=million make bench``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from itertools import islice
from statistics import median
from typing import Any

import aio_pika
import asyncpg
import structlog

from common.messaging import topology
from common.postgres import Database
from orchestrator.orders.search import OrderSearch
from suite_local.testing import ServerAddresses, addresses_from
from tests.bench.bench_engine import check_orders, one_run
from tests.bench.bench_order_search import COLUMNS, START, rows, timed
from tests.bench.bench_replay import Intake, batches, sizes
from tests.bench.figures import figure, percentile
from tests.bench.goals import AIMS
from tests.bench.rig import Servers
from tests.support.servers import TestDatabases, TestRabbit

ORDERS = int(os.environ.get("BENCH_FINISHED_ORDERS") or 1_000_000)
ROUNDS = int(os.environ.get("BENCH_ENGINE_ROUNDS") or 3)
SAMPLE = 200
STEP = 20_000
"""Orders that are copied at a time."""

_PREPARE = """
CREATE TABLE sample_order AS SELECT *, row_number() OVER (ORDER BY number) - 1 AS place FROM orders;
CREATE TABLE sample_workflow AS
    SELECT w.*, o.place, row_number() OVER (PARTITION BY w.order_number ORDER BY w.id) AS nth
    FROM workflow AS w JOIN sample_order AS o ON o.number = w.order_number;
CREATE TABLE sample_event AS SELECT e.*, w.nth, w.place FROM workflow_event AS e JOIN sample_workflow AS w ON w.id = e.workflow_id;
CREATE TABLE sample_inbox AS SELECT i.*, e.place FROM inbox AS i JOIN sample_event AS e ON e.event_id = i.event_id;
CREATE TABLE sample_timeline AS SELECT t.*, o.place FROM timeline AS t JOIN sample_order AS o ON o.number = t.order_number;
CREATE TABLE sample_movement AS SELECT m.*, o.place FROM stock_movements AS m JOIN sample_order AS o USING (number);
CREATE TABLE sample_document AS SELECT d.*, o.place FROM order_document AS d JOIN sample_order AS o ON o.number = d.order_number;
CREATE TABLE sample_sum AS SELECT t.*, o.place FROM order_transactions AS t JOIN sample_order AS o USING (number);
"""
_FORGET = """
DROP TABLE sample_order, sample_workflow, sample_event, sample_inbox, sample_timeline, sample_movement, sample_document, sample_sum
"""
# The order `n` is a copy of one of the sample: N… and E… are its numbers, what was unique is unique again.
_MADE = "FROM generate_series($1::bigint, $2::bigint - 1) AS n JOIN {} AS s ON s.place = n % $3"
_AGAIN = "md5(n || s.{0}) || substr(s.{0}, 33)"
_TRACE = "'00-' || md5(n || s.traceparent) || substr(s.traceparent, 36)"
_SAID = "CASE WHEN s.attributes ? 'external_id' THEN s.attributes || jsonb_build_object('external_id', 'E' || n) ELSE s.attributes END"
_TOLD = (
    "CASE WHEN s.details ? 'event_id' THEN s.details || jsonb_build_object('event_id',"
    " md5(n || (s.details ->> 'event_id')) || substr(s.details ->> 'event_id', 33)) ELSE s.details END"
)
_WORKFLOW = "10000000 + n * 8"
_PLAIN = (
    "source, status, aggregate_state, closed, shipped, paid, revision, store_id, zone, tariff, currency, payment_method, cost_total,"
    " finished_at"
)
_COPIES = {
    "sample_order": f"INSERT INTO orders (number, external_id, payment_id, document, created_at, {_PLAIN})"
    " SELECT 'N' || n, 'E' || n, s.payment_id, s.document || jsonb_build_object('number', 'N' || n, 'external_id', 'E' || n),"
    f" '{START.isoformat()}'::timestamptz + n * interval '1 second', {_PLAIN}",
    "sample_workflow": "INSERT INTO workflow (id, order_number, kind, key, state, last_seq, done_seq) OVERRIDING SYSTEM VALUE"
    f" SELECT {_WORKFLOW} + s.nth, 'N' || n, s.kind, s.key, s.state, s.last_seq, s.done_seq",
    "sample_event": "INSERT INTO workflow_event (workflow_id, seq, type, event_id, attributes, payload, traceparent, received_at)"
    f" SELECT {_WORKFLOW} + s.nth, s.seq, s.type, {_AGAIN.format('event_id')}, {_SAID}, s.payload, {_TRACE}, s.received_at",
    "sample_inbox": f"INSERT INTO inbox (consumer, event_id) SELECT s.consumer, {_AGAIN.format('event_id')}",
    "sample_timeline": "INSERT INTO timeline (order_number, occurred_at, service, kind, actor, summary, details, traceparent)"
    f" SELECT 'N' || n, s.occurred_at, s.service, s.kind, s.actor, s.summary, {_TOLD}, {_TRACE}",
    "sample_movement": "INSERT INTO stock_movements (number, revision, store_id, position_id, quantity, kind, occurred_at)"
    " SELECT 'N' || n, s.revision, s.store_id, s.position_id, s.quantity, s.kind, s.occurred_at",
    "sample_document": "INSERT INTO order_document (order_number, version, digest, content_type, content, order_revision, issued_at,"
    " issued_by, reason) SELECT 'N' || n, s.version, s.digest, s.content_type, s.content, s.order_revision, s.issued_at, s.issued_by,"
    " s.reason",
    "sample_sum": "INSERT INTO order_transactions (number, sum_to_pay, refunded, tips, currency, decided_by, computed_at)"
    " SELECT 'N' || n, s.sum_to_pay, s.refunded, s.tips, s.currency, s.decided_by, s.computed_at",
}
"""The table of the sample → how a table of the product gets copies of its rows."""


async def main() -> None:
    """Measure an empty database and a full one in turn, then the searches."""
    addresses = addresses_from(os.environ)
    if addresses is None:
        sys.exit("run the benchmarks with `make bench`: it starts servers of their own")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    databases = TestDatabases(addresses.postgres_dsn)
    async with databases.migrated("orchestrator") as empty, databases.migrated("orchestrator") as full:
        await fill(full)
        await paces(addresses, empty, full)
        database = Database(full, application_name="bench", command_timeout=60.0)
        await database.open()
        try:
            for name, times in (await timed(OrderSearch(database), ORDERS)).items():
                median_ms = round(percentile(times, 50), 1)
                figure(
                    "P5",
                    f"search by {name}: ms, p99",
                    round(percentile(times, 99), 1),
                    goal=AIMS["search of orders, p99 ms"],
                    p50_ms=median_ms,
                )
        finally:
            await database.close()
        await show_sizes(full, "after the rounds")


async def fill(dsn: str) -> None:
    """Have a sample of orders live through the product, and copy it until there are enough."""
    began = time.monotonic()
    database = Database(dsn, application_name="bench", max_size=1)
    await database.open()
    try:
        intake = Intake(database)
        for batch in batches("million", orders=SAMPLE):
            await intake.take(batch)
    finally:
        await database.close()
    connection = await asyncpg.connect(dsn, command_timeout=3600)
    try:
        await connection.execute("DELETE FROM outbox")
        await connection.execute(_PREPARE)
        for first in range(0, ORDERS, STEP):
            for sample, statement in _COPIES.items():
                await connection.execute(
                    f"{statement} {_MADE.format(sample)}", first, min(first + STEP, ORDERS), SAMPLE
                )
        made = rows(ORDERS)
        while batch_of_rows := list(islice(made, STEP)):
            await connection.copy_records_to_table("order_contact", records=batch_of_rows, columns=COLUMNS)
        await connection.execute(_FORGET)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")  # else its writes stand in the way of the broker's when the rounds begin
    finally:
        await connection.close()
    figure("P5", "finished orders filled in, s", round(time.monotonic() - began), orders=ORDERS)
    await show_sizes(dsn, "when filled")


async def show_sizes(dsn: str, when: str) -> None:
    """Print bytes for an order of each table, rows and indexes, and those of the whole database."""
    connection = await asyncpg.connect(dsn)
    try:
        found = await sizes(connection)
        whole = await connection.fetchval("SELECT pg_database_size(current_database())")
    finally:
        await connection.close()
    big = {name: tuple(round(each / ORDERS) for each in size) for name, size in found.items() if sum(size) > ORDERS}
    shares: dict[str, Any] = dict(sorted(big.items(), key=lambda item: -sum(item[1])))
    figure("P5", f"{when}: bytes for an order, rows and indexes", round(whole / ORDERS), bytes=whole, **shares)


async def paces(addresses: ServerAddresses, empty: str, full: str) -> None:
    """Run two whole orchestrators on each database in turn, and have the empty one's orders checked."""
    rabbit = TestRabbit(addresses.amqp_url, addresses.rabbitmq_api)
    seen: dict[str, list[float]] = {empty: [], full: []}
    for round_ in range(ROUNDS):
        for place, dsn in enumerate(seen):
            async with rabbit.virtual_host() as amqp_url:
                async with await aio_pika.connect(amqp_url) as connection:
                    await topology.declare(await connection.channel())
                rate, _ = await one_run(Servers(dsn, amqp_url), prefix=f"m{place}-{round_}")
            seen[dsn].append(rate)
    check_orders(empty)
    for name, rates in zip(("with none", f"with {ORDERS:,}"), seen.values(), strict=True):
        figure("P5", f"whole orchestrator {name}: events/s", round(median(rates)), rounds=list(map(round, rates)))
    ratios = [many / none for none, many in zip(seen[empty], seen[full], strict=True)]
    goal = AIMS["with 1,000,000 finished orders / with none"]
    figure("P5", f"with {ORDERS:,} finished orders / with none", round(median(ratios), 2), goal=goal)


if __name__ == "__main__":
    asyncio.run(main())
