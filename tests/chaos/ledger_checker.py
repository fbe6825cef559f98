"""Compares a play's answers with the gateway's ledger: what was acknowledged is kept, and nothing is kept that was not sent."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from tests.support.order_checker import Findings
from tests.support.suite_client import Client

Key = tuple[str, str]
"""A hook's order in the marketplace, and its event."""


async def deliveries_since(client: Client, since: datetime) -> list[dict[str, Any]]:
    """Everything that the gateways have kept of what came in at or after a moment."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        query: dict[str, Any] = {"limit": 200, "from": since.isoformat()}
        if cursor:
            query["cursor"] = cursor
        page = await client.get("webhook-gateway", "/admin/v1/deliveries", **query)
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def check_ledger(
    client: Client, report: dict[str, Any], since: datetime, findings: Findings, *, passed_on: int = 0
) -> None:
    """Hook by hook: as many deliveries as positive answers, and more only where an answer was lost or said 503.

    A request without an answer, and one whose broker and disk both missed their deadlines, may have been stored all the same. So may one
    of those ``passed_on`` by the edge to a second gateway because the first was silent.
    """
    kept_rows = await deliveries_since(client, since)
    ids = Counter(row["id"] for row in kept_rows)
    findings.require(len(ids) == len(kept_rows), "one delivery stands in the ledger twice")
    kept: Counter[Key] = Counter((row["external_id"], row["event"]) for row in kept_rows)
    acknowledged: Counter[Key] = Counter()
    unknown: Counter[Key] = Counter()
    for order in report["orders"]:
        for answer in order["answers"]:
            key = (order["external_id"], answer["event"])
            acknowledged[key] += answer["status"] == 200
            unknown[key] += answer["status"] in (None, 503)
            findings.require(answer["status"] in (None, 200, 503), f"{key}: answered {answer['status']}")
    for key, count in acknowledged.items():
        beside = max(0, kept[key] - count - unknown[key])
        passed_on -= beside
        findings.require(
            count <= kept[key] and (not beside or passed_on >= 0),
            f"{key}: acknowledged {count}, kept {kept[key]}, {unknown[key]} without a positive answer",
        )
    sums = await client.get(
        "webhook-gateway", "/admin/v1/ledger", **{"from": since.isoformat(), "to": "2100-01-01T00:00:00Z"}
    )
    parts = sums["confirmed"] + sums["spooled"] + sums["quarantined"] + sums["refused"]
    findings.require(sums["received"] == parts, f"the ledger does not add up: {sums}")
    in_play = {order["external_id"] for order in report["orders"]}
    findings.require(
        sum(count for (order, _), count in kept.items() if order in in_play)
        == sum(row["outcome"] != "quarantined" for row in kept_rows if row["external_id"] in in_play),
        "a played hook was quarantined",
    )


async def check_timelines(client: Client, report: dict[str, Any], since: datetime, findings: Findings) -> None:
    """Every delivery of the ledger stands in its order's timeline at the orchestrator, once."""
    by_number: dict[str, set[str]] = {}
    for row in await deliveries_since(client, since):
        by_number.setdefault(row["number"], set()).add(row["id"])
    for order in report["orders"]:
        number = order["number"]
        told: Counter[str] = Counter()
        cursor: str | None = None
        while True:
            query: dict[str, Any] = {"limit": 200, **({"cursor": cursor} if cursor else {})}
            page = await client.get("orchestrator", f"/admin/v1/orders/{number}/timeline", **query)
            told.update(item["details"]["delivery_id"] for item in page["items"] if item["kind"] == "hook.received")
            cursor = page["next_cursor"]
            if cursor is None:
                break
        findings.require(
            told == Counter(by_number.get(number, set())),
            f"{order['external_id']}: {len(by_number.get(number, ()))} deliveries, {sum(told.values())} in the timeline",
        )
