"""Shuffled and repeated hooks of many orders, several replicas, replicas that die: every order ends as if all had come in order."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tests.support.servers import eventually

ORDERS = 200


def life(gateway: Any, index: int) -> tuple[str, list[Any], str, str | None]:
    """An order's hooks, the status it has to end in, and what has to have left the store."""
    name, position = f"M{index}", gateway.position
    created = gateway.hook(
        name, "order.created", minute=1, positions=[position("a", 2)], payment={"id": f"pay-{index}"}
    )
    changed = gateway.hook(name, "order.changed", minute=2, positions=[position("a", 3)])
    paid = gateway.hook(name, "order.paid", minute=3, positions=[position("a", 3, "80.00")])
    received = gateway.hook(name, "order.received", minute=4)
    delivered = gateway.hook(name, "order.delivered", minute=5)
    cancelled = gateway.hook(name, "order.cancelled", minute=6)
    hooks, status, stock = {
        0: ([created, changed, paid, received, delivered], "delivered", "-3"),
        1: ([created, changed, paid, delivered], "delivered", "-3"),
        2: ([created, changed, cancelled], "cancelled", None),
        3: ([created, received, cancelled], "cancelled", "-2"),
        4: ([created, changed, paid, cancelled], "cancelled", None),
    }[index % 5]
    return gateway.number(name), hooks, status, stock


def storm(gateway: Any, seed: int) -> tuple[list[Any], dict[str, tuple[str, str | None]]]:
    """All hooks of all orders, repeated and out of order, and how each order has to end."""
    chance = random.Random(seed)  # noqa: S311 - shuffles a test
    hooks: list[tuple[float, Any]] = []
    ends: dict[str, tuple[str, str | None]] = {}
    for index in range(ORDERS):
        number, own, status, stock = life(gateway, index)
        ends[number] = (status, stock)
        for place, hook in enumerate(own):
            late = chance.uniform(0, 12) if chance.random() < 0.3 else 0.0
            hooks.append((place + index / ORDERS + late, hook))
            if chance.random() < 0.2:
                hooks.append((place + chance.uniform(0, 9), hook))
    return [hook for _, hook in sorted(hooks, key=lambda item: item[0])], ends


async def publish(gateway: Any, hooks: list[Any]) -> None:
    """Publish, sixteen at a time."""
    for start in range(0, len(hooks), 16):
        await asyncio.gather(*(gateway.send(hook) for hook in hooks[start : start + 16]))


async def check(database: Any, ends: dict[str, tuple[str, str | None]], hooks: list[Any]) -> None:
    """Wait until nothing is left to do, then compare everything with what has to be."""

    async def quiet() -> bool:
        row = await database.fetchrow(
            "SELECT (SELECT count(*) FROM workflow_event WHERE attributes ? 'body_form') AS events,"
            " (SELECT count(*) FROM workflow_ready WHERE ready_at <= clock_timestamp() OR attempts > 0) AS ready,"
            " (SELECT count(*) FROM outbox) AS promised"
        )
        assert dict(row) == {"events": len({(hook.event_id) for hook in hooks}), "ready": 0, "promised": 0}
        return True

    await eventually(quiet, what="every event is carried out and told")
    rows = await database.fetch("SELECT number, status FROM orders")
    moved = await database.fetch(
        "SELECT number, sum(quantity)::text AS moved FROM stock_movements GROUP BY number HAVING sum(quantity) <> 0"
    )
    stock = {row["number"]: row["moved"].rstrip("0").rstrip(".") for row in moved}
    assert {row["number"]: (row["status"], stock.get(row["number"])) for row in rows} == ends
    cursors = await database.fetchval(
        "SELECT count(*) FROM workflow WHERE done_seq <> last_seq OR (kind = 'order_life' AND state <> 3) OR state IN (2, 4)"
    )
    assert (cursors, await database.fetchval("SELECT count(*) FROM parked_order")) == (0, 0)
    # Every end began what follows it, once: the sum to pay and the document of the delivered, the refund of the cancelled.
    delivered = sum(status == "delivered" for status, _ in ends.values())
    begun = await database.fetch("SELECT kind, count(*) AS many FROM workflow GROUP BY kind")
    counted = {row["kind"]: row["many"] for row in begun}
    assert counted["refund_request"] == await database.fetchval(
        "SELECT count(*) FROM orders WHERE status = 'cancelled' AND paid AND payment_id IS NOT NULL"
    )
    assert await database.fetchval("SELECT count(*) FROM order_transactions AS t JOIN orders AS o USING (number)"
                                   " WHERE o.status = 'delivered' AND t.sum_to_pay = o.cost_total") == delivered  # fmt: skip
    assert await database.fetchval("SELECT count(DISTINCT d.order_number) FROM order_document AS d JOIN orders AS o"
                                   " ON o.number = d.order_number WHERE o.status = 'delivered'") == delivered  # fmt: skip


async def test_two_replicas_bring_shuffled_and_repeated_orders_to_their_right_ends(
    start: Any, gateway: Any, database: Any, listener: Any
) -> None:
    await start(replica="one")
    await start(replica="two")
    hooks, ends = storm(gateway, seed=1)
    await publish(gateway, hooks)
    await check(database, ends, hooks)
    announced = await listener.take("notifier.orders")
    created = [event.subject for event in announced if event.type == "orders.order.created.v1"]
    assert sorted(created) == sorted(ends)
    cancelled = {
        event.subject: event.data["notify"] for event in announced if event.type == "orders.order.cancelled.v1"
    }
    corrected = {
        event.subject for event in announced if event.type == "orders.order.corrected.v1" and event.data["notify"]
    }
    for number, (status, stock) in ends.items():
        if status == "cancelled":
            # Told if it was not shipped; where the shipping was learned of too late, it was taken back.
            assert cancelled[number] is (stock is None) or number in corrected
    refunds = await listener.take("refunds.wanted")
    assert len({event.subject for event in refunds}) == ORDERS // 5
    assert len({event.id for event in announced}) == len(announced)


async def test_replicas_that_die_in_the_middle_lose_nothing_and_double_nothing(
    settings: Any, gateway: Any, database: Any, start: Any
) -> None:
    from common.service import Lifecycle
    from orchestrator.app import build

    hooks, ends = storm(gateway, seed=2)
    quick = settings.model_copy(update={"lease": 0.5, "batch_size": 7, "max_attempts": 50})

    async def doomed(name: str, seconds: float) -> None:
        """A replica whose tasks are cancelled all at once, wherever they are."""
        lifecycle = Lifecycle()
        before = asyncio.all_tasks()
        await build(quick.model_copy(update={"replica": name}), lifecycle)
        await asyncio.sleep(seconds)
        for task in asyncio.all_tasks() - before - {asyncio.current_task()}:
            if task.get_name().startswith(("worker-", "calls-", "outbox-relay", "orchestrator.intake")):
                task.cancel()
        await lifecycle.drain()

    sending = asyncio.create_task(publish(gateway, hooks))
    chance = random.Random(3)  # noqa: S311 - shuffles a test
    for round_ in range(6):
        await doomed(f"doomed-{round_}", chance.uniform(0.15, 0.5))
    await sending
    await start(lease=0.5, max_attempts=50)
    await check(database, ends, hooks)
