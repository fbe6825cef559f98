"""Half an hour in which everything is killed, frozen, cut off and begun again at random; then one verdict, and a page that tells it.

``CLUSTER_SECONDS`` and ``CLUSTER_SEED`` choose another length and other chances. The page is ``.run/cluster/report.md``.
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
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest

from suite_local.paths import repository_root
from tests.chaos.conftest import Faults
from tests.cluster.broker_faults import EACH, Fault
from tests.cluster.broker_nodes import NAMES
from tests.cluster.conftest import Stand
from tests.support.terminal import Terminal

SECONDS = float(os.environ.get("CLUSTER_SECONDS", "1800"))
SEED = int(os.environ.get("CLUSTER_SEED", "1"))
WAVE = 15
WAVE_EVERY_S = 2.7  # ten thousand orders in half an hour
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(SECONDS + 2400)]


@dataclass
class Misfortune:
    """Chooses what fails next, and remembers it. One thing at a time, and each begins when the last one is over."""

    stand: Stand
    faults: Faults
    chance: random.Random
    begun: float = field(default_factory=time.monotonic)
    happened: list[tuple[float, str, float]] = field(default_factory=list)

    async def go_on(self) -> None:
        """Let one thing after the other fail until the time is over; then all of it runs."""
        kinds: list[Callable[[], tuple[str, Coroutine[Any, Any, None]]]] = [
            *[self._service] * 4,
            *[self._broker] * 2,
            self._database,
        ]
        while time.monotonic() - self.begun < SECONDS:
            what, failing = self.chance.choice(kinds)()
            start = time.monotonic()
            await failing
            self.happened.append((start - self.begun, what, time.monotonic() - start))
            await asyncio.sleep(self.chance.uniform(0, 10))
        await asyncio.to_thread(self.stand.brokers.whole)

    def _service(self) -> tuple[str, Coroutine[Any, Any, None]]:
        name = self.chance.choice(sorted(self.faults.suite.description["services"]))
        replica = self.chance.randrange(len(self.faults.pids(name)))
        if self.chance.random() < 0.5:
            return f"{name} {replica} killed", self.faults.kill(name, which=replica)
        return f"{name} {replica} frozen", self._freeze(self.faults.pids(name)[replica], self.chance.uniform(1, 15))

    async def _freeze(self, pid: int, seconds: float) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            process.suspend()
            try:
                await asyncio.sleep(seconds)
            finally:
                process.resume()

    def _broker(self) -> tuple[str, Coroutine[Any, Any, None]]:
        node = self.chance.randrange(len(NAMES))
        fault = self.chance.choice(EACH)
        return f"broker {NAMES[node]} {fault.__name__}", self._broker_fails(fault, node)

    async def _broker_fails(self, fault: Fault, node: int) -> None:
        await fault(self.stand.brokers, node)
        await asyncio.to_thread(self.stand.brokers.whole)

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
    stand: Stand, faults: Faults, since: datetime, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    misfortune = Misfortune(stand, faults, random.Random(SEED))  # noqa: S311 - chance, not secrecy
    report = await faults.play_during(
        misfortune.go_on(), seed=SEED, orders=WAVE, every_s=WAVE_EVERY_S, concurrency=WAVE
    )
    await faults.everybody_ready()
    await faults.connected()
    # A gateway that is frozen or dead answers nothing, and the marketplace sends again: no proxy stands before them here.
    assert {answer for answer in report["summary"]["answers"] if answer.isdigit()} <= {"200", "503"}
    await faults.all_is_right(report, since, within=900)
    monkeypatch.setenv("SUITE_RUN_DIR", str(stand.suite.directory))
    monkeypatch.setenv("ORDERSCTL_CONFIG_DIR", str(tmp_path))
    verdict = await Terminal()("check", "all")
    page = told(misfortune, report, await faults.outcomes(since), verdict.out)
    path = repository_root() / ".run" / "cluster" / "report.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    print(page)  # noqa: T201 - what was seen, with -s
    assert verdict.code == 0, verdict.out


def told(misfortune: Misfortune, report: dict[str, Any], ledger: dict[str, int], verdict: str) -> str:
    """The page: what failed and when, what was answered, what was counted, the verdict."""
    summary = report["summary"]
    kinds = Counter(what.rpartition(" ")[2] for _, what, _ in misfortune.happened)
    lines = [
        f"# {summary['orders']} orders through {len(misfortune.happened)} faults",
        "",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {SECONDS:.0f} s, seed {SEED}.",
        "Two of each service, three brokers, a primary and its standby.",
        "",
        f"- answers: {summary['answers']}; slowest {summary['slowest']} s; sent again {summary['repeats']}",
        f"- ledger: {ledger}",
        f"- orders done {summary['orders_done']}, given up {summary['gave_up']}, cancelled late {summary['auto_cancelled']}",
        f"- faults by kind: {dict(kinds)}",
        "",
        "| at, s | what failed | for, s |",
        "| --- | --- | --- |",
        *(f"| {at:.0f} | {what} | {took:.1f} |" for at, what, took in misfortune.happened),
        "",
        "```",
        verdict.strip(),
        "```",
    ]
    return "\n".join(lines) + "\n"
