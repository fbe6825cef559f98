"""Prometheus and Alertmanager as they are shipped, rules and all, as processes of a test's own: only the addresses are other ones."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from suite_local.ports import LOOPBACK, free_port
from tests.support.servers import eventually

SHIPPED = Path(__file__).parents[2] / "deploy" / "prometheus"


@dataclass
class Daemon:
    """One of the two programs, as a process of ours."""

    directory: Path
    command: Sequence[str]
    address: str
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; return when it is ready."""
        program = shutil.which(self.command[0], path=f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin")
        assert program is not None, f"{self.command[0]} is not installed"
        log = self.directory / f"{self.command[0]}.log"
        with log.open("ab") as stream:
            process = self.process = await asyncio.create_subprocess_exec(
                program,
                *self.command[1:],
                cwd=self.directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )

        async def ready() -> bool:
            assert process.returncode is None, log.read_text()[-2000:]
            try:
                async with aiohttp.request("GET", f"http://{self.address}/-/ready") as answer:
                    return answer.status == 200
            except aiohttp.ClientConnectionError:
                return False

        await eventually(ready, what=f"{self.command[0]} is ready")

    async def stop(self) -> None:
        """End it by its own pid; harmless when it is not running."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), 10)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


@asynccontextmanager
async def monitoring(
    directory: Path,
    *,
    targets: Mapping[str, str],
    notifier_url: str,
    token_file: Path,
    watchdog_every: str | None = None,
) -> AsyncIterator[Daemon]:
    """Run both until the end and give Alertmanager; ``targets`` has the address of each container that is there.

    What the shipped configuration scrapes and is not among them is left out. ``watchdog_every`` is how often rules are looked at and
    Alertmanager says that it is there, instead of a minute.
    """
    prometheus, alertmanager = (f"{LOOPBACK}:{free_port()}" for _ in range(2))
    known = {**targets, "alertmanager:9093": alertmanager, "127.0.0.1:9090": prometheus}
    shutil.copytree(SHIPPED / "rules", directory / "rules")
    looking = _with_targets(_read("prometheus.yml"), known)
    alerting = _read("alertmanager.yml")
    (webhook,) = alerting["receivers"][0]["webhook_configs"]
    webhook["url"] = webhook["url"].replace("http://notifier:8085", notifier_url)
    webhook["http_config"]["authorization"]["credentials_file"] = str(token_file)
    if watchdog_every is not None:
        looking["global"]["evaluation_interval"] = watchdog_every
        (watchdog,) = (each for each in alerting["route"]["routes"] if each["matchers"] == ['alertname="Watchdog"'])
        watchdog.update(group_interval=watchdog_every, repeat_interval=watchdog_every)
    again = () if watchdog_every is None else (f"--rules.alert.resend-delay={watchdog_every}",)
    _write(directory / "prometheus.yml", looking)
    _write(directory / "alertmanager.yml", alerting)
    async with AsyncExitStack() as stack:
        daemons = []
        for program, address, options in (
            ("prometheus-alertmanager", alertmanager, ("--storage.path=alertmanager", "--cluster.listen-address=")),
            ("prometheus", prometheus, ("--storage.tsdb.path=prometheus", *again)),
        ):
            configuration = f"--config.file={program.removeprefix('prometheus-')}.yml"
            command = (program, configuration, f"--web.listen-address={address}", *options)
            daemon = Daemon(directory, command, address)
            daemons.append(daemon)
            stack.push_async_callback(daemon.stop)
            await daemon.start()
        yield daemons[0]


def _read(name: str) -> Any:
    return yaml.safe_load((SHIPPED / name).read_text())


def _write(file: Path, content: object) -> None:
    file.write_text(yaml.safe_dump(content))


def _with_targets(configuration: Any, known: Mapping[str, str]) -> Any:
    """Name the addresses that are there, and no others."""

    def found(groups: Sequence[Mapping[str, Sequence[str]]]) -> list[dict[str, list[str]]]:
        return [{"targets": sorted({known[one] for group in groups for one in group["targets"] if one in known})}]

    (alertmanagers,) = configuration["alerting"]["alertmanagers"]
    alertmanagers["static_configs"] = found(alertmanagers["static_configs"])
    for job in configuration["scrape_configs"]:
        job["static_configs"] = found(job["static_configs"])
    configuration["scrape_configs"] = [
        job for job in configuration["scrape_configs"] if job["static_configs"][0]["targets"]
    ]
    return configuration
