"""The tables of the orders database, and what the account that serves may do with each. No order, movement or refund is deleted.

The account of tips gets its rights by the migrations: it sees one view and calls two functions.
"""

from __future__ import annotations

from common.postgres.rights import APPEND, CHANGE, EVERYTHING, PLATFORM, Rights

RIGHTS = Rights(
    {
        "flag": "SELECT, UPDATE",
        "order_aggregate_change": EVERYTHING,
        "order_contact": EVERYTHING,
        "order_document": CHANGE,
        "order_refund": CHANGE,
        "order_transactions": CHANGE,
        "orders": CHANGE,
        "parked_order": EVERYTHING,
        "refund_request": CHANGE,
        "set_aside_event": EVERYTHING,
        "stock_movements": APPEND,
        "table_size": EVERYTHING,
        "timeline": EVERYTHING,
        "tips_shadow": EVERYTHING,
        "workflow": CHANGE,
        "workflow_event": EVERYTHING,
        "workflow_ready": EVERYTHING,
    },
    (
        # Also by the program's own rules, while tips does not answer.
        "tips_set_sum(text, bigint, bigint, text, text, timestamptz, boolean)",
        "tips_set_zero(text, text)",
    ),
    ("workflow_fence",),
)
TABLES = (*PLATFORM.measured, *RIGHTS.measured)
"""Tables whose size is measured: all."""
