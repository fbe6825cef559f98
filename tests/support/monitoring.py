"""Prometheus and Alertmanager as they are shipped, rules and all, as processes of a test's own: only the addresses are other ones."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from common.testing import eventually
from suite_local.ports import LOOPBACK, free_port

SHIPPED = Path(__file__).parents[2] / "deploy" / "prometheus"


@asynccontextmanager
async def monitoring(
    directory: Path, *, targets: Mapping[str, str], notifier_url: str, token_file: Path
) -> AsyncIterator[str]:
    """Run both until the end and give Prometheus's address; ``targets`` has the address of each container that is there.

    What the shipped configuration scrapes and is not among them is left out.
    """
    prometheus, alertmanager = (f"{LOOPBACK}:{free_port()}" for _ in range(2))
    known = {**targets, "alertmanager:9093": alertmanager, "127.0.0.1:9090": prometheus}
    shutil.copytree(SHIPPED / "rules", directory / "rules")
    _write(directory / "prometheus.yml", _with_targets(_read("prometheus.yml"), known))
    alerting = _read("alertmanager.yml")
    (webhook,) = alerting["receivers"][0]["webhook_configs"]
    webhook["url"] = webhook["url"].replace("http://notifier:8085", notifier_url)
    webhook["http_config"]["authorization"]["credentials_file"] = str(token_file)
    _write(directory / "alertmanager.yml", alerting)
    async with AsyncExitStack() as stack:
        for program, address, options in (
            ("prometheus-alertmanager", alertmanager, ("--storage.path=alertmanager", "--cluster.listen-address=")),
            ("prometheus", prometheus, ("--storage.tsdb.path=prometheus",)),
        ):
            configuration = f"--config.file={program.removeprefix('prometheus-')}.yml"
            command = (program, configuration, f"--web.listen-address={address}", *options)
            await stack.enter_async_context(_running(directory, command, f"http://{address}/-/ready"))
        yield f"http://{prometheus}"


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


@asynccontextmanager
async def _running(directory: Path, command: Sequence[str], probe: str) -> AsyncIterator[None]:
    """Run a program until the end; it is ready when ``probe`` answers 200."""
    program = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin")
    assert program is not None, f"{command[0]} is not installed"
    log = directory / f"{command[0]}.log"
    with log.open("ab") as stream:
        process = await asyncio.create_subprocess_exec(
            program, *command[1:], cwd=directory, stdin=asyncio.subprocess.DEVNULL, stdout=stream, stderr=stream
        )

    async def ready() -> bool:
        assert process.returncode is None, log.read_text()[-2000:]
        try:
            async with aiohttp.request("GET", probe) as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    try:
        await eventually(ready, what=f"{command[0]} is ready")
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()
