"""Thousands of orders as fast as two gateways take them, then the three checkers: nothing is lost, no money has moved twice.

``FULL_RATE_ORDERS`` plays another number: fifty thousand take about a quarter of an hour on two cores.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from suite_local.catalogue import GATEWAY
from suite_local.paths import RunDirectory
from suite_local.ports import LOOPBACK, PortBook
from suite_local.testing import running_suite
from tests.support.order_hooks import hook, life
from tests.support.servers import eventually
from tests.support.suite_client import RunningSuite, environment_for

ORDERS = int(os.environ.get("FULL_RATE_ORDERS", "2000"))
GATEWAYS, AT_ONCE = 2, 64
CANCELLED = 10
"""One order in so many is cancelled after it was paid: its money goes back."""
_WAIT_S = 60 + ORDERS // 50


def bodies(number: int) -> list[tuple[str, bytes]]:
    """The hooks of an order, event and body, as the marketplace sends them."""
    name = f"rate-{number}"
    hooks = life(name)
    if number % CANCELLED == 0:
        hooks = [*hooks[:2], hook(name, "order.cancelled", minute=4)]
    return [(each.event, each.body) for each in hooks]


class Marketplace:
    """Sends each order's hooks one after another, as many orders at a time as there are senders, and again what was not taken."""

    def __init__(self, gateways: list[str], token: str) -> None:
        self._gateways = gateways
        self._headers = {"Client-token": token, "Content-Type": "application/json"}
        self.waiting: Iterator[int] = iter(range(ORDERS))
        self.taken: list[tuple[str, str]] = []
        self.refused: Counter[int] = Counter()

    async def send(self, session: aiohttp.ClientSession, place: int) -> None:
        """Send orders until there are no more."""
        url = self._gateways[place % len(self._gateways)] + "/hooks/v1/sbermarket"
        for number in self.waiting:
            for event, body in bodies(number):
                self.taken.append((await self._number(session, url, body), event))

    async def _number(self, session: aiohttp.ClientSession, url: str, body: bytes) -> str:
        """Send a hook until a gateway has taken it; return the number that it gives the order."""
        while True:
            async with session.post(url, data=body, headers=self._headers) as answer:
                if answer.status == 200:
                    return str((await answer.json())["number"])
                self.refused[answer.status] += 1
            await asyncio.sleep(0.2)


def checked(suite: RunningSuite, service: str, *words: str) -> tuple[int, str]:
    """Run a checker as an operator would."""
    done = subprocess.run(
        [sys.executable, "-m", service, *words, "--suite", str(suite.directory / "suite.json"), "--wait", str(_WAIT_S)],
        env=suite.environment,
        cwd=suite.directory,
        capture_output=True,
        text=True,
        timeout=2 * _WAIT_S + 600,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def own_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    """A suite with two gateways that nothing else has happened in."""
    directory = tmp_path_factory.mktemp("rate")
    with running_suite(directory, gateways=GATEWAYS):
        yield RunningSuite(directory, environment_for(directory))


@pytest.mark.chaos
@pytest.mark.timeout(3600)
async def test_orders_at_full_rate_are_all_there_and_no_refund_is_paid_twice(
    own_suite: RunningSuite, tmp_path: Path
) -> None:
    suite = own_suite
    book = PortBook(RunDirectory(suite.directory).state_file)
    gateways = [f"http://{LOOPBACK}:{book.known(program)}" for program in GATEWAY.programs(GATEWAYS)]
    marketplace = Marketplace(gateways, suite.token("marketplace"))
    began = time.monotonic()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        await asyncio.gather(*(marketplace.send(session, place) for place in range(AT_ONCE)))
    seconds, hooks = time.monotonic() - began, len(marketplace.taken)
    assert hooks == sum(len(bodies(number)) for number in range(ORDERS))
    acknowledged = tmp_path / "acknowledged.jsonl"
    acknowledged.write_text(
        "".join(json.dumps({"number": number, "event": event}) + "\n" for number, event in marketplace.taken)
    )
    refunds = await asyncpg.connect(suite.description["databases"]["refunds"])

    async def asked_for() -> bool:
        """Whether money was asked back for every order that was cancelled, once."""
        return bool(await refunds.fetchval("SELECT count(*) FROM refunds") == len(range(0, ORDERS, CANCELLED)))

    await eventually(asked_for, within=_WAIT_S, every=1, what="a refund of every cancelled order")
    await refunds.close()
    verdicts = [
        await asyncio.to_thread(checked, suite, *words)
        for words in (
            ("refunds", "check-refunds", "--sandbox", suite.url("sandbox")),
            ("orchestrator", "check-orders"),
            (
                "webhook_gateway",
                "check-ledger",
                "--spool-dir",
                str(suite.directory),
                "--acknowledged",
                str(acknowledged),
            ),
        )
    ]
    told = [said.rstrip().rpartition("\n")[2] for _, said in verdicts]
    print(f"{ORDERS} orders, {hooks / seconds:.0f} hooks/s, refused {dict(marketplace.refused)}; {'; '.join(told)}")  # noqa: T201 - what was done
    assert [code for code, _ in verdicts] == [0, 0, 0], "\n".join(said[-2000:] for _, said in verdicts)
