"""Big databases of gateway, notifier and refunds, each filled by the database itself: ordinary days, nearly all of it over."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from notifier.messages.document import Document, Section, Span

DAYS = 10
_LINE = (Span("milk × 2, 85.00 ₽"),)
_DOCUMENT = json.dumps(Document(title=(Span("A new order"),), sections=(Section(lines=(_LINE,) * 6),)).to_json())

_AT = f"now() - interval '{DAYS} days' * ($1 - n)::float8 / $1 - interval '1 minute'"
_ID = """(lpad(to_hex((extract(epoch FROM {at}) * 1000)::bigint), 12, '0') || '7' || left(md5('{of}' || n), 3)
          || '8' || right(md5('{of}' || n), 15))::uuid"""
"""An id that grows with time, as the services make them."""


def _id(of: str) -> str:
    return _ID.format(at=_AT, of=of)


_AUDIT = """
INSERT INTO audit_log (at, actor, role, action, target, reason, request_id)
SELECT now() - interval '10 seconds' * ($1 / 10 - n), 'a', 'operator', 'x.act', 'x:' || n, 'r', 'r' FROM generate_series(1, $1 / 10) AS n
"""

# Three hooks an order: one in a thousand was quarantined and waits for somebody, one of a rare source came long ago.
_GATEWAY = (
    f"""
    INSERT INTO deliveries (delivery_id, received_at, type, event_id, source, event, number, external_id, outcome, lane, reason, status,
                            replica, body_form, body, headers, people, traceparent)
    SELECT {_id("delivery")}, {_AT}, 'intake.hook.received.v1', 'e' || n, CASE WHEN n < 50 THEN 'rare' ELSE 'sbermarket' END,
           CASE n % 3 WHEN 0 THEN 'order.created' WHEN 1 THEN 'order.paid' ELSE 'order.delivered' END, 'N' || n / 3, 'E' || n / 3,
           CASE WHEN n % 1000 = 0 THEN 'quarantined' ELSE 'confirmed' END, 'broker', CASE WHEN n % 1000 = 0 THEN 'unreadable' END, 200,
           'gw-1', 'envelope', convert_to(repeat(md5(n::text), 20), 'UTF8'), '{{"host": "x"}}',
           CASE WHEN n % 3 = 0 THEN ARRAY[hashint8extended(n, 1), hashint8extended(n % 200, 2), hashint8extended(n % 5000, 3)]
                ELSE '{{}}' END, '00-' || md5(n::text) || '-00f067aa0ba902b7-01'
    FROM generate_series(1, $1::bigint) AS n
    """,  # noqa: S608 - constants
    f"""
    INSERT INTO created_orders (number, source, external_id, acknowledged_at, arrived_at)
    SELECT 'N' || n / 3, 'sbermarket', 'E' || n / 3, {_AT}, {_AT} + interval '1 second' FROM generate_series(3, $1::bigint, 3) AS n
    """,  # noqa: S608 - constants
    f"""
    INSERT INTO website_arrivals (number, source, received_at, phone, email, basket)
    SELECT 'W' || n, 'website', {_AT}, '+7916' || lpad(n::text, 7, '0'), 'c' || n || '@example.org', '[]'
    FROM generate_series(10, $1::bigint, 10) AS n
    """,  # noqa: S608 - constants
    f"""
    INSERT INTO endangered_orders (id, received_at, status, category, customer, address, basket, body, external_id, replica, state, number,
                                   outcome, closed_at, phone, email, network)
    SELECT {_id("endangered")}, {_AT}, 422, 'refused',
           jsonb_build_object('name', CASE WHEN n % 900 = 0 THEN 'Анна ' ELSE 'Мария ' END || n, 'phone', '+7916' || lpad(n::text, 7, '0')),
           'Example Street ' || n, '[{{"name": "milk", "quantity": 2}}]', convert_to(repeat(md5(n::text), 20), 'UTF8'), 'X' || n, 'gw-1',
           CASE WHEN n % 3000 = 0 THEN 'new' ELSE 'closed' END, NULL, CASE WHEN n % 3000 <> 0 THEN 'done' END,
           CASE WHEN n % 3000 <> 0 THEN now() END, '+7916' || lpad(n::text, 7, '0'), 'c' || n || '@example.org',
           '10.0.' || n % 200 || '.0/24'
    FROM generate_series(30, $1::bigint, 30) AS n
    """,  # noqa: S608 - constants
    f"""
    INSERT INTO countdowns (source, external_id, number, started_at, cancels_at, missed_at, status, reason, replica, answered_at)
    SELECT 'sbermarket', 'E' || n / 3, 'N' || n / 3, {_AT}, {_AT} + interval '2 hours', {_AT}, 503, 'broker', 'gw-1',
           {_AT} + interval '1 minute'
    FROM generate_series(300, $1::bigint, 300) AS n
    """,  # noqa: S608 - constants
    """
    INSERT INTO counting_runs (run, replica, began_at, counted_until, ended)
    VALUES ('00000000-0000-7000-8000-000000000001', 'gw-1', now() - interval '99 days', now(), true)
    """,
    """
    INSERT INTO received_requests (bucket, replica, run, source, received, taken)
    SELECT at, 'gw-1', '00000000-0000-7000-8000-000000000001', 'sbermarket', 1, 1
    FROM generate_series(now() - interval '2 days', now(), interval '5 seconds') AS at
    """,
    """
    INSERT INTO ledger_archive (hour, replica, source, outcome, count)
    SELECT at, 'gw-1', 'sbermarket', 'received', 1000
    FROM generate_series(date_trunc('hour', now()) - interval '60 days', now() - interval '3 days', interval '1 hour') AS at
    """,
    """
    INSERT INTO refusals (bucket, replica, run, source, reason, count)
    SELECT at, 'gw-1', '00000000-0000-7000-8000-000000000001', 'sbermarket', 'token', 1
    FROM generate_series(now() - interval '9 days', now(), interval '1 minute') AS at
    """,
    _AUDIT,
)
# Nearly all problems are over; one in two thousand is open, one was acknowledged. Nobody is called for them, and no ticket is missing.
_NOTIFIER = (
    f"""
    INSERT INTO incidents (fingerprint, kind, severity, state, summary, details, service, environment, order_number, source, store_id,
                           first_seen_at, last_seen_at, opened_at, resolved_at, resolved_by, followed_up_kind, link)
    SELECT 'big:' || n, 'problem.kind_' || n % 12, CASE n % 5 WHEN 0 THEN 'critical' WHEN 1 THEN 'info' ELSE 'warning' END,
           'resolved', 'Something happened to order N' || n, jsonb_build_object('attempt', n), 'service-' || n % 5, 'production', 'N' || n,
           'sbermarket', (n % 100)::text, {_AT}, {_AT}, {_AT}, {_AT} + interval '5 minutes', 'notifier', 'problem.kind_' || n % 12,
           'docs/runbooks/notifier-down.md'
    FROM generate_series(1, $1::bigint) AS n
    """,  # noqa: S608 - constants
    """
    UPDATE incidents SET state = CASE id % 2000 WHEN 1 THEN 'open' ELSE 'acknowledged' END, severity = 'warning', resolved_at = NULL,
                         resolved_by = NULL, acknowledged_by = CASE id % 2000 WHEN 2 THEN 'a' END,
                         acknowledged_at = CASE id % 2000 WHEN 2 THEN now() END
    WHERE id % 2000 IN (1, 2) AND fingerprint LIKE 'big:%'
    """,
    """
    INSERT INTO incident_history (incident_id, at, actor, act, text, told)
    SELECT id, opened_at, 'notifier', act, 'as it was', true FROM incidents, unnest(ARRAY['opened', 'resolved']) AS act
    WHERE fingerprint LIKE 'big:%'
    """,
    f"""
    INSERT INTO notices (id, subject, transition, sequence, kind, severity, order_number, incident_id, document, event_id, traceparent,
                         occurred_at, created_at)
    SELECT {_id("incident")}, 'incident:' || i.id, 'opened', 1, kind, 'warning', order_number, i.id, '{_DOCUMENT}', 'i' || n,
           '00-' || md5(n::text) || '-00f067aa0ba902b7-01', {_AT}, {_AT}
    FROM (SELECT *, (details ->> 'attempt')::bigint AS n FROM incidents WHERE fingerprint LIKE 'big:%') AS i
    """,  # noqa: S608 - constants
    f"""
    INSERT INTO notices (id, subject, transition, sequence, kind, severity, order_number, document, event_id, traceparent, occurred_at,
                         created_at)
    SELECT {_id("order")}, 'order:N' || n, 'order.created', 1, 'order.created', 'info', 'N' || n, '{_DOCUMENT}', 'o' || n,
           '00-' || md5(n::text) || '-00f067aa0ba902b7-01', {_AT}, {_AT}
    FROM generate_series(1, $1::bigint) AS n
    """,  # noqa: S608 - constants
    """
    INSERT INTO deliveries (notice_id, subject, sequence, destination, channel, lane, route, priority, state, attempts, message_ids,
                            sent_at, created_at, reason)
    SELECT id, subject, 1, 'telegram:-100', 'telegram', 'telegram:-100', 'stores', 3,
           CASE WHEN sequence_in_time % 5000 = 0 AND incident_id IS NULL THEN 'failed' ELSE 'sent' END, 1, '{1}', created_at, created_at,
           CASE WHEN sequence_in_time % 5000 = 0 AND incident_id IS NULL THEN 'chat not found' END
    FROM (SELECT *, row_number() OVER (ORDER BY id) AS sequence_in_time FROM notices WHERE document ->> 'again' = '[]') AS told
    """,
    """
    INSERT INTO tickets (key, queue, incident_id, order_number, kind, summary, description, state, created_by, created_at, closed_at,
                         outside)
    SELECT 'BIG-' || id, 'BIG', id, order_number, kind, summary, 'what is to be done',
           CASE state WHEN 'resolved' THEN 'closed' ELSE 'open' END, 'notifier', opened_at, resolved_at, 'kept'
    FROM incidents WHERE fingerprint LIKE 'big:%' AND id % 10 = 1
    """,
    """
    INSERT INTO ticket_comments (ticket_id, author, text, outside)
    SELECT id, 'notifier', 'comment ' || s, 'kept' FROM tickets, generate_series(1, 3) AS s WHERE queue = 'BIG'
    """,
    """
    INSERT INTO calls (id, incident_id, person, occasion, state, ended_at)
    SELECT gen_random_uuid(), id, 'p', '1.1', 'placed', now() FROM incidents WHERE fingerprint LIKE 'big:%' AND id % 100 = 1
    """,
    _AUDIT,
)
_REFUND_AT = f"now() - interval '{DAYS} days' * ($1 - n)::float8 / $1 - interval '40 days'"
_REFUND_ID = _ID.format(at=_REFUND_AT, of="refund")
# One in a thousand waits in ERROR for somebody; each paid for one payment of its own.
_REFUNDS = (
    "ALTER TABLE refunds DISABLE TRIGGER refunds_keep_reserved",
    """
    INSERT INTO payments (payment_id, gateway, captured, currency, captured_at, reserved)
    SELECT 'old-' || n, 'trust', 10000, 'RUB', now(), 10000 FROM generate_series(1, $1::bigint) AS n
    """,
    f"""
    INSERT INTO refunds (id, business_key, order_number, payment_id, amount, currency, reason, state, version, attempt, reserved, error,
                         created_at, state_since)
    SELECT {_REFUND_ID}, 'old-' || n, 'N' || n, 'old-' || n, 10000, 'RUB', 'old', CASE WHEN n % 1000 = 0 THEN 7 ELSE 5 END, 4, 1, 10000,
           CASE WHEN n % 1000 = 0 THEN 'declined' END, {_REFUND_AT}, {_REFUND_AT}
    FROM generate_series(1, $1::bigint) AS n
    """,  # noqa: S608 - constants
    """
    INSERT INTO refund_attempts (refund_id, attempt, gateway, gateway_key, began_at, sent_at, gateway_refund_id)
    SELECT id, 1, 'trust', 'key-' || business_key, created_at, created_at, 'trust-' || business_key FROM refunds
    WHERE reason = 'old'
    """,
    """
    INSERT INTO refund_history (refund_id, version, attempt, state_before, state_after, happened, actor, detail, at)
    SELECT id, v, 1, NULL, 5, 'seeded', 'bench', '', created_at FROM refunds, generate_series(1, 4) AS v WHERE reason = 'old'
    """,
    """
    INSERT INTO gateway_calls (refund_id, attempt, at, operation, request, outcome, answer, seconds)
    SELECT id, 1, created_at, operation, '{}', 'ok', '{}', 0.1 FROM refunds, unnest(ARRAY['start_refund', 'read_refund']) AS operation
    WHERE reason = 'old'
    """,
    """
    INSERT INTO refund_differences (kind, gateway, subject, order_number, detail, found_at, over_at, payment_id, amount, currency)
    SELECT 'unknown_refund', 'trust', 'old-' || n, 'N' || n, 'd', now(), CASE WHEN n % 5000 <> 0 THEN now() END, 'old-' || n, 100, 'RUB'
    FROM generate_series(100, $1::bigint, 100) AS n
    """,
    "ALTER TABLE refunds ENABLE TRIGGER refunds_keep_reserved",
)


async def fill_gateway(dsn: str, deliveries: int) -> float:
    """Fill the gateway's database; return how many seconds that took."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [midnight - timedelta(days=day) for day in range(DAYS + 2)]
    partitions = [
        f"CREATE TABLE IF NOT EXISTS deliveries_{day:%Y%m%d} PARTITION OF deliveries"
        f" FOR VALUES FROM ('{day.isoformat()}') TO ('{(day + timedelta(days=1)).isoformat()}')"
        for day in days
    ]
    return await _filled(dsn, (*partitions, *_GATEWAY), deliveries)


async def fill_notifier(dsn: str, incidents: int) -> float:
    """Fill the notifier's database, which has no incident yet: two notices an incident; return how many seconds that took."""
    return await _filled(dsn, _NOTIFIER, incidents)


async def fill_refunds(dsn: str, refunds: int) -> float:
    """Fill the refunds' database as its owner; return how many seconds that took."""
    return await _filled(dsn, _REFUNDS, refunds)


async def _filled(dsn: str, statements: Sequence[str], count: int) -> float:
    began = time.monotonic()
    connection = await asyncpg.connect(dsn, timeout=30, command_timeout=600)
    try:
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement, *([count] if "$1" in statement else []))
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
    return time.monotonic() - began
