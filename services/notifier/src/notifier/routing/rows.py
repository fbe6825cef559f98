"""Labels as incidents' rows have them, and patterns as SQL's LIKE has them."""

from __future__ import annotations

from typing import Any

from notifier.routing.model import Labels


def labels_of(row: Any) -> Labels:
    """Read an incident's row as routes see it."""
    return Labels(
        environment=row["environment"],
        kind=row["kind"],
        severity=row["severity"],
        source=row["source"],
        store_id=row["store_id"],
        zone=row["zone"],
        service=row["service"],
        alert=row["details"].get("alert"),
        order_number=row["order_number"],
        fingerprint=row["fingerprint"],
    )


def like(pattern: str) -> str:
    """Return a pattern of the routes file as SQL's LIKE has it, never narrower: what it finds is looked at again."""
    if pattern.startswith("!") or "[" in pattern:
        return "%"
    kept = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return kept.replace("*", "%").replace("?", "_")
