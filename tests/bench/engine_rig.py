"""What the orchestrator's benchmarks stand on: hooks in waves, orchestrators as processes, and what they say they have done."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.ids import derived_id, new_id, order_number
from common.messaging import Broker
from common.messaging.publisher import Outgoing
from suite_local.ports import free_port
from tests.bench.rig import Servers, fetch, process, wait_for

SOURCE = "sbermarket"
LIFE = ("order.created", "order.changed", "order.paid", "order.received", "order.delivered")
POSITIONS = 3
"""What the sandbox's customers put into a basket on average."""
_PRODUCTS = 20_000
"""So many that no cache of ours holds an order's lines because another order had them."""
_START = datetime(2026, 11, 21, 10, tzinfo=UTC)
_AT_ONCE = 1000
LIVES = 'workflow_events_completed_total{kind="order_life"}'
"""A hook carried out counts here once. The calls that it leads to are counted under kinds of their own: those are no hooks."""


def waves(orders: int, *, prefix: str) -> Iterator[IntakeMessage]:
    """Yield five hooks an order, wave by wave: no two events of one order come together, so each is a transition of its own."""
    for place, event in enumerate(LIFE):
        for index in range(orders):
            yield hook(f"{prefix}-{index}", event, minute=place, quantity=2 + (place > 0))


def hook(external_id: str, event: str, *, minute: int, quantity: int = 2) -> IntakeMessage:
    """Return a hook as the gateway publishes it."""
    payload: dict[str, Any] = {"originalOrderId": external_id}
    if event == "order.created":
        payload |= {
            "storeID": "17",
            "comment": "call first",
            "shipmentMethod": "by_courier",
            "replacementPolicy": "call_or_replace",
            "customer": {"name": "Test Customer", "phone": "+70000000000", "email": "nobody@example.org"},
            "address": {"full_address": "1 Example Street, flat 2"},
            "payment": {"method": "card", "id": f"pay-{external_id}"},
            "zone": "moscow",
            "tariff": "express",
        }
    if event in LIFE[:3]:
        first = zlib.crc32(external_id.encode())
        chosen = [(first + number * 7919) % _PRODUCTS for number in range(POSITIONS)]
        prices = [50 + product % 450 for product in chosen]
        payload["positions"] = [
            {
                "id": f"sku-{product}",
                "name": f"Product {product}",
                "originalQuantity": 2,
                "quantity": quantity,
                "price": f"{price}.90",
                "discountPrice": f"{price}.00",
                "weight": "0.5",
                "totalPrice": f"{price * quantity}.{90 * quantity % 100:02}",
                "totalDiscountPrice": f"{price * quantity}.00",
            }
            for product, price in zip(chosen, prices, strict=True)
        ]
        payload["total"] = {"discountTotalPrice": f"{sum(prices) * quantity}.00"}
    sent_at = (_START + timedelta(minutes=minute)).isoformat()
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
    event_id = (
        derived_id(SOURCE, external_id, event)
        if event == LIFE[0]
        else derived_id(SOURCE, external_id, event, digest, sent_at)
    )
    return IntakeMessage(
        type=HOOK_RECEIVED,
        event_id=event_id,
        delivery_id=new_id(),
        source=SOURCE,
        event=event,
        body_form="envelope",
        body=json.dumps({"event_type": event, "timestamp": sent_at, "payload": payload}).encode(),
        received_at=datetime.now(UTC),
        replica="bench",
        number=order_number(SOURCE, external_id),
        external_id=external_id,
        sent_at=sent_at,
        digest=digest,
        currency="RUB",
        traceparent=f"00-{new_id().replace('-', '')}-00f067aa0ba902b7-01",
    )


async def publish(amqp_url: str, hooks: Iterable[IntakeMessage]) -> int:
    """Put hooks into the intake queue, in their order, all of them confirmed; return how many."""
    count = 0
    async with _broker(amqp_url) as broker:
        batch: list[Outgoing] = []
        for each in hooks:
            envelope = each.to_envelope()
            batch.append(Outgoing("intake", envelope.type, envelope.encode()))
            count += 1
            if len(batch) == _AT_ONCE:
                await _send(broker, batch)
                batch = []
        await _send(broker, batch)
    return count


async def _send(broker: Broker, batch: Sequence[Outgoing]) -> None:
    failures = [failure for failure in await broker.publisher.publish_many(batch, deadline=60) if failure is not None]
    if failures:
        raise failures[0]


@asynccontextmanager
async def _broker(amqp_url: str) -> AsyncIterator[Broker]:
    broker = Broker(amqp_url, name="bench")
    task = asyncio.create_task(broker.run())
    await broker.wait_ready()
    try:
        yield broker
    finally:
        await broker.stop()
        await task


@contextmanager
def orchestrator(
    servers: Servers, directory: Path, *, replica: str, **changes: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `python -m orchestrator serve` as production does; give its address and process when it is ready."""
    directory.mkdir(parents=True, exist_ok=True)
    tokens = directory / "tokens.json"
    tokens.write_text(json.dumps({"tokens": [{"name": "viewer", "token": "viewer-token", "role": "viewer"}]}))
    (directory / "internal-token").write_text("internal-token")
    port = free_port()
    values = {
        "PORT": str(port),
        "POSTGRES_DSN": servers.dsn,
        "AMQP_URL": servers.amqp_url,
        "TOKENS_FILE": str(tokens),
        "INTERNAL_TOKEN_FILE": str(directory / "internal-token"),
        "REPLICA": replica,
        **changes,
    }
    environment = {f"ORCHESTRATOR_{name}": value for name, value in values.items()}
    url = f"http://127.0.0.1:{port}"
    with process([sys.executable, "-m", "orchestrator", "serve"], environment) as child:
        wait_for(lambda: fetch(url + "/readyz"), child)
        yield url, child


@contextmanager
def orchestrators(servers: Servers, directory: Path, count: int) -> Iterator[list[tuple[str, subprocess.Popen[str]]]]:
    """Run so many, started together: one that waits for the next to be ready would have done much of a short queue alone."""
    with ExitStack() as stack, ThreadPoolExecutor(count) as threads:
        each = [orchestrator(servers, directory / str(index), replica=f"bench-{index}") for index in range(count)]
        yield list(threads.map(stack.enter_context, each))


def series(url: str, name: str) -> float:
    """Return the sum of a metric over its labels, or the one series that is named with them."""
    found = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", fetch(url + "/metrics"), re.MULTILINE)
    return sum(map(float, found))


def seconds_until(urls: Sequence[str], name: str, count: float, *, since: float, within: float = 240.0) -> float:
    """Return the seconds from ``since`` (``time.perf_counter``) until the metric, summed over processes, reaches the count.

    Looks rarely while much is left and often near the end: each answer costs a process that is measured some milliseconds.
    """
    deadline = time.perf_counter() + within
    while (done := sum(series(url, name) for url in urls)) < count:
        now = time.perf_counter()
        if now > deadline:
            raise RuntimeError(f"{name} did not reach {count:g} within {within:g} s")
        left = (count - done) * (now - since) / max(done, 1.0)
        time.sleep(min(max(0.6 * left, 0.1), 3.0))
    return time.perf_counter() - since
