"""What an erasure leaves alone: sums, states, goods, counts and the audit of a whole suite, read from its databases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg

_WORDS = ("reason", "detail", "content", "digest")
"""Columns that people's words stand in, or that change with them."""
_ROWS = {
    "refunds": ("payments", "refunds", "refund_attempts", "refund_history", "refund_lines", "refund_differences"),
    "orchestrator": ("order_transactions", "order_refund", "refund_request", "stock_movements", "order_document"),
}
_COUNTED = {
    "refunds": ("dead_letters",),
    "orchestrator": ("orders", "workflow", "workflow_event", "set_aside_event", "dead_letters"),
    "webhook-gateway": ("deliveries", "endangered_orders", "endangered_reports", "dead_letters"),
    "notifier": ("incidents", "incident_history", "tickets", "ticket_comments", "dead_letters"),
}
_ORDERS = """
SELECT jsonb_build_array(number, document -> 'lines', document -> 'total_price', document -> 'total_discount_price',
                         document -> 'payment_id', document -> 'paid')::text
FROM orders
"""
_AUDIT = "SELECT to_jsonb(l)::text FROM audit_log AS l ORDER BY l.id"

Books = dict[str, list[str]]
"""The rows of each thing: ``service.thing``."""


async def money_of(dsns: Mapping[str, str]) -> Books:
    """Everything of money and goods, in any order, and how many rows there are of the rest; customers and people's words left out."""
    found: Books = {}
    for service, counted in _COUNTED.items():
        statements = {
            name: f"SELECT (to_jsonb(t) - $1::text[])::text FROM {name} AS t"  # noqa: S608 - names of tables
            for name in _ROWS.get(service, ())
        }
        for name, rows in (await _read(dsns[service], statements, list(_WORDS))).items():
            found[f"{service}.{name}"] = sorted(rows)
        counts = {name: f"SELECT count(*)::text FROM {name}" for name in counted}  # noqa: S608 - names of tables
        for name, rows in (await _read(dsns[service], counts)).items():
            found[f"{service}.{name}: rows"] = rows
    found["orchestrator.orders"] = sorted((await _read(dsns["orchestrator"], {"orders": _ORDERS}))["orders"])
    return found


async def audit_of(dsns: Mapping[str, str]) -> Books:
    """Every record of every audit log, whole, the oldest first."""
    return {service: (await _read(dsns[service], {"audit": _AUDIT}))["audit"] for service in _COUNTED}


async def _read(dsn: str, statements: Mapping[str, str], *values: Any) -> Books:
    connection: Any = await asyncpg.connect(dsn)
    try:
        return {
            name: [row[0] for row in await connection.fetch(statement, *values)]
            for name, statement in statements.items()
        }
    finally:
        await connection.close()
