"""The tables of refunds, and what the account that serves may do with each. No refund, attempt, line or record of history is deleted."""

from __future__ import annotations

from common.postgres.rights import APPEND, CHANGE, EVERYTHING, PLATFORM, REMOVE, Rights

RIGHTS = Rights(
    {
        "gateway_calls": REMOVE,
        "payments": CHANGE,
        "reconciliation_days": EVERYTHING,
        "refund_attempts": CHANGE,
        "refund_differences": EVERYTHING,
        "refund_history": f"{APPEND}, UPDATE (detail)",  # an erased customer's words; a trigger keeps the rest as it is
        "refund_lines": APPEND,
        "refunds": CHANGE,
        "table_size": EVERYTHING,
    }
)
TABLES = (*PLATFORM.measured, *RIGHTS.measured)
"""Tables whose size is measured: all."""
