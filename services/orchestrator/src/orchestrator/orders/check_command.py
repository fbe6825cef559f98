"""``python -m orchestrator check-orders``: works without the service, reads the database only, changes nothing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from common.checks import Finding, Report, check_parser, database_of, run_check
from orchestrator.orders.check import check_life
from orchestrator.orders.evidence import order_evidence


def check_orders(arguments: Sequence[str]) -> int:
    """Fold every order again from its events and compare it with what is stored."""
    parser = check_parser(
        "orchestrator check-orders",
        "Fold every order again from its events and compare it with what is stored: state, goods, timeline, messages, workflows.",
        variable="ORCHESTRATOR_POSTGRES_DSN",
        database="the orders database",
    )
    parser.add_argument(
        "--published", type=Path, metavar="FILE", help="ids of the events that were seen published, one a line"
    )
    all_right = "nothing is lost, nothing was done twice, everything is at its end"
    return run_check(parser, arguments, _look, all_right=all_right)


async def _look(options: argparse.Namespace) -> Report:
    orders = 0
    found: list[Finding] = []
    async with order_evidence(database_of(options, "orchestrator"), options.published) as snapshot:
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
    return Report(findings=found, summary=[f"{orders} orders folded again"], document={"orders": orders})
