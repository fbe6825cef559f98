"""The tables of the gateway, and what the account that serves may do with each. Days of deliveries are made and dropped by functions."""

from __future__ import annotations

from common.postgres.rights import APPEND, CHANGE, EVERYTHING, PLATFORM, READ, REMOVE, Rights

RIGHTS = Rights(
    {
        "anonymous_refusals": EVERYTHING,
        "counting_runs": EVERYTHING,
        "countdowns": EVERYTHING,
        "created_orders": EVERYTHING,
        "deliveries": CHANGE,
        "deliveries_default": "SELECT, DELETE",
        "delivery_dismissals": REMOVE,
        "delivery_replays": REMOVE,
        "disowned_deliveries": REMOVE,
        "edge_log_files": EVERYTHING,
        "endangered_orders": EVERYTHING,
        "endangered_report_orders": APPEND,
        "endangered_reports": EVERYTHING,
        "ledger_archive": EVERYTHING,
        "manager_tokens": EVERYTHING,
        "order_bans": EVERYTHING,
        "order_contents": EVERYTHING,
        "order_limits": EVERYTHING,
        "received_requests": EVERYTHING,
        "refusals": EVERYTHING,
        "source_activity": CHANGE,
        "source_hours": EVERYTHING,
        "source_notices": APPEND,
        "source_refusals": CHANGE,
        "spools": EVERYTHING,
        "table_size": EVERYTHING,
        "uncounted_spans": READ,
        "website_arrivals": EVERYTHING,
        "website_tokens": EVERYTHING,
    },
    ("drop_delivery_day(text, timestamptz)", "ensure_delivery_partitions(integer)"),
)
TABLES = tuple(
    name for name in (*PLATFORM.measured, *RIGHTS.measured) if name not in ("deliveries_default", "uncounted_spans")
)
"""Tables whose size is measured: all. One of them counts with its partitions, and a view takes no room."""
