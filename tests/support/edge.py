"""A real nginx with the committed configuration, as a private instance on a free port, ended by its own process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from suite_local.ports import LOOPBACK
from tests.support.ports import is_answering
from tests.support.servers import eventually

NOBODY = "255.255.255.255"
NGINX = Path(__file__).parents[2] / "deploy" / "nginx"
_HASTE = re.compile(r"(?<=_timeout) (?:250ms|2s|2500ms|5s);")
"""How long it waits for gateways and callers where a customer waits, too."""


class Edge:
    """One nginx in front of three addresses. Its log is what it wrote for each request, oldest first."""

    def __init__(
        self,
        prefix: Path,
        upstreams: Sequence[int],
        port: int,
        *,
        trusted: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        hasty: bool = False,
    ) -> None:
        """Take what it is told in its environment from ``variables`` (any of them), else from the other arguments.

        ``hasty``: it gives everybody up as soon as in earnest. Else it is patient, for a machine that stops for two seconds has no fault.
        """
        self._hasty = hasty
        self.log_dir = prefix / "edge-log"
        self._prefix = prefix
        self._variables = edge_variables(upstreams, port, log_dir=self.log_dir, trusted=trusted, variables=variables)
        self.url = f"http://{self._variables['EDGE_LISTEN']}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Render the configuration as the container does, start nginx, and return when it answers."""
        render("templates", self._prefix, self._variables)
        if not self._hasty:
            rendered = self._prefix / "conf.d" / "gateways.conf"
            text, found = _HASTE.subn(" 60s;", rendered.read_text())
            assert found, "the edge's timeouts are other ones by now"
            rendered.write_text(text)
        self.log_dir.mkdir(exist_ok=True)
        self._process = await _start_nginx(self._prefix)
        await eventually(self._answers, what=f"nginx answers ({self.errors})")

    async def stop(self) -> None:
        """End it by its own pid: TERM to the master, which ends its workers."""
        if self._process is not None:
            await _end(self._process)

    def refused(self) -> list[dict[str, Any]]:
        """What it wrote for the gateways: requests that none of them answered."""
        files = sorted(self.log_dir.glob("intake-*.log"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    @property
    def errors(self) -> str:
        """What it wrote to its error log."""
        return (self._prefix / "err").read_text()

    async def logged(self, requests: int) -> list[dict[str, Any]]:
        """Return the access log once it holds so many lines: a line is written after the answer. This harness's probe is not in it."""

        async def enough() -> list[dict[str, Any]]:
            lines = [json.loads(line) for line in (self._prefix / "out").read_text().splitlines()]
            assert len(lines) >= requests
            return lines

        return await eventually(enough)

    async def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self.errors
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}/livez") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False


def edge_variables(
    upstreams: Sequence[int],
    port: int,
    *,
    log_dir: Path,
    trusted: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return what an edge before three gateways is told: any of it from ``variables``, else from the other arguments."""
    return {
        "EDGE_LISTEN": f"{LOOPBACK}:{port}",
        "EDGE_RESOLVER": LOOPBACK,  # never asked: the addresses are numbers
        "EDGE_LOG_DIR": str(log_dir),
        "EDGE_SCHEME": "http",
        "EDGE_CA_FILE": str(log_dir / "nobody.crt"),  # read over TLS only
        **{f"EDGE_TRUSTED_{n}": trusted[n - 1] if len(trusted) >= n else NOBODY for n in (1, 2, 3)},
        **{f"GATEWAY_{number}": f"{LOOPBACK}:{upstream}" for number, upstream in enumerate(upstreams, start=1)},
        **{f"EDGE_{name}": f"{LOOPBACK}:1" for name in ("NOTIFIER", "REFUNDS")},
        **(variables or {}),
    }


def render(templates: str, prefix: Path, variables: Mapping[str, str]) -> None:
    """Write the configuration as a container's start does."""
    (prefix / "conf.d").mkdir(parents=True)
    shutil.copy(NGINX / "nginx.conf", prefix)
    for template in (NGINX / templates).glob("*.template"):
        text = re.sub(r"\$\{([A-Z0-9_]+)\}", lambda found: variables[found[1]], template.read_text())
        (prefix / "conf.d" / template.stem).write_text(text)


def nginx_command(prefix: Path) -> tuple[str, ...]:
    """Return the command of the nginx whose nginx.conf lies in its prefix."""
    configuration = prefix / "nginx.conf"
    if os.geteuid() == 0:  # as root nginx gives its workers to `nobody`, who could not enter pytest's folders
        configuration.write_text("user root;\n" + configuration.read_text())
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert program is not None, "nginx is not installed"
    return (program, "-p", f"{prefix}/", "-c", str(configuration), "-e", "stderr", "-g", "daemon off;")


async def _start_nginx(prefix: Path) -> asyncio.subprocess.Process:
    """Start the nginx in a prefix; what it writes goes to the files ``out`` and ``err`` there."""
    with (prefix / "out").open("ab") as out, (prefix / "err").open("ab") as err:
        return await asyncio.create_subprocess_exec(*nginx_command(prefix), stdout=out, stderr=err)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def nginx_in(prefix: Path, *, port: int) -> AsyncIterator[None]:
    """Run another nginx with the nginx.conf in its prefix; it is ready when its port takes connections."""
    process = await _start_nginx(prefix)

    async def ready() -> bool:
        assert process.returncode is None, (prefix / "err").read_text()
        return is_answering(port)

    try:
        await eventually(ready, what="nginx takes connections")
        yield
    finally:
        await _end(process)
