"""A big database of orders, filled by the database itself. As a program: ``python big_database.py DSN ORDERS``, prints the seconds."""

from __future__ import annotations

import asyncio
import sys
import time

import asyncpg

# Nearly all have finished; one in two thousand has crashed, one in two thousand was stopped, and so on.
_FILL = (
    """
    INSERT INTO orders (number, source, external_id, status, aggregate_state, closed, shipped, paid, revision, store_id, zone, tariff,
                        currency, document, created_at)
    SELECT 'N' || n, 'sbermarket', 'E' || n, CASE WHEN n % 2000 < 4 THEN 'created' ELSE 'delivered' END,
           CASE n % 2000 WHEN 0 THEN 'crashed' WHEN 1 THEN 'stopped' WHEN 2 THEN 'in_progress' ELSE 'finished' END,
           true, true, true, 5, (n % 100)::text, 'z', 't', 'RUB', '{}', now() - interval '1 second' * ($1 - n)
    FROM generate_series(1, $1) AS n
    """,
    """
    INSERT INTO order_contact (number, digest, created_at, name, phone, email, grams)
    SELECT 'N' || n, decode(md5(n::text), 'hex'), now() - interval '1 second' * ($1 - n), ' анна ' || n,
           (79160000000 + n)::text, 'c' || n || '@example.org', ARRAY[' ан', 'анн', 'нна', ' ' || left(n::text, 2)]
    FROM generate_series(1, $1) AS n
    """,
    """
    INSERT INTO workflow (order_number, kind, state, last_seq, done_seq, created_at, updated_at)
    SELECT 'N' || n, 'order_life', CASE n % 2000 WHEN 0 THEN 4 WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE 3 END, 2,
           CASE WHEN n % 2000 < 3 THEN 1 ELSE 2 END, now() - interval '1 second' * ($1 - n), now() - interval '1 second' * ($1 - n)
    FROM generate_series(1, $1) AS n
    """,
    """
    INSERT INTO workflow (order_number, kind, state, last_seq, done_seq)
    SELECT 'N' || n, 'document', 3, 1, 1 FROM generate_series(1, $1, 5000) AS n
    """,
    """
    INSERT INTO workflow_event (workflow_id, seq, type, event_id, attributes, payload, received_at, traceparent)
    SELECT id, s, 'order.paid', id || ':' || s, '{"body_form": "payload"}', '{}', now(),
           '00-' || lpad(to_hex(id), 32, '0') || '-00f067aa0ba902b7-01'
    FROM workflow, generate_series(1, 2) AS s WHERE $1 > 0 AND s <= last_seq
    """,
    """
    INSERT INTO workflow_ready (workflow_id, ready_at)
    SELECT id, now() + interval '1 day' FROM workflow WHERE $1 > 0 AND state = 1
    """,
    """
    INSERT INTO timeline (order_number, occurred_at, service, kind, actor, summary)
    SELECT 'N' || n, now(), 's', 'k', 'a', '' FROM generate_series(1, $1) AS n
    """,
    """
    INSERT INTO stock_movements (number, revision, store_id, position_id, quantity, kind, occurred_at)
    SELECT 'N' || n, 1, (n % 100)::text, 'p', -1, 'shipment', now() FROM generate_series(1, $1) AS n
    """,
    "INSERT INTO inbox (consumer, event_id) SELECT 'c', n::text FROM generate_series(1, $1) AS n",
    """
    INSERT INTO audit_log (at, actor, role, action, target, reason, request_id)
    SELECT now() - interval '10 seconds' * ($1 / 10 - n), 'a', 'operator', 'workflow.stop', 'workflow:' || n, 'r', 'r'
    FROM generate_series(1, $1 / 10) AS n
    """,
)


async def filled(dsn: str, orders: int) -> float:
    """Fill the database; return how many seconds that took."""
    started = time.monotonic()
    connection = await asyncpg.connect(dsn, timeout=30, command_timeout=600)
    try:
        for statement in _FILL:
            await connection.execute(statement, orders)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
    return time.monotonic() - started


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(filled(sys.argv[1], int(sys.argv[2]))):.1f}\n")
