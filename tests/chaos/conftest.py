"""One whole suite with two gateways for all fault tests, its servers private; faults are put in its way from here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from suite_local import lifecycle
from suite_local.catalogue import GATEWAY
from suite_local.infrastructure.local import local_rabbitmq
from suite_local.paths import RunDirectory
from suite_local.ports import LOOPBACK, PortBook
from suite_local.testing import running_suite
from tests.chaos.ledger_checker import check_ledger, check_timelines
from tests.support.order_checker import Findings, check_orders
from tests.support.servers import CuttingProxy, eventually, proxied
from tests.support.suite_client import Client, RunningSuite, environment_for

GATEWAYS = 2
STORES = ["17", "21", "42", "99", "11", "12", "13", "14"]
# Fast enough that a play is not most of its time waiting, long enough (40 s) for a server to come back.
_WAVE_S = 0.6  # so that a fast machine does not play ten thousand orders, which take longer to check than to play
SCHEDULE = [0.5, 1, 2, 4, 8, 12, 12]


def _beside_lines_gone(wrong: list[str], lines_gone: int) -> list[str]:
    """Leave out the orders whose timeline has more hooks than the ledger, unless that are more than are known to be gone."""
    short = {each: match for each in wrong if (match := re.search(r"(\d+) deliveries, (\d+) in the timeline$", each))}
    gone = [int(match[2]) - int(match[1]) for match in short.values()]
    known = all(count > 0 for count in gone) and sum(gone) <= lines_gone
    return [each for each in wrong if each not in short] if known else wrong


@dataclass
class Faults:
    """The suite under test: plays, faults, and what is true after them."""

    suite: RunningSuite
    client: Client
    run: RunDirectory
    session: aiohttp.ClientSession

    @property
    def gateways(self) -> list[str]:
        """The addresses of both replicas."""
        book = PortBook(self.run.state_file)
        return [f"http://{LOOPBACK}:{book.known(program)}" for program in GATEWAY.programs(GATEWAYS)]

    def passed_on(self) -> int:
        """How many requests went to a second gateway, too: without an edge, none."""
        return 0

    async def play(self, **order: Any) -> dict[str, Any]:
        """Have the marketplace play, with duplicates and shuffles; the report holds every answer."""
        wanted = {
            "orders": 15,
            "lifecycle": "mixed",
            "duplicates": 0.1,
            "shuffle": 0.2,
            "concurrency": 4,
            "seed": 1,
            "stores": STORES,
            "schedule": SCHEDULE,
        }
        return await self.client.play(**{**wanted, **order})

    async def play_during(
        self, fault: Coroutine[Any, Any, None], *, seed: int, every_s: float = _WAVE_S, **order: Any
    ) -> dict[str, Any]:
        """Play wave after wave until the fault is over, and one wave after it; return the waves as one report.

        However fast the machine is, the load lasts as long as the fault; a wave begins no sooner than ``every_s`` after the one before.
        """
        ending = asyncio.create_task(fault)
        waves: list[dict[str, Any]] = []
        try:
            over = False
            while not over:
                over = ending.done()
                wave, _ = await asyncio.gather(
                    self.play(seed=seed * 1000 + len(waves), **order), asyncio.sleep(every_s)
                )
                waves.append(wave)
            await ending
        finally:
            ending.cancel()
        return together(waves)

    async def all_is_right(
        self, report: dict[str, Any], since: datetime, *, within: float = 120, damaged: int = 0, lines_gone: int = 0
    ) -> None:
        """Acknowledged = in the ledger = at the orchestrator, none twice, every order in its right state.

        ``damaged`` records of a spool are known to be torn, and ``lines_gone`` hooks to be at the orchestrator without their lines of
        the ledger: the gateway's own command has to name them, and nothing else.
        """
        summary = report["summary"]
        assert (summary["orders_done"], summary["gave_up"], summary["auto_cancelled"]) == (summary["orders"], 0, 0)
        assert (summary["violations"], summary["numbers_shared"], summary["numbers"]) == (0, 0, summary["orders"])
        deadline = time.monotonic() + within
        while True:
            wrong = _beside_lines_gone((await self._findings(report, since)).wrong, lines_gone)
            if not wrong or time.monotonic() > deadline:
                break
            await asyncio.sleep(2)
        print(  # noqa: T201 - what was played, with -s or on failure
            f"{summary['orders']} orders, answers {summary['answers']}, repeats {summary['repeats']}, slowest"
            f" {summary['slowest']} s; ledger {await self.outcomes(since)}"
        )
        assert wrong[:20] == []
        code, told = await asyncio.to_thread(self.checked_offline, report)
        print(told.rstrip().rpartition("\n")[2])  # noqa: T201 - the command's verdict
        differences = {kind: int(count) for kind, count in re.findall(r"^(\w+): (\d+)$", told, re.MULTILINE)}
        known = {"damaged_in_the_spool": damaged, "not_in_the_ledger": lines_gone}
        assert differences == {kind: count for kind, count in known.items() if count}, told[-3000:]
        assert code == (1 if differences else 0), told[-3000:]

    def checked_offline(self, report: dict[str, Any]) -> tuple[int, str]:
        """Run the gateway's own ``check-ledger`` over databases and spools, with every positive answer that the marketplace got."""
        acknowledged = self.run.root / "acknowledged.jsonl"
        with acknowledged.open("w", encoding="utf-8") as file:
            for order in report["orders"]:
                for answer in order["answers"]:
                    if answer["status"] == 200:
                        file.write(json.dumps({"number": answer["body"]["number"], "event": answer["event"]}) + "\n")
        where = ("--suite", str(self.run.suite_json), "--spool-dir", str(self.run.root), "--wait", "60")
        done = subprocess.run(
            [sys.executable, "-m", "webhook_gateway", "check-ledger", *where, "--acknowledged", str(acknowledged)],
            env=self.suite.environment,
            cwd=self.run.root,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    async def _findings(self, report: dict[str, Any], since: datetime) -> Findings:
        try:
            findings = await check_orders(self.client, report)
            await check_ledger(self.client, report, since, findings, passed_on=self.passed_on())
            if not findings.wrong:
                await check_timelines(self.client, report, since, findings)
        except (AssertionError, aiohttp.ClientError, OSError) as error:
            # An order that is not there yet is a 404, a service that comes back does not answer.
            return Findings(wrong=[f"cannot be asked yet: {error!r}"])
        return findings

    async def outcomes(self, since: datetime) -> dict[str, int]:
        """The ledger's sums by outcome."""
        sums = await self.client.get(
            "webhook-gateway", "/admin/v1/ledger", **{"from": since.isoformat(), "to": "2100-01-01T00:00:00Z"}
        )
        return {name: sums[name] for name in ("received", "confirmed", "spooled", "quarantined", "refused")}

    async def metric(self, url: str, name: str) -> float:
        """One series of one replica; 0.0 where it does not exist."""
        async with self.session.get(url + "/metrics") as answer:
            for line in (await answer.text()).splitlines():
                if line.startswith(name + " "):
                    return float(line.rpartition(" ")[2])
        return 0.0

    async def connected(self) -> None:
        """Return when every gateway is ready and has its broker lane."""

        async def probe() -> bool:
            try:
                lanes = [await self.metric(url, "gateway_broker_ready") for url in self.gateways]
            except (aiohttp.ClientError, OSError):
                return False
            return lanes == [1.0] * GATEWAYS

        await eventually(probe, within=90, every=0.3, what="both broker lanes")

    async def everybody_ready(self) -> None:
        """Return when every service says that it is ready."""

        async def probe() -> bool:
            try:
                for service in self.suite.description["services"]:
                    await self.client.get(service, "/readyz", role=None)
            except (aiohttp.ClientError, OSError):
                return False
            return True

        await eventually(probe, within=90, every=0.3, what="every service ready")

    async def configured(self, **settings: str) -> None:
        """Start the gateways anew with these settings (``WEBHOOK_GATEWAY_`` is put before them), every other at its default."""
        environment = {
            **self.suite.environment,
            **{f"WEBHOOK_GATEWAY_{name}": value for name, value in settings.items()},
        }
        await asyncio.to_thread(
            lifecycle.up, self.run, environment, replicas={GATEWAY.name: GATEWAYS}, say=lambda _text: None
        )
        await self.connected()

    @asynccontextmanager
    async def broker_behind_a_proxy(self, **settings: str) -> AsyncIterator[CuttingProxy]:
        """Lead the gateways' connections to RabbitMQ through a proxy."""
        async with proxied(self.suite.description["infrastructure"]["rabbitmq"]["url"]) as (proxy, url):
            await self.configured(AMQP_URL=url, **settings)
            try:
                yield proxy
                proxy.heal()
                await self.connected()
                await self.spools_empty()
            finally:
                await self.configured()

    async def spools_empty(self) -> None:
        """Return when everything spooled has been relayed."""

        async def probe() -> bool:
            try:
                depths = [await self.metric(url, "gateway_spool_records") for url in self.gateways]
            except (aiohttp.ClientError, OSError):
                return False
            return not any(depths)

        await eventually(probe, within=120, every=0.5, what="empty spools")

    async def kill(
        self,
        name: str,
        *,
        which: int = 0,
        meanwhile: Callable[[], None] | None = None,
        how: signal.Signals = signal.SIGKILL,
    ) -> None:
        """End a program (``kill -9``) and return when it has another process. ``meanwhile`` is done before that one has begun."""

        async def alive() -> list[int]:
            # PostgreSQL that comes up while the dead one's children are still there ends at once, and is begun again.
            now = self.pids(name)
            return now if all(map(psutil.pid_exists, now)) else []

        before = await eventually(alive, every=0.1, what=f"{name} to be killed")
        os.kill(before[which], how)
        if meanwhile is not None:
            meanwhile()

        async def again() -> bool:
            now = self.pids(name)
            return len(now) == len(before) and before[which] not in now

        await eventually(again, every=0.1, what=f"{name} again")

    def pids(self, name: str) -> list[int]:
        """The processes of a service or server."""
        description = self.suite.description
        if name in description["services"]:
            return [int(pid) for pid in description["services"][name]["pids"]]
        pid = description["infrastructure"][name].get("pid")
        return [] if pid is None else [int(pid)]

    @asynccontextmanager
    async def frozen(self, name: str) -> AsyncIterator[None]:
        """Stop a server and all its children where they stand (SIGSTOP): it hangs, its connections stay open."""
        process = psutil.Process(self.pids(name)[0])
        processes = [process, *process.children(recursive=True)]
        try:
            for each in processes:
                with contextlib.suppress(psutil.NoSuchProcess):  # a child may end at any time
                    each.suspend()
            yield
        finally:
            for each in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.resume()

    def rabbitmqctl(self, *arguments: str) -> None:
        """Command the suite's own node."""
        node = local_rabbitmq(self.run, keep_ports=True)
        program = node.programs()[-1]
        tool = Path(next(part for part in program.argv if part.endswith("rabbitmq-server"))).with_name("rabbitmqctl")
        subprocess.run(
            [str(tool), *arguments],
            env={**os.environ, **program.environment},
            check=True,
            capture_output=True,
            timeout=60,
        )


def together(waves: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several plays' reports as one; only what the checks look at is in the summary."""
    orders = [order for wave in waves for order in wave["orders"]]
    numbers = Counter(number for order in orders for number in order["numbers"])
    answers: Counter[str] = Counter()
    for wave in waves:
        answers.update(wave["summary"]["answers"])
    summed = ("orders", "orders_done", "gave_up", "auto_cancelled", "violations", "repeats", "attempts")
    summary = {name: sum(wave["summary"][name] for wave in waves) for name in summed}
    shared = sum(count > 1 for count in numbers.values())
    slowest = max(wave["summary"]["answer_seconds"]["max"] or 0.0 for wave in waves)
    more = {"numbers": len(numbers), "numbers_shared": shared, "answers": dict(answers), "slowest": slowest}
    return {"orders": orders, "summary": {**summary, **more}}


@pytest.fixture(scope="session")
def whole_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    """A whole suite with two gateways, on servers and ports of its own."""
    directory = tmp_path_factory.mktemp("chaos")
    with running_suite(directory, gateways=GATEWAYS):
        yield RunningSuite(directory, environment_for(directory))


@pytest.fixture
async def faults(whole_suite: RunningSuite) -> AsyncIterator[Faults]:
    """That suite, healthy, with its ledger's clock."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        made = Faults(whole_suite, Client(whole_suite, session), RunDirectory(whole_suite.directory), session)
        await made.connected()
        await made.everybody_ready()
        yield made


@pytest.fixture
def since() -> datetime:
    """When the test began: the ledger is read from there."""
    return datetime.now(UTC)
