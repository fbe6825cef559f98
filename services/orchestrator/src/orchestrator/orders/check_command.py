"""``python -m orchestrator check-orders``: works without the service, reads the database only, changes nothing."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from common.errors import SuiteError
from orchestrator.orders.check import Finding, check_life
from orchestrator.orders.evidence import order_evidence

EXIT_RIGHT, EXIT_WRONG, EXIT_CANNOT = 0, 1, 2
_SHOWN = 20
_DSN = "ORCHESTRATOR_POSTGRES_DSN"


def check_orders(arguments: Sequence[str]) -> int:
    """Check, print, and return the exit code: 0 all is right, 1 something is not, 2 it could not be found out."""
    options = _parser().parse_args(arguments)
    dsn = options.postgres_dsn or _from_suite(options.suite)
    if not dsn:
        sys.stderr.write(f"check-orders: give --postgres-dsn, --suite or {_DSN}\n")
        return EXIT_CANNOT
    try:
        return asyncio.run(_run(dsn, options))
    except SuiteError as error:
        sys.stderr.write(f"check-orders: {error.detail}\n")
        return EXIT_CANNOT


async def _run(dsn: str, options: argparse.Namespace) -> int:
    deadline = asyncio.get_running_loop().time() + options.wait
    while True:
        orders, found = await _look(dsn, options.published)
        failing = [one for one in found if not (one.waiting and options.allow_waiting)]
        if not failing or asyncio.get_running_loop().time() >= deadline:
            break
        await asyncio.sleep(0.5)
    _print(orders, found, as_json=options.json)
    return EXIT_WRONG if failing else EXIT_RIGHT


async def _look(dsn: str, published: Path | None) -> tuple[int, list[Finding]]:
    orders = 0
    found: list[Finding] = []
    async with order_evidence(dsn, published) as snapshot:
        sent = await snapshot.messages()
        found += [
            Finding("message_twice", f"{name}: promised {count} times")
            for name, count in sent.pending.items()
            if count > 1
        ]
        found += [Finding("order_without_workflow", number) for number in await snapshot.strangers()]
        async for record in snapshot.lives():
            orders += 1
            found += check_life(record, sent)
    return orders, found


def _print(orders: int, found: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        findings = [{"kind": one.kind, "what": one.what, "waiting": one.waiting} for one in found]
        sys.stdout.write(json.dumps({"orders": orders, "findings": findings}, ensure_ascii=False) + "\n")
        return
    lines = [f"{orders} orders folded again"]
    for kind, count in sorted(Counter(one.kind for one in found).items()):
        ones = [one for one in found if one.kind == kind]
        lines.append(f"{kind}: {count}{' (waiting)' if all(one.waiting for one in ones) else ''}")
        lines += [f"  {one.what}" for one in ones[:_SHOWN]]
        if count > _SHOWN:
            lines.append(f"  and {count - _SHOWN} more")
    if not found:
        lines.append("nothing is lost, nothing was done twice, everything is at its end")
    sys.stdout.write("\n".join(lines) + "\n")


def _from_suite(suite: Path | None) -> str | None:
    if suite is None:
        return None
    databases: dict[str, str] = json.loads(suite.read_text())["databases"]
    return databases.get("orchestrator")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="orchestrator check-orders",
        description="Fold every order again from its events and compare it with what is stored: state, goods, timeline, messages, "
        "workflows. Reads only. Exit code 0: all is right, 1: something is not (it is printed), 2: it could not be found out.",
    )
    parser.add_argument("--postgres-dsn", metavar="DSN", default=os.environ.get(_DSN), help="the orders database")
    parser.add_argument("--suite", type=Path, metavar="FILE", help="take the address from .run/suite.json")
    parser.add_argument(
        "--published", type=Path, metavar="FILE", help="ids of the events that were seen published, one a line"
    )
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="look again and again for so long until all is right"
    )
    parser.add_argument("--allow-waiting", action="store_true", help="what is only not done yet is no failure")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser
