"""P4: from a hook's first byte to the order that can be read, and to the chat notice that is committed and can be claimed by a sender.

The whole suite on this machine, `order.created` at a fixed pace whatever happens to the answers. One order in ten is watched: it is
asked for over HTTP, and its notice looked for in the notifier's database, every few milliseconds until it is there.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import orjson

from suite_local.testing import running_suite
from tests.bench.engine_rig import hook
from tests.bench.figures import figure, percentile
from tests.bench.goals import AIMS

PACE = float(os.environ.get("BENCH_ORDER_PACE", "100"))
SECONDS = float(os.environ.get("BENCH_ORDER_SECONDS", "20"))
WATCHED = 10
_STEPS = ("answer", "order readable", "notice committed")
_LOOK_S = 0.004
_GIVE_UP_S = 30.0
_NOTICE = """
SELECT EXISTS (SELECT FROM notices AS n JOIN deliveries AS d ON d.notice_id = n.id WHERE n.order_number = $1)
"""


def main() -> None:
    """Start the whole suite and measure it."""
    with tempfile.TemporaryDirectory(prefix="suite-bench-") as directory, running_suite(Path(directory)) as suite:
        asyncio.run(measure(suite))


async def measure(suite: dict[str, Any]) -> None:
    """Send orders at the pace, a few seconds of them to get warm, and print what was seen of the rest."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        asyncpg.create_pool(suite["databases"]["notifier"], min_size=4, max_size=8) as notifier,
    ):
        run = Run(suite, session, notifier)
        await run.orders(PACE, 3.0, prefix="warm")
        run.forget()
        await run.orders(PACE, SECONDS, prefix="b")
        run.show()


class Run:
    """Sends orders and watches some."""

    def __init__(self, suite: dict[str, Any], session: aiohttp.ClientSession, notifier: asyncpg.Pool) -> None:
        self._gateway = suite["services"]["webhook-gateway"]["url"] + "/hooks/v1/sbermarket"
        self._orders = suite["services"]["orchestrator"]["url"] + "/orders/v1/orders"
        self._hook_headers = {"Client-token": suite["tokens"]["marketplace"], "Content-Type": "application/json"}
        self._read_headers = {"Authorization": f"Bearer {suite['tokens']['internal']}"}
        self._session = session
        self._notifier = notifier
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._answered: list[float] = []
        self._readable: list[float] = []
        self._noticed: list[float] = []
        self._refused = 0

    async def orders(self, pace: float, seconds: float, *, prefix: str) -> None:
        """Send orders at this pace for so long; return when all are answered and the watched ones have arrived."""
        async with asyncio.TaskGroup() as group:
            start = time.perf_counter()
            for index in range(int(pace * seconds)):
                await asyncio.sleep(max(0.0, start + index / pace - time.perf_counter()))
                group.create_task(self._one(f"{prefix}{index}", watched=index % WATCHED == 0))

    @property
    def waits(self) -> dict[str, list[float]]:
        """What was seen since ``forget``: the seconds that each took."""
        return {
            "hook in → answer": self._answered,
            "hook in → order readable": self._readable,
            "hook in → notice committed for sending": self._noticed,
        }

    def show(self) -> None:
        """Print what was seen."""
        for (what, waits), aim in zip(self.waits.items(), _STEPS, strict=True):
            for percent in (50, 99):
                goal = AIMS[f"hook to {aim}, p{percent} ms"]
                value = round(percentile(waits, percent) * 1000, 1)
                figure("P4", f"{what}, p{percent}, ms", value, goal=goal, watched=len(waits), orders_per_s=PACE)
        figure("P4", "hooks not answered 200", self._refused, goal=0)

    async def _one(self, name: str, *, watched: bool) -> None:
        body = hook(name, "order.created", minute=0).body
        started = time.perf_counter()
        async with self._session.post(self._gateway, data=body, headers=self._hook_headers) as answer:
            told = orjson.loads(await answer.read())
        self._answered.append(time.perf_counter() - started)
        if answer.status != 200:
            self._refused += 1
        elif watched:
            readable, noticed = await asyncio.gather(
                self._until_readable(told["number"], started), self._until_noticed(told["number"], started)
            )
            self._readable.append(readable)
            self._noticed.append(noticed)

    async def _until_readable(self, number: str, started: float) -> float:
        while time.perf_counter() - started < _GIVE_UP_S:
            async with self._session.get(f"{self._orders}/{number}", headers=self._read_headers) as answer:
                await answer.read()
                if answer.status == 200:
                    return time.perf_counter() - started
            await asyncio.sleep(_LOOK_S)
        raise RuntimeError(f"order {number} cannot be read")

    async def _until_noticed(self, number: str, started: float) -> float:
        while time.perf_counter() - started < _GIVE_UP_S:
            if await self._notifier.fetchval(_NOTICE, number):
                return time.perf_counter() - started
            await asyncio.sleep(_LOOK_S)
        raise RuntimeError(f"there is no notice of order {number}")


if __name__ == "__main__":
    main()
