"""``python -m webhook_gateway check-ledger``: works without the services, also on what a dead replica left behind."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from common.checks import Report, check_parser, database_of, run_check, suite_databases
from webhook_gateway.deliveries.check_ledger import balance, check, unanswered
from webhook_gateway.deliveries.evidence import gather

_PREFIX = "WEBHOOK_GATEWAY_"


def check_ledger(arguments: Sequence[str]) -> int:
    """Compare ledger, spools, dead letters, endangered orders and the orchestrator."""
    parser = check_parser(
        "webhook-gateway check-ledger",
        "Compare ledger, spools, dead letters, endangered orders and the orchestrator.",
        variable=_PREFIX + "POSTGRES_DSN",
        database="the gateway's database",
    )
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
        "--orders-dsn",
        metavar="DSN",
        default=os.environ.get(_PREFIX + "ORDERS_DSN"),
        help="the orchestrator's database, read only",
    )
    parser.add_argument(
        "--acknowledged", type=Path, metavar="FILE", help='positive answers: a line {"number", "event"} each'
    )
    return run_check(parser, arguments, _look, all_right="nothing is lost, nothing is there twice")


async def _look(options: argparse.Namespace) -> Report:
    spool_dir = os.environ.get(_PREFIX + "SPOOL_DIR")
    evidence = await gather(
        dsn=database_of(options, "webhook-gateway"),
        orders_dsn=options.orders_dsn or suite_databases(options).get("orchestrator"),
        spools=options.spool_dir or ([Path(spool_dir)] if spool_dir else []),
        acknowledged=options.acknowledged,
        since=options.since,
        until=options.until,
    )
    sums = balance(evidence)
    summary = [_sums("all replicas", sums.total)]
    summary += [
        _sums(replica, {"received": sums.received.get(replica, 0), **c}) for replica, c in sums.by_replica.items()
    ]
    left = {replica: count for replica, count in unanswered(evidence).items() if replica in evidence.died and count > 0}
    summary += [f"{replica}: {count} had no outcome when a process died" for replica, count in left.items()]
    if evidence.orders is None:
        summary.append(
            "the orchestrator's database was not given: its own word (orders.order.created.v1) stands for it"
        )
    return Report(
        findings=check(evidence),
        summary=summary,
        document={
            "ledger": sums.total,
            "by_replica": sums.by_replica,
            "unanswered": left,
            "orchestrator": evidence.orders is not None,
        },
        listed_as="differences",
    )


def _sums(name: str, counts: dict[str, int]) -> str:
    parts = " + ".join(f"{count} {outcome}" for outcome, count in counts.items() if outcome != "received")
    outcomes = sum(counts.values()) - counts["received"]
    sign = "=" if outcomes == counts["received"] else "≠"
    return f"{name}: {counts['received']} received {sign} {parts}"


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
