"""The gateway, the orchestrator and the notifier as processes of a test's own, on the test's database and virtual host."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import ssl
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from suite_local.ports import free_port as free_port  # for those who take it from here
from tests.support.servers import eventually

ROLES = ("viewer", "operator", "admin", "internal", "website", "website_manager")
TOKEN = "hook-token"
HEADERS = {"Client-token": TOKEN}


def created(order: str, **payload: Any) -> dict[str, Any]:
    """An ``order.created`` as the marketplace sends it."""
    return {
        "event_type": "order.created",
        "timestamp": "2026-11-21T10:00:00+03:00",
        "payload": {
            "originalOrderId": order,
            "storeID": "17",
            "positions": [{"id": "sku-1", "originalQuantity": 2, "quantity": 2, "price": "85.00"}],
            **payload,
        },
    }


@dataclass
class Program:
    """One service as a process; its output goes into a file."""

    command: Sequence[str]
    environment: Mapping[str, str]
    url: str
    log: Path
    process: Process | None = None
    trusted: ssl.SSLContext | None = None
    """Whom to believe where it is asked over TLS."""

    async def start(self, *, wait: bool = True, **changes: str) -> None:
        """Start it, with changed variables; return when it is ready, or at once."""
        with self.log.open("ab") as stream:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self.command,
                env={**os.environ, **self.environment, **changes},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        if wait:
            await self.ready()

    async def ready(self) -> None:
        """Return when ``/readyz`` answers 200."""

        async def probe() -> bool:
            assert self.process is not None
            if self.process.returncode is not None:
                raise RuntimeError(f"it ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")
            try:
                async with aiohttp.request("GET", self.url + "/readyz", ssl=self.trusted or True) as answer:
                    return answer.status == 200
            except (aiohttp.ClientError, OSError):
                return False

        await eventually(probe, every=0.1, what=f"{self.url} ready")

    async def metric(self, name: str) -> float:
        """Read one series of /metrics, labels and all."""
        async with aiohttp.request("GET", self.url + "/metrics", ssl=self.trusted or True) as answer:
            for line in (await answer.text()).splitlines():
                if line.startswith(name + " "):
                    return float(line.rpartition(" ")[2])
        raise AssertionError(f"there is no series {name}")

    async def kill(self) -> None:
        """``kill -9``, and wait for the end; harmless when it is not running."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
            await self.process.wait()

    async def died(self) -> int | None:
        """Wait for the end and return the exit code, None when it lives on."""
        assert self.process is not None
        try:
            return await asyncio.wait_for(self.process.wait(), 60)
        except TimeoutError:
            return None

    def busy(self) -> float:
        """Seconds of processor time that it has used."""
        assert self.process is not None
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def resident(self) -> int:
        """Bytes of memory in use now."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


@dataclass
class Stand:
    """Makes programs that share servers, tokens and sources, and ends them."""

    directory: Path
    programs: list[Program] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokens = self.directory / "tokens.json"
        entries = [{"name": role, "token": f"{role}-token", "role": role} for role in ROLES]
        self.tokens.write_text(json.dumps({"tokens": entries}))
        self.internal = self.directory / "internal-token"
        self.internal.write_text("internal-token")
        self.sources = self.directory / "sources.json"
        auth = {"kind": "client_token", "tokens": [TOKEN]}
        signed = {"kind": "standard_webhooks", "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}
        self.sources.write_text(json.dumps({"sbermarket": {"auth": auth}, "kuper": {"auth": signed}}))

    def gateway(
        self, replica: str, *, dsn: str, amqp_url: str, command: Sequence[str] = ("-m", "webhook_gateway"), **more: str
    ) -> Program:
        """Describe a replica of the gateway; ``more`` are settings in upper case."""
        port = free_port()
        values = {
            "PORT": str(port),
            "POSTGRES_DSN": dsn,
            "AMQP_URL": amqp_url,
            "TOKENS_FILE": str(self.tokens),
            "SOURCES_FILE": str(self.sources),
            "SPOOL_DIR": str(self.directory / "spool" / replica),
            "REPLICA": replica,
            **more,
        }
        return self._program(replica, (*command, "serve"), "WEBHOOK_GATEWAY_", values, port)

    def orchestrator(
        self,
        replica: str = "orchestrator-1",
        *,
        dsn: str,
        amqp_url: str,
        command: Sequence[str] = ("-m", "orchestrator"),
        **more: str,
    ) -> Program:
        """Describe a replica of the orchestrator; the tips service that it knows is not there. ``more`` as for the gateway."""
        port = free_port()
        values = {
            "PORT": str(port),
            "POSTGRES_DSN": dsn,
            "AMQP_URL": amqp_url,
            "TOKENS_FILE": str(self.tokens),
            "INTERNAL_TOKEN_FILE": str(self.internal),
            "TIPS_URL": "http://127.0.0.1:1",
            "REPLICA": replica,
            **more,
        }
        return self._program(replica, (*command, "serve"), "ORCHESTRATOR_", values, port)

    def notifier(self, replica: str = "notifier-1", *, dsn: str, amqp_url: str, **more: str) -> Program:
        """Describe a replica of the notifier without any messenger: what it would tell stays in its log. ``more`` as for the gateway."""
        port = free_port()
        values = {
            "PORT": str(port),
            "POSTGRES_DSN": dsn,
            "AMQP_URL": amqp_url,
            "TOKENS_FILE": str(self.tokens),
            "ENVIRONMENT": "production",
            "REPLICA": replica,
            **more,
        }
        return self._program(replica, ("-m", "notifier", "serve"), "NOTIFIER_", values, port)

    def _program(self, name: str, command: Sequence[str], prefix: str, values: Mapping[str, str], port: int) -> Program:
        environment = {prefix + key: value for key, value in values.items()}
        scheme, believed = "http", None
        if "TLS_CERT_FILE" in values:
            scheme, believed = "https", ssl.create_default_context(cafile=values["CA_FILE"])
        url, log = f"{scheme}://127.0.0.1:{port}", self.directory / f"{name}.log"
        program = Program(command, environment, url, log, trusted=believed)
        self.programs.append(program)
        return program


@contextlib.asynccontextmanager
async def stand(directory: Path) -> AsyncIterator[Stand]:
    """A stand whose programs are killed at the end."""
    made = Stand(directory)
    try:
        yield made
    finally:
        for program in made.programs:
            await program.kill()


async def send(
    session: aiohttp.ClientSession, program: Program, body: object, *, path: str = "/hooks/v1/sbermarket"
) -> tuple[int | None, Any]:
    """Post a hook; status None when the connection ended without an answer."""
    data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
    try:
        async with session.post(program.url + path, data=data, headers=HEADERS) as answer:
            return answer.status, await answer.json(content_type=None)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return None, None


async def read(session: aiohttp.ClientSession, program: Program, path: str, **query: str) -> tuple[int, Any]:
    """GET as a viewer."""
    headers = {"Authorization": "Bearer viewer-token"}
    async with session.get(program.url + path, headers=headers, params=query) as answer:
        return answer.status, await answer.json(content_type=None)
