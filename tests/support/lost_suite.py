"""A suite that is lost while orders come in, with the world outside that lives on: the marketplace, and the payment systems."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
from yarl import URL

from sandbox.testing import RunningSandbox
from suite_local import lifecycle
from suite_local.backups.databases import FOLLOWER
from suite_local.credentials import Credentials
from suite_local.paths import RunDirectory
from suite_local.supervision import Supervisor, strays
from suite_local.testing import free_ports
from tests.support.servers import CuttingProxy, eventually
from tests.support.suite_client import ROOT, Client, RunningSuite, environment_for

# The marketplace goes on repeating for as long as a suite takes to be restored on a slow machine.
SCHEDULE = [0.5, 1, 2, 4, 8, 15, 15, 15, 15, 30, 30, 60, 60]
WAVE = 8
WAVE_EVERY_S = 1.0
Key = tuple[str, str]
"""Number and event: what the marketplace was answered with a yes."""


@dataclass
class OneSuite:
    """One of the suites that follow each other, in a run directory of its own."""

    run: RunDirectory
    suite: RunningSuite
    client: Client

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m suite_local`` on it."""
        return self.suite.command(*words)

    def checker(self, service: str, *words: str) -> tuple[int, str]:
        """Run a service's own checker on its databases; return the exit code and what it said."""
        done = subprocess.run(
            [sys.executable, "-m", service, *words],
            env=self.suite.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    async def ask(self, statement: str) -> list[asyncpg.Record]:
        """Ask its server, as whoever may do everything there."""
        connection = await asyncpg.connect(self.suite.description["infrastructure"]["postgres"]["dsn"], timeout=10)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()


@dataclass
class World:
    """What is not lost with a suite. ``front`` is the address that the marketplace knows; it leads to the suite of the day."""

    directory: Path
    sandbox: RunningSandbox
    front: CuttingProxy
    session: aiohttp.ClientSession
    waves: list[asyncio.Task[dict[str, Any]]] = field(default_factory=list)
    suites: list[OneSuite] = field(default_factory=list)
    token: str = ""

    def place(self, name: str) -> OneSuite:
        """Return a suite that does not run yet, on ports of its own, with this world outside."""
        url = self.sandbox.url
        outside = {
            "REFUNDS_TRUST_URL": url,
            "REFUNDS_YOOKASSA_URL": url,
            "ORCHESTRATOR_FEEDBACK_URL": url,
            "TIPS_FEEDBACK_URL": url,
            "NOTIFIER_TELEGRAM_API_URL": url,
            "NOTIFIER_SLACK_API_URL": f"{url}/api/",
            "NOTIFIER_TRACKER_URL": url,
            "NOTIFIER_CALL_URL": f"{url}/calls/v1/calls",
        }
        run = RunDirectory(self.directory / name)
        run.root.mkdir(mode=0o755)
        suite = RunningSuite(run.root, {**environment_for(run.root), **free_ports(), **outside})
        made = OneSuite(run, suite, Client(suite, self.session))
        self.suites.append(made)
        return made

    async def bring_up(self, one: OneSuite) -> None:
        """Start it, and lead the marketplace to it."""
        await asyncio.to_thread(lifecycle.up, one.run, one.suite.environment, say=lambda _: None)
        self.token = Credentials(one.run.secrets).get("marketplace")
        url = URL(one.suite.url("webhook-gateway"))
        assert url.host is not None
        assert url.port is not None
        self.front.lead_to(url.host, url.port)

    async def load(self, stop: asyncio.Event) -> None:
        """Begin a wave of orders every second, some forty hooks, until told to stop; each goes on by itself."""
        while not stop.is_set():
            wave = self.sandbox.play(
                orders=WAVE,
                concurrency=WAVE,
                seed=len(self.waves) + 1,
                duplicates=0.1,
                shuffle=0.2,
                payments=True,
                schedule=SCHEDULE,
                urls=[f"http://127.0.0.1:{self.front.port}"],
                token=self.token,
            )
            self.waves.append(asyncio.create_task(wave))
            await asyncio.sleep(WAVE_EVERY_S)

    async def acknowledged(self, more: int) -> None:
        """Return when the marketplace was answered with so many more yeses."""
        entries = await self.sandbox.log("marketplace", after=0)
        wanted: int = sum(bool(entry["effect"]) for entry in entries) + more

        async def there() -> bool:
            done: list[Any] = [entry for entry in await self.sandbox.log("marketplace", after=0) if entry["effect"]]
            return len(done) >= wanted

        await eventually(there, within=60, every=0.5, what=f"{more} more hooks that are acknowledged")

    async def payouts(self) -> dict[str, list[int]]:
        """How often money went out for each refund that Trust knows, by payment."""
        page = await self.sandbox.control("GET", "/sandbox/trust/ledger")
        return {item["payment_id"]: [refund["payouts"] for refund in item["refunds"]] for item in page["items"]}

    async def send_again(self, lost: Counter[Key], report: dict[str, Any]) -> int:
        """Have the marketplace send once more what it was answered and we have lost; return how many hooks."""
        numbers = {order["external_id"]: order["number"] for order in report["orders"]}
        left, sent = Counter(lost), 0
        headers = {"Client-token": self.token}
        after = 0
        while entries := await self.sandbox.log("marketplace", after=after):
            after = entries[-1]["seq"]
            for entry in entries:
                body = entry["request"]
                key = (numbers.get(body["payload"]["originalOrderId"], ""), str(body["event_type"]))
                if entry["effect"] and left[key] > 0:
                    left[key] -= 1
                    url = f"http://127.0.0.1:{self.front.port}/hooks/v1/sbermarket"
                    async with self.session.post(url, json=body, headers=headers) as answer:
                        assert answer.status == 200, await answer.text()
                    sent += 1
        assert not +left, "the marketplace knows all that it was answered"
        return sent


def answered(report: dict[str, Any]) -> Counter[Key]:
    """Count the positive answers of a report."""
    return Counter(
        (answer["body"]["number"], answer["event"])
        for order in report["orders"]
        for answer in order["answers"]
        if answer["status"] == 200
    )


def as_lines(keys: Counter[Key], path: Path) -> Path:
    """Write them as the ledger's checker reads them."""
    lines = [json.dumps({"number": number, "event": event}) for number, event in keys.elements()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class Follower:
    """``backup --follow`` beside a suite, killed with it."""

    def __init__(self, one: OneSuite, folder: Path) -> None:
        self._one, self._folder = one, folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Return when the backup is whole, and no commit is answered any more before it is in the folder's log as well."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "suite_local", "backup", str(self._folder), "--follow"),
            env=self._one.suite.environment,
            cwd=ROOT,
        )
        process = self._process

        async def whole() -> bool:
            assert process.returncode is None, "the backup has ended"
            return (self._folder / "manifest.json").exists()

        await eventually(whole, every=0.2, what="the backup's manifest")
        await self._one.ask(f"ALTER SYSTEM SET synchronous_standby_names = '\"{FOLLOWER}\"'")
        await self._one.ask("SELECT pg_reload_conf()")

        async def follows() -> bool:
            rows = await self._one.ask("SELECT sync_state FROM pg_stat_replication")
            return [row["sync_state"] for row in rows] == ["sync"]

        await eventually(follows, within=30, every=0.2, what="a log that follows every commit")

    async def kill(self) -> None:
        """As the machine's death would."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        await process.wait()


def freeze(pids: Sequence[int]) -> None:
    """Have a server and its children answer nobody any more."""
    for pid in pids:
        parent = psutil.Process(pid)
        for each in (parent, *parent.children(recursive=True)):
            each.suspend()


def lose(one: OneSuite) -> None:
    """Kill everything of a suite at once, the gateways first.

    A frozen server goes on for a moment when its parent dies (the kernel wakes orphans that are stopped), and would take what a gateway's
    spool holds. A frozen server's children are killed by themselves: stopped, they would never notice that it is gone.
    """
    everybody = {each for found in strays(one.run) for each in (found, *found.children(recursive=True))}
    gateways = set(one.suite.pids("webhook-gateway")) if one.run.suite_json.exists() else set()
    for process in sorted(everybody, key=lambda each: each.pid not in gateways):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    Supervisor(one.run).kill()
