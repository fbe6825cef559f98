"""What ``check-refunds`` compares: our database, read in one snapshot, and the gateways' own logs as the sandbox shows them."""

from __future__ import annotations

from typing import Any

import aiohttp
import asyncpg

from common.errors import Unavailable
from refunds.reconciliation.check import Entry, Payout
from refunds.refunds.states import RefundState

_ENTRIES = """
SELECT r.id, r.business_key, r.payment_id, r.state, r.amount, r.reserved,
    ARRAY(SELECT DISTINCT a.gateway_key FROM refund_attempts AS a WHERE a.refund_id = r.id) AS keys,
    ARRAY(SELECT coalesce(h.state_before, 0) FROM refund_history AS h WHERE h.refund_id = r.id ORDER BY h.version) AS before,
    ARRAY(SELECT h.state_after FROM refund_history AS h WHERE h.refund_id = r.id ORDER BY h.version) AS after
FROM refunds AS r
"""
_ALIVE = frozenset({"wait_for_notification", "pending", "success", "succeeded"})


async def read_books(dsn: str) -> list[Entry]:
    """Return every refund of a database, with its keys and history."""
    try:
        connection = await asyncpg.connect(dsn)
    except (OSError, asyncpg.PostgresError) as error:
        raise Unavailable(f"the refunds database cannot be read ({type(error).__name__})") from error
    try:
        rows = await connection.fetch(_ENTRIES)
    finally:
        await connection.close()
    return [
        Entry(
            refund_id=str(row["id"]),
            business_key=row["business_key"],
            payment_id=row["payment_id"],
            state=RefundState(row["state"]),
            amount=row["amount"],
            reserved=row["reserved"],
            keys=tuple(row["keys"]),
            changes=tuple(
                (RefundState(before) if before else None, RefundState(after))
                for before, after in zip(row["before"], row["after"], strict=True)
            ),
        )
        for row in rows
    ]


async def read_ledgers(sandbox: str) -> tuple[list[Payout], dict[str, int]]:
    """Return what the sandbox's gateways have paid, and what was captured by payment."""
    payouts: list[Payout] = []
    captured: dict[str, int] = {}
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            for system in ("trust", "yookassa"):
                async with session.get(f"{sandbox.rstrip('/')}/sandbox/{system}/ledger") as response:
                    page = await response.json()
                for item in page["items"]:
                    captured[item["payment_id"]] = captured.get(item["payment_id"], 0) + item["captured"]
                    payouts += [_payout(item["payment_id"], refund) for refund in item["refunds"]]
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"the gateway's log cannot be read ({type(error).__name__})") from error
    return payouts, captured


def _payout(payment_id: str, refund: dict[str, Any]) -> Payout:
    amount = refund["amount"]
    return Payout(
        key=refund.get("idempotency_key") or refund["idempotence_key"],
        payment_id=payment_id,
        amount=amount if isinstance(amount, int) else int(amount["value"].replace(".", "")),
        paid=refund["payouts"],
        alive=refund["status"] in _ALIVE,
    )
