"""A trial: orders at a steady rate through the edge while something fails, then the verdict of the checkers, and a section of the page."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.conftest import Faults, together
from tests.cluster.page import Page, Section, Seen
from tests.support.terminal import Terminal

# What two cores carry that run all of this: five or six hooks an order, 19 processes, every message on three disks.
ORDERS_A_SECOND = float(os.environ.get("CLUSTER_ORDERS_A_SECOND", "20"))
_WAVE = 10
LONGEST_ANSWER_S = 5.0
"""So long the marketplace waits."""


@dataclass
class Trials(Faults):
    """The suite behind its edge, whose log names each request. ``page`` is where each trial is told."""

    edge: str
    edge_log: Path
    page: Page

    def passed_on(self) -> int:
        """How many requests the edge gave to a second gateway, too: the first may have taken them when it went on."""
        return len(re.findall(r'"upstream":"[^"]*, ', self.edge_log.read_text(encoding="utf-8")))

    async def play(self, **order: Any) -> dict[str, Any]:
        """Play through the edge, as the marketplace does."""
        return await super().play(**{"urls": [self.edge], **order})

    async def withstands(
        self,
        title: str,
        fault: Callable[[Section], Awaitable[None]],
        since: datetime,
        *,
        seed: int,
        orders_a_second: float = ORDERS_A_SECOND,
        within: float = 300,
    ) -> Section:
        """Play until the fault is over; then everybody is ready again, every answer was in time, and every checker finds all right."""
        with self.page.section(title) as section:
            report = await self._play_through(fault(section), section, seed=seed, orders_a_second=orders_a_second)
            over = time.monotonic()
            await self.connected()
            await self.everybody_ready()
            section.notes.append(f"everybody ready {time.monotonic() - over:.1f} s after the last order")
            seen = Seen.of([report])
            assert set(seen.answers) <= {"200", "503"}, seen.answers
            assert seen.slowest < LONGEST_ANSWER_S
            await self.all_is_right(report, since, within=within)
            section.notes.append(
                f"everything worked off and compared {time.monotonic() - over:.0f} s after the last order"
            )
            section.notes.append(f"ledger: {await self.outcomes(since)}")
            section.verdict = await self._checked()
        return section

    async def _play_through(
        self, fault: Awaitable[None], section: Section, *, seed: int, orders_a_second: float
    ) -> dict[str, Any]:
        """Begin a wave of orders at every turn, whether or not the ones before are answered: a slow answer does not lessen the load."""
        failing, playing = asyncio.ensure_future(fault), []
        start = time.monotonic()
        try:
            for number in itertools.count():
                over = failing.done()  # one more wave then
                playing.append(asyncio.create_task(self._wave(section, seed * 100_000 + number)))
                if over:
                    break
                await asyncio.sleep(max(0.0, start + (number + 1) * _WAVE / orders_a_second - time.monotonic()))
            seconds = time.monotonic() - start
            section.notes.append(f"{len(playing) * _WAVE / max(1.0, seconds):.0f} orders a second for {seconds:.0f} s")
            waves = await asyncio.gather(*playing)
            await failing
        finally:
            for task in (failing, *playing):
                task.cancel()
        return together(waves)

    async def _wave(self, section: Section, seed: int) -> dict[str, Any]:
        begun = time.monotonic()
        report = await self.play(seed=seed, orders=_WAVE, concurrency=_WAVE)
        section.plays.append((begun, report))
        return report

    async def _checked(self) -> str:
        """What ``ordersctl check all`` says; anything that it finds is an ``AssertionError``."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SUITE_RUN_DIR", str(self.suite.directory))
            patch.setenv("ORDERSCTL_CONFIG_DIR", str(self.run.root / "ordersctl"))
            ended = await Terminal()("check", "all")
        assert ended.code == 0, ended.out
        return ended.out
