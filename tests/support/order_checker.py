"""Compares what the marketplace was answered with what the suite made of it, after the fact."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.support.suite_client import Client

_AT_ONCE = 16


@dataclass(slots=True)
class Findings:
    """What the checker found wrong, in words; empty means that every answer was kept to."""

    wrong: list[str] = field(default_factory=list)
    orders: int = 0
    notices: Counter[tuple[str, str]] = field(default_factory=Counter)

    def require(self, condition: bool, text: str) -> None:
        """Note ``text`` unless the condition holds."""
        if not condition:
            self.wrong.append(text)


async def check_orders(client: Client, report: dict[str, Any]) -> Findings:
    """Compare a play's report with ``GET /orders/v1/orders``: number, end state, positions, sums, stock."""
    findings = Findings(orders=len(report["orders"]))
    numbers = [order["number"] for order in report["orders"]]
    findings.require(len(set(numbers)) == len(numbers), "two orders share a number")
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(order: dict[str, Any]) -> None:
        async with gate:
            await _check_order(client, order, findings)

    await asyncio.gather(*(one(order) for order in report["orders"]))
    return findings


async def _check_order(client: Client, order: dict[str, Any], findings: Findings) -> None:
    name = order["external_id"]
    findings.require(order["numbers"] == [order["number"]], f"{name}: the marketplace was given {order['numbers']}")
    findings.require(order["violations"] == [], f"{name}: {order['violations']}")
    if not order["certain"]:
        return
    expected = order["expected"]
    found = await client.get("orchestrator", "/orders/v1/orders", source="sbermarket", external_id=name)
    findings.require(found["number"] == order["number"], f"{name}: number {found['number']}")
    for key in ("status", "shipped", "closed_for_changes"):
        findings.require(found[key] == expected[key], f"{name}: {key} is {found[key]}, not {expected[key]}")
    quantities = {position["id"]: float(position["quantity"]) for position in found["positions"]}
    wanted = {position["id"]: float(position["quantity"]) for position in expected["positions"]}
    findings.require(quantities == wanted, f"{name}: positions {quantities}, not {wanted}")
    stock = await client.get("orchestrator", "/admin/v1/stock-movements", number=order["number"], limit=200)
    balance: dict[str, float] = {}
    for movement in stock["items"]:
        position = movement["position_id"]
        balance[position] = balance.get(position, 0.0) + float(movement["quantity"])
    written_off = {key: -value for key, value in balance.items() if value}
    findings.require(
        written_off == (wanted if expected["shipped"] else {}),
        f"{name}: written off {written_off}, shipped {expected['shipped']}, positions {wanted}",
    )


@dataclass(slots=True)
class Told:
    """What the notifier's own log says was sent to Telegram about one order."""

    notices: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each (kind, audience)."""
    perhaps_twice: int = 0
    """Notices sent again because the provider's answer was lost: the message says so, and may stand in the chat twice."""


async def count_notices(client: Client) -> dict[str, Told]:
    """Return what was told about each order number, from the notifier's own log."""
    found: dict[str, Told] = {}
    cursor: str | None = None
    while True:
        query: dict[str, str | int] = {"limit": 200, **({"cursor": cursor} if cursor else {})}
        page = await client.get("notifier", "/admin/v1/notifications", role="viewer", **query)
        for item in page["items"]:
            if item["order_number"] and item["channel"] == "telegram" and item["state"] == "sent":
                # Destinations are called pickers-17, store-17, or pickers and store where a store has none of its own.
                audience = str(item["destination"]).partition("-")[0]
                told = found.setdefault(item["order_number"], Told())
                told.notices[(item["kind"], audience)] += 1
                told.perhaps_twice += bool(item["possibly_repeated"])
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def check_notices(report: dict[str, Any], sent: dict[str, Told], chats: Counter[str], findings: Findings) -> None:
    """Compare what pickers and stores were told with what is due (docs/requirements.md#what-each-hook-does).

    Where the hooks went out in their true order: each due notice exactly once to each audience and no other. Where they did not:
    the new order exactly once, a correction allowed, and nothing twice but changes and corrections. And whatever the notifier's
    log calls sent stands in a message that the chat system accepted, exactly so often; more often only where it says so.
    """
    for order in report["orders"]:
        number, name = order["number"], order["external_id"]
        told = sent.get(number, Told())
        notices = Counter({key: count for key, count in told.notices.items() if key[0].startswith("order.")})
        if order["certain"] and order["mode"] == "in_order":
            kinds = order["expected"]["notices"]
            due = Counter((f"order.{kind}", audience) for kind in kinds for audience in ("pickers", "store"))
            findings.require(notices == due, f"{name}: told {dict(notices)}, due {dict(due)}")
        else:
            for audience in ("pickers", "store"):
                created = notices[("order.created", audience)]
                findings.require(created == 1, f"{name}: {audience} told of the new order {created} times")
                twice = {kind for (kind, whom), count in notices.items() if whom == audience and count > 1}
                findings.require(
                    twice <= {"order.corrected", "order.changed"}, f"{name}: {audience} told twice: {sorted(twice)}"
                )
        least = sum(told.notices.values())
        findings.require(
            least <= chats[number] <= least + told.perhaps_twice,
            f"{name}: {chats[number]} notices in chats, {least} in the log, {told.perhaps_twice} perhaps twice",
        )
        findings.notices.update(notices)


def numbers_in_chat(log: list[dict[str, Any]]) -> Counter[str]:
    """Return how many notices name each order in the messages that the chat system accepted (status 200)."""
    counted: Counter[str] = Counter()
    for entry in log:
        if entry["status"] == 200:
            words = re.sub(
                r"https?://[^\s\"<>]+", "", str(entry["request"].get("text", ""))
            )  # links name the order once more
            counted.update(re.findall(r"\b[0-9A-HJKMNP-TV-Z]{16}\b", words))
    return counted
