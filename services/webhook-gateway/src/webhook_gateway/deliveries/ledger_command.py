"""``python -m webhook_gateway check-ledger``: works without the services, also on what a dead replica left behind."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from common.errors import SuiteError
from common.postgres import is_retryable
from webhook_gateway.deliveries.check_ledger import Difference, Evidence, balance, check
from webhook_gateway.deliveries.evidence import gather

EXIT_EQUAL, EXIT_DIFFERENT, EXIT_CANNOT = 0, 1, 2
_SHOWN = 20
_PREFIX = "WEBHOOK_GATEWAY_"


def check_ledger(arguments: Sequence[str]) -> int:
    """Compare, print, and return the exit code: 0 nothing differs, 1 something does, 2 it could not be found out."""
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(options))
    except SuiteError as error:
        sys.stderr.write(f"check-ledger: {error.detail}\n")
        return EXIT_CANNOT
    except Exception as error:
        if not is_retryable(error):
            raise
        sys.stderr.write(f"check-ledger: a database does not answer ({type(error).__name__})\n")
        return EXIT_CANNOT


async def _run(options: argparse.Namespace) -> int:
    databases = _databases(options.suite)
    dsn = options.postgres_dsn or databases.get("webhook-gateway")
    if not dsn:
        sys.stderr.write("check-ledger: give --postgres-dsn, --suite or WEBHOOK_GATEWAY_POSTGRES_DSN\n")
        return EXIT_CANNOT
    spool_dir = os.environ.get(_PREFIX + "SPOOL_DIR")
    deadline = asyncio.get_running_loop().time() + options.wait
    while True:
        evidence = await gather(
            dsn=dsn,
            orders_dsn=options.orders_dsn or databases.get("orchestrator"),
            spools=options.spool_dir or ([Path(spool_dir)] if spool_dir else []),
            acknowledged=options.acknowledged,
            since=options.since,
            until=options.until,
        )
        found = check(evidence)
        if not found or asyncio.get_running_loop().time() >= deadline:
            break
        await asyncio.sleep(0.5)
    failing = [one for one in found if not (one.waiting and options.allow_waiting)]
    _print(evidence, found, as_json=options.json)
    return EXIT_DIFFERENT if failing else EXIT_EQUAL


def _print(evidence: Evidence, found: Sequence[Difference], *, as_json: bool) -> None:
    sums = balance(evidence)
    if as_json:
        document = {
            "ledger": sums.total,
            "by_replica": sums.by_replica,
            "orchestrator": evidence.orders is not None,
            "differences": [{"kind": one.kind, "what": one.what, "waiting": one.waiting} for one in found],
        }
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
        return
    lines = [_sums("all replicas", sums.total)]
    lines += [_sums(replica, {"received": sum(c.values()), **c}) for replica, c in sums.by_replica.items()]
    if evidence.orders is None:
        lines.append("the orchestrator's database was not given: its own word (orders.order.created.v1) stands for it")
    for kind in sorted({one.kind for one in found}):
        ones = [one for one in found if one.kind == kind]
        lines.append(f"{kind}: {len(ones)}{' (waiting)' if all(one.waiting for one in ones) else ''}")
        lines += [f"  {one.what}" for one in ones[:_SHOWN]]
        if len(ones) > _SHOWN:
            lines.append(f"  and {len(ones) - _SHOWN} more")
    if not found:
        lines.append("nothing is lost, nothing is there twice")
    sys.stdout.write("\n".join(lines) + "\n")


def _sums(name: str, counts: dict[str, int]) -> str:
    parts = " + ".join(f"{count} {outcome}" for outcome, count in counts.items() if outcome != "received")
    return f"{name}: {counts['received']} received = {parts}"


def _databases(suite: Path | None) -> dict[str, str]:
    if suite is None:
        return {}
    databases: dict[str, str] = json.loads(suite.read_text())["databases"]
    return databases


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="webhook-gateway check-ledger",
        description="Compare ledger, spools, dead letters, endangered orders and the orchestrator. Exit code 0: nothing differs, "
        "1: something does (it is printed), 2: it could not be found out.",
    )
    environment = os.environ
    parser.add_argument("--from", dest="since", type=_moment, metavar="TIME", help="received at or after (RFC 3339)")
    parser.add_argument("--to", dest="until", type=_moment, metavar="TIME", help="received before")
    parser.add_argument(
        "--spool-dir",
        action="append",
        type=Path,
        metavar="DIR",
        help="a spool, or a directory with spools in it; repeatable",
    )
    parser.add_argument(
        "--postgres-dsn",
        metavar="DSN",
        default=environment.get(_PREFIX + "POSTGRES_DSN"),
        help="the gateway's database",
    )
    parser.add_argument(
        "--orders-dsn",
        metavar="DSN",
        default=environment.get(_PREFIX + "ORDERS_DSN"),
        help="the orchestrator's, read only",
    )
    parser.add_argument("--suite", type=Path, metavar="FILE", help="take both addresses from .run/suite.json")
    parser.add_argument(
        "--acknowledged", type=Path, metavar="FILE", help='what callers were told: a line {"number", "event"} an answer'
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="look again and again for so long until nothing differs",
    )
    parser.add_argument(
        "--allow-waiting", action="store_true", help="what is safe on a disk and on its way is no failure"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser
