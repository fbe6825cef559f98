"""``python -m refunds check-refunds``: reads the database and the gateway's own log, and needs no running service."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from common.errors import SuiteError
from refunds.reconciliation.check import Entry, Finding, Payout, check

ReadBooks = Callable[[str], Awaitable[list[Entry]]]
ReadLedgers = Callable[[str], Awaitable[tuple[list[Payout], dict[str, int]]]]

EXIT_EQUAL, EXIT_DIFFERENT, EXIT_CANNOT = 0, 1, 2
_SHOWN = 20


def check_refunds(arguments: Sequence[str], *, books: ReadBooks, ledgers: ReadLedgers) -> int:
    """Compare, print, and return the exit code: 0 nothing is wrong, 1 something is, 2 it could not be found out."""
    options = _parser().parse_args(arguments)
    if not options.postgres_dsn:
        sys.stderr.write("check-refunds: give --postgres-dsn or REFUNDS_POSTGRES_DSN\n")
        return EXIT_CANNOT
    try:
        return asyncio.run(_run(options, books, ledgers))
    except SuiteError as error:
        sys.stderr.write(f"check-refunds: {error.detail}\n")
        return EXIT_CANNOT


async def _run(options: argparse.Namespace, books: ReadBooks, ledgers: ReadLedgers) -> int:
    accepted = [] if options.accepted is None else options.accepted.read_text(encoding="utf-8").split()
    deadline = asyncio.get_running_loop().time() + options.wait
    while True:
        entries = await books(options.postgres_dsn)
        payouts, captured = await ledgers(options.sandbox)
        found = check(entries, payouts, captured=captured, accepted=accepted)
        if not found or asyncio.get_running_loop().time() >= deadline:
            break
        await asyncio.sleep(0.5)
    _print(entries, payouts, found, accepted=len(accepted))
    return EXIT_DIFFERENT if found else EXIT_EQUAL


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
