"""The disks of PostgreSQL, RabbitMQ and the spool are full, alone and all at once: what was acknowledged is there afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from suite_local.testing import running_suite
from tests.support.suite_client import RunningSuite, environment_for

from .conftest import GATEWAYS, Faults
from .reading import READS, reading, undocumented

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

SIZES = {"postgres": "700m", "rabbitmq": "2g", "spool": "32m"}
PATIENT = [0.5, 1, 2, 4, 8, 16, 30, 30]
"""The marketplace's repeats: RabbitMQ looks at its disk every ten seconds, and a database that stopped has to begin."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system of its own, and a file that takes all of its room."""

    directory: Path

    @asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        """Keep it full: what the servers give back meanwhile is taken too."""
        ballast = self.directory / "ballast"
        filling = asyncio.create_task(self._fill(ballast))
        try:
            yield
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)
            ballast.unlink(missing_ok=True)

    async def _fill(self, ballast: Path) -> None:
        while True:
            await asyncio.to_thread(_fill, ballast)
            await asyncio.sleep(0.2)


def _fill(ballast: Path) -> None:
    with ballast.open("ab", buffering=0) as file:
        for size in (1024**2, 4096):
            with contextlib.suppress(OSError):  # no room
                while True:
                    file.write(bytes(size))


@contextmanager
def mounted(directory: Path, size: str) -> Iterator[None]:
    """Give a directory a file system of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@pytest.fixture(scope="module")
def whole_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    """A whole suite of which PostgreSQL, RabbitMQ and the spools have small disks of their own."""
    directory = tmp_path_factory.mktemp("disks")
    with ExitStack() as stack:
        for name, size in SIZES.items():
            stack.enter_context(mounted(directory / name, size))
        stack.enter_context(running_suite(directory, gateways=GATEWAYS))
        yield RunningSuite(directory, environment_for(directory))


@dataclass(frozen=True, slots=True)
class Case:
    """Which disks are full together, how long, in which order they get room again, and what marketplaces may be told."""

    disks: tuple[str, ...]
    seconds: float
    told: frozenset[str]


NO_ROOM = "No space left on device"
SPARED = frozenset({"200"})
REFUSED = frozenset({"200", "503"})
CASES = {
    "PostgreSQL": Case(("postgres",), 12, SPARED),
    "RabbitMQ": Case(("rabbitmq",), 14, SPARED),
    "the spool": Case(("spool",), 6, SPARED),
    "all, PostgreSQL first": Case(("postgres", "rabbitmq", "spool"), 14, REFUSED),
    "all, RabbitMQ first": Case(("rabbitmq", "spool", "postgres"), 14, REFUSED),
    "all, the spool first": Case(("spool", "postgres", "rabbitmq"), 14, REFUSED),
}

if os.geteuid() == 0:  # only root can mount

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES)
    async def test_nothing_acknowledged_is_lost_to_a_full_disk(faults: Faults, since: datetime, case: Case) -> None:
        """A RabbitMQ that could not write its log is begun anew when there is room: its queues stay closed otherwise."""
        before = {service: faults.pids(service) for service in faults.suite.description["services"]}

        refused = (faults.suite.directory / "logs" / "postgres.log").read_text(encoding="utf-8").count(NO_ROOM)

        async def fault() -> None:
            await asyncio.sleep(2)
            async with AsyncExitStack() as stack:
                # Last in, first out: the first of the case has room again first.
                for number, name in enumerate(reversed(case.disks)):
                    if number:
                        stack.push_async_callback(asyncio.sleep, 3)
                    if name == "rabbitmq":
                        stack.push_async_callback(faults.kill, "rabbitmq")
                    await stack.enter_async_context(Disk(faults.suite.directory / name).full())
                await asyncio.sleep(case.seconds)
                log = (faults.suite.directory / "logs" / "postgres.log").read_text(encoding="utf-8")
                assert "postgres" not in case.disks or log.count(NO_ROOM) > refused

        async with reading(faults) as answers:
            report = await faults.play_during(fault(), seed=41, schedule=PATIENT)
            await faults.everybody_ready()
        print(f"answers {dict(sorted(answers.items()))}")  # noqa: T201 -- what was seen
        await faults.connected()
        await faults.spools_empty()
        assert {service: faults.pids(service) for service in before} == before
        assert {service for service, _ in answers} == {*READS, "console"}
        assert undocumented(answers) == {}
        await faults.all_is_right(report, since, within=180)
        assert set(report["summary"]["answers"]) == case.told
