"""A hundred thousand hooks with every kind of value that was misread before, through two gateways and the orchestrator.

``YES_HOOKS`` plays another number.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.conftest import Faults
from tests.support.order_payloads import random_payload
from tests.support.servers import eventually

HOOKS = int(os.environ.get("YES_HOOKS", "100000"))
_LIFE = ("order.created", "order.changed", " Order.Updated", "ORDER.PAID", "order.received")
_AT_ONCE = 32


def lives(count: int, seed: int) -> Iterator[list[dict[str, Any]]]:
    """Orders of five hooks each; every second ``created`` is sound, so that later hooks meet an order."""
    chance = random.Random(seed)  # noqa: S311 - the same hooks for the same seed
    start = datetime.now(UTC) - timedelta(hours=1)
    for order in range(count // len(_LIFE)):
        envelopes: list[dict[str, Any]] = []
        for place, event in enumerate(_LIFE):
            payload = random_payload(chance)
            if place == 0 and order % 2:
                payload = {
                    **payload,
                    "positions": [{"id": "a", "quantity": 2, "price": "85.00"}],
                    "currency": "RUB",
                    "total": None,
                }
            moment = start + timedelta(seconds=place)
            stamp = chance.choice(
                [moment.isoformat(), str(int(moment.timestamp() * 1000)), None, "soon", "1770010112345000000000"]
            )
            payload["originalOrderId"] = f"yes-{seed}-{order}"
            envelopes.append({"event_type": event, "timestamp": stamp, "payload": payload})
        yield envelopes


async def all_pages(faults: Faults, service: str, path: str, **query: str) -> list[dict[str, Any]]:
    """Every item of a list."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await faults.client.get(service, path, limit=200, **query, **({"cursor": cursor} if cursor else {}))
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items


@pytest.mark.chaos
@pytest.mark.timeout(3600)
async def test_no_accepted_hook_is_unreadable_and_no_workflow_is_blocked(faults: Faults) -> None:
    seed = random.SystemRandom().randrange(10**6)
    waiting = lives(HOOKS, seed)
    numbers: set[str] = set()
    headers = {"Client-token": faults.suite.token("marketplace"), "Content-Type": "application/json"}

    async def send(gateway: str) -> None:
        for life in waiting:
            for envelope in life:
                body = json.dumps(envelope)
                async with faults.session.post(gateway + "/hooks/v1/sbermarket", data=body, headers=headers) as answer:
                    said = await answer.json()
                    assert (answer.status, "number" in said) == (200, True), f"{body}: {said}"
                    numbers.add(said["number"])

    gateways = faults.gateways
    await asyncio.gather(*(send(gateways[place % len(gateways)]) for place in range(_AT_ONCE)))
    assert len(numbers) == HOOKS // len(_LIFE)

    async def recorded() -> list[dict[str, Any]]:
        found = [
            item
            for item in await all_pages(faults, "webhook-gateway", "/admin/v1/deliveries")
            if item["number"] in numbers
        ]
        assert len(found) == HOOKS // len(_LIFE) * len(_LIFE)
        return found

    deliveries = await eventually(recorded, within=900, every=5, what="every hook in the ledger")
    taken = {"confirmed", "spooled"}
    created = {item["number"] for item in deliveries if item["event"] == "order.created" and item["outcome"] in taken}
    assert {item["outcome"] for item in deliveries} <= {*taken, "quarantined"}
    assert 0.2 < len(created) / len(numbers) < 0.9, "the mixture is neither all good nor all bad"

    async def readable() -> bool:
        orders = {item["number"] for item in await all_pages(faults, "orchestrator", "/admin/v1/orders")}
        assert created - orders == set(), f"{seed=}"
        return True

    await eventually(readable, within=900, every=5, what="an order for every accepted order.created")
    crashed = await all_pages(faults, "orchestrator", "/admin/v1/workflows", state="crashed")
    failed = await all_pages(faults, "orchestrator", "/admin/v1/workflow-events", state="failed")
    assert ([item["error"] for item in crashed], failed) == ([], []), f"{seed=}"
