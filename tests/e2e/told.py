"""What people were told of orders, as the notifier has it, in the words in which changes name it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from common.contracts.notices import NOBODY, ON_CALL, ORDERS_PEOPLE, WHO_KNOWS, notice
from tests.support.suite_client import Client
from tests.support.told import unlike

_DECIDED = "the orchestrator decided that nobody is told"
_IF_ANYBODY = ("alerts.problem.resolved.v1", "alerts.problem.raised.v1")
"""Whom the notifier tells of these depends on what it has told before."""


def orders_of(named: Iterable[str]) -> set[str]:
    """The orders that notices are of."""
    return {
        line.partition(": ")[0].partition(" of ")[2] for line in named if " of " in line and not line.startswith("mail")
    }


async def told_otherwise(client: Client, named: Iterable[str], numbers: Iterable[str], *, since: datetime) -> list[str]:
    """What of these orders was told since a moment and not named, or the other way round; empty when it is the same."""
    lines = [_open(line) for line in named if not line.startswith("mail")]
    told: dict[tuple[str, str], str] = {}
    for number in numbers:
        page = await client.get("notifier", "/admin/v1/notifications", order=number, limit=200)
        for item in page["items"]:
            if datetime.fromisoformat(item["occurred_at"]) >= since:
                told[item["event_id"], item["transition"]] = _named(item, number)
    return unlike(lines, told.values())


def _open(line: str) -> str:
    event, of, rest = line.partition(" of ")
    return f"{event} or nothing{of}{rest}" if event.partition(" (")[0] in _IF_ANYBODY else line


def _named(item: Mapping[str, Any], number: str) -> str:
    kind = str(item["kind"])
    if kind.startswith("order."):
        return notice(f"orders.{kind}.v1", of=number, to=NOBODY if item["reason"] == _DECIDED else ORDERS_PEOPLE)
    if item["transition"] == "resolved":
        return notice("alerts.problem.resolved.v1", of=number, to=WHO_KNOWS)
    if kind.startswith("workflow."):
        return notice(f"orders.{kind}.v1", of=number, to=ON_CALL)
    if kind == "refund.rejected":
        return notice("refunds.refund.rejected.v1", of=number, to=ON_CALL)
    return notice(f"alerts.problem.raised.v1 ({kind.removeprefix('problem.')})", of=number, to=ON_CALL)
