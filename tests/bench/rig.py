"""What the gateway's benchmarks stand on: a broker and a database of their own, contestants as processes, consumers, a load."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aio_pika
import psutil
from yarl import URL

from common.messaging import topology
from suite_local.infrastructure.packages import install
from suite_local.paths import repository_root
from suite_local.ports import free_port as free_port  # for those who take it from here
from suite_local.testing import addresses_from
from tests.support.servers import TestDatabases, TestRabbit

HERE = Path(__file__).parent
TOKEN = "bench-token"
QUEUES = (topology.RECORDER.name, topology.ORCHESTRATOR_INTAKE.name)


@dataclass(frozen=True, slots=True)
class Servers:
    """An empty database with a service's schema, and a virtual host with the suite's topology."""

    dsn: str
    amqp_url: str


@asynccontextmanager
async def servers(schema: str = "webhook_gateway") -> AsyncIterator[Servers]:
    """Make them on the servers that `make bench` started for this run; drop them afterwards. `schema` is a service's package."""
    addresses = addresses_from(os.environ)
    if addresses is None:
        sys.exit("run the benchmarks with `make bench`: it starts servers of their own")
    rabbit = TestRabbit(addresses.amqp_url, addresses.rabbitmq_api)
    async with (
        TestDatabases(addresses.postgres_dsn).migrated(schema) as dsn,
        rabbit.virtual_host() as amqp_url,
    ):
        async with await aio_pika.connect(amqp_url) as connection:
            await topology.declare(await connection.channel())
        yield Servers(dsn, amqp_url)


@contextmanager
def process(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the block ends; its lines go to a file, which is shown when it ended by itself."""
    with tempfile.TemporaryFile("w+") as lines:
        child = subprocess.Popen(
            command,
            cwd=repository_root(),
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield child
        finally:
            ended = child.poll()
            child.terminate()
            try:
                child.wait(12)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if ended is not None:
                lines.seek(0)
                sys.stderr.write(f"{' '.join(command)} ended with {ended}:\n{lines.read()[-4000:]}\n")


@contextmanager
def gateway(
    servers: Servers, directory: Path, *, replica: str = "bench-1", **changes: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `python -m webhook_gateway serve` as production does; give its address and process when it is ready."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tokens.json").write_text(
        json.dumps({"tokens": [{"name": "viewer", "token": "viewer-token", "role": "viewer"}]})
    )
    (directory / "sources.json").write_text(
        json.dumps({"sbermarket": {"auth": {"kind": "client_token", "tokens": [TOKEN, "an-older-token"]}}})
    )
    port = free_port()
    values = {
        "PORT": str(port),
        "POSTGRES_DSN": servers.dsn,
        "AMQP_URL": servers.amqp_url,
        "TOKENS_FILE": str(directory / "tokens.json"),
        "SOURCES_FILE": str(directory / "sources.json"),
        "SPOOL_DIR": str(directory / "spool" / replica),
        "REPLICA": replica,
        "BATCH_HOOKS": "true",
        "RECORD": "false",  # both queues belong to the idle consumers, as with the references
        **changes,
    }
    environment = {f"WEBHOOK_GATEWAY_{name}": value for name, value in values.items()}
    url = f"http://127.0.0.1:{port}"
    with process([sys.executable, "-m", "webhook_gateway", "serve"], environment) as child:
        wait_for(lambda: "gateway_broker_ready 1.0" in fetch(url + "/metrics"), child)
        yield url, child


@contextmanager
def reference(
    module: str, *arguments: str, python: str = sys.executable
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run one of `tests/bench/references`; give its address and process when it listens."""
    port = free_port()
    words = [str(port) if word == "PORT" else word for word in arguments]
    with process([python, "-m", f"tests.bench.references.{module}", *words]) as child:
        wait_for(lambda: fetch(f"http://127.0.0.1:{port}/", any_status=True) is not None, child)
        yield f"http://127.0.0.1:{port}", child


class IdleConsumers:
    """Take and acknowledge whatever is in the intake queues, and count it."""

    def __init__(self, amqp_url: str, queues: Sequence[str] = QUEUES) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.references.consumers", amqp_url, *queues],
            cwd=repository_root(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def counts(self) -> dict[str, int]:
        """Return how many events each queue has delivered so far."""
        if self._child.stdin is None or self._child.stdout is None:
            raise RuntimeError("the consumers were started with pipes")
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        answer: dict[str, int] = json.loads(self._child.stdout.readline())
        return answer

    def settle(self, expected: int, *, within: float = 30.0) -> dict[str, int]:
        """Wait until every queue has delivered so many events; return what was delivered, whatever it is by then."""
        deadline = time.monotonic() + within
        while True:
            counts = self.counts()
            if min(counts.values()) >= expected or time.monotonic() > deadline:
                return counts
            time.sleep(0.05)

    def __enter__(self) -> IdleConsumers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.stdin is not None:
            self._child.stdin.close()
        self._child.wait(10)


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    not_2xx: int
    socket_errors: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


async def wrk(url: str, *, seconds: int, connections: int = 32) -> Load:
    """Send hooks of 12 positions over so many connections, each as soon as the last was answered."""
    child = await asyncio.create_subprocess_exec(
        find_wrk(),
        *("-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / "hook.lua"), url),
        *("--", f"w{uuid4().hex[:8]}-"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await child.communicate()
    lines = [line for line in output.decode().splitlines() if line.startswith("{")]
    if child.returncode != 0 or not lines:
        raise RuntimeError(f"wrk failed: {errors.decode()[-500:]}")
    return Load(**json.loads(lines[-1]))


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def broker_pid(amqp_url: str) -> int:
    """Return the process that listens at the broker's address."""
    port = URL(amqp_url).port
    for connection in psutil.net_connections(kind="tcp"):
        if (
            connection.status == psutil.CONN_LISTEN
            and getattr(connection.laddr, "port", None) == port
            and connection.pid is not None
        ):
            return int(connection.pid)
    raise RuntimeError("the broker is not on this machine, or is somebody else's")


def find_wrk() -> str:
    """Return the load generator, installed by the system's package manager when it is missing and we may."""
    found = shutil.which("wrk")
    if found is None:
        install(["wrk"])
        found = shutil.which("wrk")
    if found is None:
        sys.exit("the benchmarks need wrk (Debian: wrk)")
    return found


def fetch(url: str, *, any_status: bool = False) -> str:
    """Return the body of an answer; raises `OSError` when there is none."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            if any_status:
                return ""
            raise


def wait_for(ready: Callable[[], object], child: subprocess.Popen[str], *, within: float = 60.0) -> None:
    """Wait until the program is ready; fail when it ends instead."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise RuntimeError("a program ended before it was ready")
        with contextlib.suppress(OSError):
            if ready():
                return
        time.sleep(0.1)
    raise RuntimeError(f"not ready within {within:g} s")
