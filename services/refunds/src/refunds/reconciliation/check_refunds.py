"""``python -m refunds check-refunds``: compares our database, read in one snapshot, with the gateways' own logs as the sandbox shows them.

Needs no running service.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from common.checks import Report, check_parser, database_of, run_check
from common.errors import Unavailable
from common.newer import member
from common.postgres.hosts import Hosts
from refunds.reconciliation.check import Entry, Payout, check
from refunds.refunds.states import RefundState

_CONNECT_S = 10.0
_ENTRIES = """
SELECT r.id, r.business_key, r.payment_id, r.state, r.amount, r.reserved,
    ARRAY(SELECT DISTINCT a.gateway_key FROM refund_attempts AS a WHERE a.refund_id = r.id) AS keys,
    ARRAY(SELECT DISTINCT a.gateway_refund_id FROM refund_attempts AS a WHERE a.refund_id = r.id AND a.gateway_refund_id IS NOT NULL)
        AS names,
    ARRAY(SELECT coalesce(h.state_before, 0) FROM refund_history AS h WHERE h.refund_id = r.id ORDER BY h.version) AS before,
    ARRAY(SELECT h.state_after FROM refund_history AS h WHERE h.refund_id = r.id ORDER BY h.version) AS after
FROM refunds AS r
"""
_ALIVE = frozenset({"wait_for_notification", "pending", "success", "succeeded"})


def check_refunds(arguments: Sequence[str]) -> int:
    """Compare the refunds database with the gateways' own logs; return the exit code."""
    parser = check_parser(
        "refunds check-refunds",
        "Compare the refunds database with the gateway's own log.",
        variable="REFUNDS_POSTGRES_DSN",
        database="the refunds database",
    )
    parser.add_argument(
        "--sandbox", required=True, metavar="URL", help="the sandbox, whose gateways show what they paid"
    )
    parser.add_argument(
        "--accepted", type=Path, metavar="FILE", help="ids of refunds that callers got as accepted, one per line"
    )
    return run_check(
        parser, arguments, _look, all_right="nothing is lost, nothing was paid twice, every refund is over"
    )


async def _look(options: argparse.Namespace) -> Report:
    accepted = [] if options.accepted is None else options.accepted.read_text(encoding="utf-8").split()
    entries = await read_books(database_of(options, "refunds"))
    payouts, captured = await read_ledgers(options.sandbox)
    states = Counter(entry.state.name for entry in entries)
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    paid = sum(payout.paid for payout in payouts)
    return Report(
        findings=check(entries, payouts, captured=captured, accepted=accepted),
        summary=[f"{len(entries)} refunds ({counted}), {len(accepted)} accepted, {paid} payouts in the gateway's log"],
    )


async def read_books(dsn: str) -> list[Entry]:
    """Return every refund of a database, with its keys and history."""
    try:
        connection = await Hosts(dsn).connect(timeout=_CONNECT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
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
            state=member(RefundState, row["state"]),
            amount=row["amount"],
            reserved=row["reserved"],
            keys=tuple(row["keys"]),
            names=tuple(row["names"]),
            changes=tuple(
                (member(RefundState, before) if before else None, member(RefundState, after))
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
        name=refund.get("trust_refund_id") or refund["id"],
    )
