"""``python -m refunds check-refunds``: compares our database, read in one snapshot, with the gateways' own logs as the sandbox shows them.

Needs no running service.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from common.errors import SuiteError, Unavailable
from refunds.reconciliation.check import Entry, Finding, Payout, check
from refunds.refunds.states import RefundState

_ENTRIES = """
SELECT r.id, r.business_key, r.payment_id, r.state, r.amount, r.reserved,
    ARRAY(SELECT DISTINCT a.gateway_key FROM refund_attempts AS a WHERE a.refund_id = r.id) AS keys,
    ARRAY(SELECT coalesce(h.state_before, 0) FROM refund_history AS h WHERE h.refund_id = r.id ORDER BY h.version) AS before,
    ARRAY(SELECT h.state_after FROM refund_history AS h WHERE h.refund_id = r.id ORDER BY h.version) AS after
FROM refunds AS r
"""
_ALIVE = frozenset({"wait_for_notification", "pending", "success", "succeeded"})

EXIT_EQUAL, EXIT_DIFFERENT, EXIT_CANNOT = 0, 1, 2
_SHOWN = 20


def check_refunds(arguments: Sequence[str]) -> int:
    """Compare, print, and return the exit code: 0 nothing is wrong, 1 something is, 2 it could not be found out."""
    options = _parser().parse_args(arguments)
    if not options.postgres_dsn:
        sys.stderr.write("check-refunds: give --postgres-dsn or REFUNDS_POSTGRES_DSN\n")
        return EXIT_CANNOT
    try:
        return asyncio.run(_run(options))
    except SuiteError as error:
        sys.stderr.write(f"check-refunds: {error.detail}\n")
        return EXIT_CANNOT


async def _run(options: argparse.Namespace) -> int:
    accepted = [] if options.accepted is None else options.accepted.read_text(encoding="utf-8").split()
    deadline = asyncio.get_running_loop().time() + options.wait
    while True:
        entries = await read_books(options.postgres_dsn)
        payouts, captured = await read_ledgers(options.sandbox)
        found = check(entries, payouts, captured=captured, accepted=accepted)
        if not found or asyncio.get_running_loop().time() >= deadline:
            break
        await asyncio.sleep(0.5)
    _print(entries, payouts, found, accepted=len(accepted))
    return EXIT_DIFFERENT if found else EXIT_EQUAL


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


def _print(entries: Sequence[Entry], payouts: Sequence[Payout], found: Sequence[Finding], *, accepted: int) -> None:
    states = Counter(entry.state.name for entry in entries)
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    paid = sum(payout.paid for payout in payouts)
    lines = [f"{len(entries)} refunds ({counted}), {accepted} accepted, {paid} payouts in the gateway's log"]
    for kind in sorted({one.kind for one in found}):
        ones = [one for one in found if one.kind == kind]
        lines.append(f"{kind}: {len(ones)}")
        lines += [f"  {one.what}" for one in ones[:_SHOWN]]
        if len(ones) > _SHOWN:
            lines.append(f"  and {len(ones) - _SHOWN} more")
    if not found:
        lines.append("nothing is lost, nothing was paid twice, every refund is over")
    sys.stdout.write("\n".join(lines) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="refunds check-refunds",
        description="Compare the refunds database with the gateway's own log. Exit code 0: nothing is wrong, 1: something is (it is "
        "printed), 2: it could not be found out.",
    )
    parser.add_argument("--postgres-dsn", default=os.environ.get("REFUNDS_POSTGRES_DSN"), metavar="DSN")
    parser.add_argument(
        "--sandbox", required=True, metavar="URL", help="the sandbox, whose gateways show what they paid"
    )
    parser.add_argument(
        "--accepted", type=Path, metavar="FILE", help="ids of refunds that callers were promised, one a line"
    )
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="how long to wait for refunds to be over"
    )
    return parser
