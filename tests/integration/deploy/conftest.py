"""A real nginx with the committed configuration, as a private instance on a free port, ended by its own process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from common.testing import eventually
from suite_local import ports
from suite_local.ports import LOOPBACK

NOBODY = "255.255.255.255"
NGINX = Path(__file__).parents[3] / "deploy" / "nginx"


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
    ) -> None:
        """Take what it is told in its environment from ``variables`` (any of them), else from the other arguments."""
        self.log_dir = prefix / "edge-log"
        self._prefix = prefix
        self._variables = {
            "EDGE_LISTEN": f"{LOOPBACK}:{port}",
            "EDGE_RESOLVER": LOOPBACK,  # never asked: the addresses are numbers
            "EDGE_LOG_DIR": str(self.log_dir),
            **{f"EDGE_TRUSTED_{n}": trusted[n - 1] if len(trusted) >= n else NOBODY for n in (1, 2, 3)},
            **{f"GATEWAY_{number}": f"{LOOPBACK}:{upstream}" for number, upstream in enumerate(upstreams, start=1)},
            **{f"EDGE_{name}": f"{LOOPBACK}:1" for name in ("NOTIFIER", "REFUNDS")},
            **(variables or {}),
        }
        self.url = f"http://{self._variables['EDGE_LISTEN']}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Render the configuration as the container does, start nginx, and return when it answers."""
        _render("templates", self._prefix, self._variables)
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


def _render(templates: str, prefix: Path, variables: Mapping[str, str]) -> None:
    """Write the configuration as a container's start does."""
    (prefix / "conf.d").mkdir(parents=True)
    shutil.copy(NGINX / "nginx.conf", prefix)
    for template in (NGINX / templates).glob("*.template"):
        text = re.sub(r"\$\{([A-Z0-9_]+)\}", lambda found: variables[found[1]], template.read_text())
        (prefix / "conf.d" / template.stem).write_text(text)


async def _start_nginx(prefix: Path) -> asyncio.subprocess.Process:
    """Start the nginx whose nginx.conf lies in its prefix; what it writes goes to the files ``out`` and ``err`` there."""
    configuration = prefix / "nginx.conf"
    if os.geteuid() == 0:  # as root nginx gives its workers to `nobody`, who could not enter pytest's folders
        configuration.write_text("user root;\n" + configuration.read_text())
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert program is not None, "nginx is not installed"
    with (prefix / "out").open("ab") as out, (prefix / "err").open("ab") as err:
        return await asyncio.create_subprocess_exec(
            program,
            *("-p", f"{prefix}/", "-c", str(configuration), "-e", "stderr", "-g", "daemon off;"),
            stdout=out,
            stderr=err,
        )


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
        return ports.is_answering(port)

    try:
        await eventually(ready, what="nginx takes connections")
        yield
    finally:
        await _end(process)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives ports that nothing listens on, outside the range of outgoing connections: a server may come back to its own."""
    given: set[int] = set()

    def choose() -> int:
        given.add(port := ports.free_port(given))
        return port

    return choose


@pytest.fixture
def edge_for(tmp_path: Path, free_port: Callable[[], int]) -> Callable[..., AbstractAsyncContextManager[Edge]]:
    """`async with edge_for([port, port, port]) as edge:` runs nginx in front of these; `trusted` are proxies in front of it.

    ``variables`` are what its container would be told.
    """

    @asynccontextmanager
    async def make(
        upstreams: Sequence[int], *, trusted: Sequence[str] = (), variables: Mapping[str, str] | None = None
    ) -> AsyncIterator[Edge]:
        edge = Edge(tmp_path / "nginx", upstreams, free_port(), trusted=trusted, variables=variables)
        try:
            await edge.start()
            yield edge
        finally:
            await edge.stop()

    return make


@pytest.fixture
def console_edge(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Path]]:
    """`async with console_edge(port=…, console=…, certificates=…) as prefix:` runs the TLS in front of a console at host:port."""

    @asynccontextmanager
    async def make(*, port: int, console: str, certificates: Path) -> AsyncIterator[Path]:
        prefix = tmp_path / "console-edge"
        variables = {
            "EDGE_LISTEN": f"{LOOPBACK}:{port}",
            "EDGE_RESOLVER": LOOPBACK,  # never asked: the address is a number
            "EDGE_CONSOLE": console,
            "EDGE_CERTIFICATES": str(certificates),
        }
        _render("console", prefix, variables)
        async with nginx_in(prefix, port=port):
            yield prefix

    return make
