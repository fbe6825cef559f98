"""The tables whose size is measured: all."""

from __future__ import annotations

from common.service import PLATFORM_TABLES

TABLES = (
    *PLATFORM_TABLES,
    "gateway_calls",
    "payments",
    "reconciliation_days",
    "refund_attempts",
    "refund_differences",
    "refund_history",
    "refund_lines",
    "refunds",
)
