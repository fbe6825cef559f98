"""Half an hour in which everything is killed, frozen, cut off and begun again at random; then one verdict.

``CLUSTER_SECONDS`` and ``CLUSTER_SEED`` choose another length and other chances.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psutil
import pytest

from tests.cluster.broker_faults import EACH, Fault, until_whole
from tests.cluster.broker_nodes import NODES
from tests.cluster.conftest import Stand
from tests.cluster.page import Section
from tests.cluster.trials import Trials

SECONDS = float(os.environ.get("CLUSTER_SECONDS", "1800"))
SEED = int(os.environ.get("CLUSTER_SEED", "1"))
ORDERS_A_SECOND = 5.5  # ten thousand in half an hour
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(SECONDS + 2400)]


@dataclass
class Misfortune:
    """Chooses what fails next. One thing at a time, and each begins when the last one is over."""

    stand: Stand
    trials: Trials
    chance: random.Random
    section: Section
    begun: float = field(default_factory=time.monotonic)

    async def go_on(self) -> None:
        """Let one thing after the other fail until the time is over; then all of it runs."""
        kinds: list[Callable[[], tuple[str, Coroutine[Any, Any, None]]]] = [
            *[self._service] * 4,
            *[self._broker] * 2,
            self._database,
        ]
        while time.monotonic() - self.begun < SECONDS:
            what, failing = self.chance.choice(kinds)()
            with self.section.fails(what):
                await failing
            await asyncio.sleep(self.chance.uniform(0, 10))
        await until_whole(self.stand.brokers, self.section)

    def _service(self) -> tuple[str, Coroutine[Any, Any, None]]:
        name = self.chance.choice(sorted(self.trials.suite.description["services"]))
        replica = self.chance.randrange(len(self.trials.pids(name)))
        if self.chance.random() < 0.5:
            return f"{name} {replica} killed", self.trials.kill(name, which=replica)
        return f"{name} {replica} frozen", self._freeze(self.trials.pids(name)[replica], self.chance.uniform(1, 15))

    async def _freeze(self, pid: int, seconds: float) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            process.suspend()
            try:
                await asyncio.sleep(seconds)
            finally:
                process.resume()

    def _broker(self) -> tuple[str, Coroutine[Any, Any, None]]:
        node = self.chance.randrange(NODES)
        fault = self.chance.choice(EACH)
        return f"broker {node + 1} {fault.__name__}", self._broker_fails(fault, node)

    async def _broker_fails(self, fault: Fault, node: int) -> None:
        await fault(self.stand.brokers, node)
        await until_whole(self.stand.brokers, self.section)

    def _database(self) -> tuple[str, Coroutine[Any, Any, None]]:
        frozen = self.chance.random() < 0.5
        return f"primary {'frozen, fenced' if frozen else 'killed'}, standby promoted", self._takes_over(frozen=frozen)

    async def _takes_over(self, *, frozen: bool) -> None:
        pair = self.stand.databases
        await asyncio.to_thread(pair.lose_primary, frozen_first=frozen)
        await asyncio.to_thread(pair.promote)
        await asyncio.sleep(self.chance.uniform(1, 5))
        await asyncio.to_thread(pair.join)


async def test_nothing_is_lost_doubled_or_wrong_after_half_an_hour_of_faults(
    stand: Stand, trials: Trials, since: datetime
) -> None:
    chance = random.Random(SEED)  # noqa: S311 - chance, not secrecy

    async def everything(section: Section) -> None:
        await Misfortune(stand, trials, chance, section).go_on()
        section.notes.append(
            f"faults by kind: {dict(Counter(what.rpartition(' ')[2] for _, what, _ in section.failed))}"
        )

    title = f"Everything fails at random for {SECONDS:.0f} s, seed {SEED}"
    await trials.withstands(title, everything, since, seed=SEED, orders_a_second=ORDERS_A_SECOND, within=900)
