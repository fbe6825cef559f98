"""PostgreSQL and RabbitMQ that speak TLS: nodes of a test's own, whose certificate can be replaced while they run."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from suite_local.infrastructure.accounts import give, server_account
from suite_local.infrastructure.postgres import LocalPostgres, wait_for_postgres
from suite_local.infrastructure.rabbitmq import USER, VHOST, LocalRabbitmq
from suite_local.ports import LOOPBACK, free_port
from tests.support.certificates import Authority
from tests.support.servers import eventually

S = TypeVar("S", "TlsPostgres", "TlsRabbitmq")
_ONLY_TLS = f"hostssl all all {LOOPBACK}/32 scram-sha-256\n"


class _Shown:
    """The certificate that a server shows, signed by ``authority`` at first; ``stranger`` is one whom nobody knows."""

    def __init__(self, directory: Path, account: tuple[str, ...]) -> None:
        self.authority = Authority(directory / "authority")
        self.stranger = Authority(directory / "stranger", "an authority that nobody knows")
        self.files = directory / "tls"
        self._account = account

    def show(self, by: Authority | None = None, **what: Any) -> None:
        """Write certificate and key anew."""
        (by or self.authority).issue(self.files, **what)
        account = server_account(*self._account)
        give(account, self.files, mode=0o700)
        for file in self.files.iterdir():
            give(account, file, mode=0o600)


class TlsPostgres(_Shown):
    """A server that takes nobody without TLS."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, ("postgres", "rabbitmq"))
        self.server = LocalPostgres(
            directory=directory / "postgres",
            port=free_port(),
            password=secrets.token_urlsafe(12),
            logs=directory / "logs",
            durable=False,
            with_tls=True,
            settings={
                "ssl": "on",
                "ssl_cert_file": str(self.files / "tls.crt"),
                "ssl_key_file": str(self.files / "tls.key"),
                "shared_buffers": "16MB",
            },
        )

    def dsn(
        self, database: str = "postgres", *, mode: str = "verify-full", host: str = LOOPBACK, ca: Path | None = None
    ) -> str:
        """The address as a service is given it; ``ca`` is the authority's file unless another one is given."""
        parts = urlsplit(self.server.dsn(database))
        netloc = f"{parts.netloc.rpartition('@')[0]}@{host}:{self.server.port}"
        believed = "" if mode == "disable" else f"&sslrootcert={quote(str(ca or self.authority.file))}"
        return urlunsplit(parts._replace(netloc=netloc, query=f"sslmode={mode}{believed}"))

    def start(self) -> None:
        """Start it; returns when it answers."""
        self.show()
        self.server.prepare()
        rules = self.server.data / "pg_hba.conf"
        rules.write_text(_ONLY_TLS)
        give(server_account("postgres", "rabbitmq"), rules, mode=0o600)
        self.server.start()
        wait_for_postgres(self.dsn(), timeout_s=60)

    async def renew(self, by: Authority | None = None, **what: Any) -> None:
        """Show another certificate; returns when whoever connects is shown it."""
        self.show(by, **what)
        os.kill(self.server.pid, signal.SIGHUP)
        written = ssl.PEM_cert_to_DER_cert((self.files / "tls.crt").read_text())
        anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE

        async def shown() -> bool:
            connection = await asyncpg.connect(self.server.dsn(), ssl=anybody)
            try:
                transport: asyncio.Transport = getattr(connection, "_transport")  # noqa: B009 - asyncpg shows it nowhere
                told: bytes = transport.get_extra_info("ssl_object").getpeercert(True)
                return told == written
            finally:
                await connection.close()

        await eventually(shown, what="the renewed certificate shown")

    def end(self) -> None:
        """Kill it."""
        self.server.kill()


class TlsRabbitmq(_Shown):
    """A node with a listener for TLS beside the plain one."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, ("rabbitmq", "postgres"))
        ports: list[int] = []
        for _ in range(5):
            ports.append(free_port(ports))
        self.port, self._password = ports[4], secrets.token_urlsafe(12)
        self.server = LocalRabbitmq(
            directory=directory / "rabbitmq",
            port=ports[0],
            api_port=ports[1],
            dist_port=ports[2],
            epmd_port=ports[3],
            password=self._password,
            logs=directory / "logs",
            settings={
                "listeners.ssl.1": f"{LOOPBACK}:{self.port}",
                "ssl_options.certfile": str(self.files / "tls.crt"),
                "ssl_options.keyfile": str(self.files / "tls.key"),
            },
        )

    def url(self, *, scheme: str = "amqps", hosts: str | None = None, ca: Path | None = None) -> str:
        """The address as a service is given it; ``ca`` is the authority's file unless another one is given."""
        believed = f"?cafile={quote(str(ca or self.authority.file))}" if scheme == "amqps" else ""
        return f"{scheme}://{USER}:{self._password}@{hosts or f'{LOOPBACK}:{self.port}'}/{VHOST}{believed}"

    def start(self) -> None:
        """Start it; returns when it answers."""
        self.show()
        self.server.prepare()
        self.server.start()
        self.server.wait_ready(90)

    def renew(self, by: Authority | None = None, **what: Any) -> None:
        """Show another certificate to whoever connects from now on."""
        self.show(by, **what)
        self.control("-q", "eval", "ssl:clear_pem_cache().")

    def control(self, *arguments: str) -> None:
        """Command the node."""
        program = self.server.programs()[1]
        tool = Path(next(part for part in program.argv if part.endswith("rabbitmq-server"))).with_name("rabbitmqctl")
        subprocess.run(
            [str(tool), *arguments],
            env={**os.environ, **program.environment},
            capture_output=True,
            timeout=60,
            check=True,
        )

    def end(self) -> None:
        """Kill it."""
        self.server.kill()


@contextmanager
def running(kind: type[S]) -> Iterator[S]:
    """Give a server of the test's own, in a folder that its account may enter whatever pytest does with its own folders."""
    with tempfile.TemporaryDirectory(prefix="tls-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = kind(folder)
        try:
            made.start()
            yield made
        finally:
            made.end()
