"""P1b: how long a hook waits for its answer when the broker hangs, and when it is dead; and that none of the answered is lost.

Hooks come at a fixed pace, whatever happens to the answers. Between the gateway and the broker stands a proxy that stalls (takes
connections, passes nothing on) or resets every connection. *First* are the hooks that were sent before the circuit opened, *open* those
after; the reference is the same pace with a broker that is well, in the same run. At the end every answered order must be in both queues.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aio_pika
import aiohttp
import orjson
from yarl import URL

from tests.bench.figures import figure, percentile
from tests.bench.rig import QUEUES, TOKEN, Servers, fetch, gateway, servers
from tests.support.servers import CuttingProxy, eventually

PACE = float(os.environ.get("BENCH_PACE", "200"))
ROUNDS = int(os.environ.get("BENCH_OUTAGE_ROUNDS", "3"))
WELL_S, FAULT_S = 2.0, 4.0
_BODY = {
    "event_type": "order.created",
    "timestamp": "2026-11-21T10:00:00+03:00",
    "payload": {
        "positions": [{"id": f"sku-{number}", "quantity": number, "price": "85.00"} for number in range(1, 13)],
        "total": {"totalPrice": "6630.00"},
    },
}
_OPEN = 'gateway_breaker_state{state="closed"} 0.0'


@dataclass
class Seen:
    """Answers by the moment of sending: (sent, waited) in seconds, and the orders that were answered 200."""

    waits: list[tuple[float, float]] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    refused: int = 0

    def between(self, start: float, end: float) -> list[float]:
        """Return how long the hooks sent in the interval waited, in milliseconds."""
        return [waited * 1000 for sent, waited in self.waits if start <= sent < end]


async def main() -> None:
    """Let the broker hang and die in turn, and print the waits."""
    seen = Seen()
    waits: dict[str, list[float]] = {}
    async with servers() as stand:
        target = URL(stand.amqp_url)
        proxy = CuttingProxy(target.host or "", target.port or 5672)
        await proxy.start()
        behind = Servers(stand.dsn, str(target.with_host("127.0.0.1").with_port(proxy.port)))
        try:
            with (
                tempfile.TemporaryDirectory(prefix="suite-bench-") as directory,
                await asyncio.to_thread(_Started, behind, Path(directory)) as url,
            ):
                async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
                    for _ in range(ROUNDS):
                        for fault, break_it in (("hangs", proxy.stall), ("is dead", proxy.refuse)):
                            await one_fault(session, url, fault, break_it, proxy, seen, waits)
                lost = await missing(stand.amqp_url, seen.answered)
        finally:
            await proxy.stop()
    report(waits, seen, lost)


class _Started:
    """The gateway as a plain context manager that a thread may wait for."""

    def __init__(self, stand: Servers, directory: Path) -> None:
        self._gateway = gateway(stand, directory)
        self._url = self._gateway.__enter__()[0]

    def __enter__(self) -> str:
        return self._url

    def __exit__(self, *_: object) -> None:
        self._gateway.__exit__(None, None, None)


async def one_fault(
    session: aiohttp.ClientSession,
    url: str,
    fault: str,
    break_it: Callable[[], None],
    proxy: CuttingProxy,
    seen: Seen,
    waits: dict[str, list[float]],
) -> None:
    """Send before, during and after one fault; wait until the spool has been relayed."""
    stop = asyncio.Event()
    sending = asyncio.create_task(pace(session, url, seen, stop))
    began = time.monotonic()
    await asyncio.sleep(WELL_S)
    broken = time.monotonic()
    break_it()
    await metrics_when(url, lambda text: _OPEN in text, every=0.02)
    opened = time.monotonic()
    await asyncio.sleep(FAULT_S)
    mended = time.monotonic()
    proxy.heal()
    stop.set()
    await sending
    for name, start, end in (
        ("the broker is well", began + 0.5, broken),
        (f"the broker {fault}: first", broken, opened),
        (f"the broker {fault}: open", opened, mended),
    ):
        waits.setdefault(name, []).extend(seen.between(start, end))
    await metrics_when(
        url,
        lambda text: "gateway_spool_records 0.0" in text and "gateway_broker_ready 1.0" in text and _OPEN not in text,
        every=0.1,
    )


async def metrics_when(url: str, wanted: Callable[[str], bool], *, every: float) -> None:
    """Return when the gateway's metrics say what is wanted."""

    async def probe() -> bool:
        return wanted(await asyncio.to_thread(fetch, url + "/metrics"))

    await eventually(probe, within=60, every=every, what="what the metrics should say")


async def pace(session: aiohttp.ClientSession, url: str, seen: Seen, stop: asyncio.Event) -> None:
    """Send at the pace until told to stop; return when everything was answered."""
    started = time.monotonic()
    hooks: set[asyncio.Task[None]] = set()
    count = 0
    while not stop.is_set():
        due = started + count / PACE
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        hook = asyncio.create_task(
            send(session, url, f"o{started:.3f}-{count}", max(due, time.monotonic() - 0.001), seen)
        )
        hooks.add(hook)
        hook.add_done_callback(hooks.discard)
        count += 1
    await asyncio.gather(*hooks)


async def send(session: aiohttp.ClientSession, url: str, order: str, sent: float, seen: Seen) -> None:
    """Send one hook and remember how long it took."""
    body = orjson.dumps({**_BODY, "payload": {**_BODY["payload"], "originalOrderId": order}})  # type: ignore[dict-item]  # a payload
    async with session.post(url + "/hooks/v1/sbermarket", data=body, headers={"Client-token": TOKEN}) as answer:
        await answer.read()
        seen.waits.append((sent, time.monotonic() - sent))
        if answer.status == 200:
            seen.answered.add(order)
        else:
            seen.refused += 1


async def missing(amqp_url: str, answered: set[str]) -> int:
    """Read both queues until they are dry; return how many answered orders are not in each."""
    lost = 0
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=500)
        for name in QUEUES:
            queue = await channel.get_queue(name)
            there: set[str] = set()
            try:
                async with queue.iterator(timeout=3) as messages:
                    async for message in messages:
                        there.add(orjson.loads(message.body)["externalid"])
                        await message.ack()
            except TimeoutError:
                pass
            lost += len(answered - there)
    return lost


def report(waits: dict[str, list[float]], seen: Seen, lost: int) -> None:
    """Print the figures."""
    goals = {"first": 1000.0, "open": 50.0}
    for name, values in waits.items():
        goal = goals.get(name.rpartition(": ")[2])
        figure(
            "P1b", f"{name}, p99 ms", round(percentile(values, 99), 1), goal=goal, p50_ms=round(percentile(values, 50), 1),
            max_ms=round(max(values), 1), hooks=len(values),
        )  # fmt: skip
    well = percentile(waits["the broker is well"], 99)
    for fault in ("hangs", "is dead"):
        ratio = percentile(waits[f"the broker {fault}: open"], 99) / well
        figure("P1b", f"p99 while the circuit is open ({fault}) / p99 when well", round(ratio, 2))
    figure("P1b", "answered and not in both queues", lost, goal=0, answered=len(seen.answered), refused=seen.refused)


if __name__ == "__main__":
    asyncio.run(main())
