"""A PostgreSQL primary and its synchronous standby: what is committed is on both. Who promotes is whoever calls this."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import subprocess
from pathlib import Path

import asyncpg
import psutil

from suite_local.infrastructure.accounts import Account, give
from suite_local.infrastructure.postgres import SUPERUSER, LocalPostgres
from suite_local.ports import LOOPBACK, free_port

_SETTINGS: dict[str, str | int] = {
    "wal_keep_size": "512MB",
    "wal_receiver_status_interval": 1,
    "synchronous_commit": "on",
}


class Standby(LocalPostgres):
    """A server whose data is copied from another that runs, and follows it."""

    def __init__(self, of: LocalPostgres, *, directory: Path, port: int, password: str, logs: Path) -> None:
        follow = f"host={LOOPBACK} port={of.port} user={SUPERUSER} password={password} application_name=standby"
        settings: dict[str, str | int] = {**_SETTINGS, "primary_conninfo": follow}
        super().__init__(directory=directory, port=port, password=password, logs=logs, settings=settings)
        self._of = of

    def _initialise(self, account: Account | None) -> None:
        copy = str(self._binaries.directory / "pg_basebackup")
        command = [*self._as_account(), copy, "-D", str(self.data), "-d", self._of.dsn(), "-X", "stream", "-c", "fast"]
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        signal = self.data / "standby.signal"
        signal.touch()
        give(account, signal, mode=0o600)


class DatabasePair:
    """Two servers, of which one takes writes; ``dsn`` names both."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._password = secrets.token_urlsafe(12)
        first = free_port()
        self._ports = [first, free_port([first])]
        self._copies = 0
        self.primary: LocalPostgres = LocalPostgres(
            directory=directory / "first",
            port=self._ports[0],
            password=self._password,
            logs=directory / "logs",
            settings=_SETTINGS,
        )
        self.standby: LocalPostgres | None = None

    @property
    def dsn(self) -> str:
        """The address of both, for who may make databases and roles."""
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self._ports)
        return f"postgresql://{SUPERUSER}:{self._password}@{hosts}/postgres?target_session_attrs=read-write"

    def start(self) -> None:
        """Start both; returns when what is committed waits for the standby."""
        self.primary.prepare()
        self.primary.start()
        self.primary.wait_ready()
        self.join()

    def join(self) -> None:
        """Give the primary a standby, copied anew at the address that is free; returns when it is synchronous."""
        self._copies += 1
        port = next(port for port in self._ports if port != self.primary.port)
        self.standby = Standby(
            self.primary,
            directory=self._directory / f"copy-{self._copies}",
            port=port,
            password=self._password,
            logs=self._directory / "logs" / f"copy-{self._copies}",
        )
        self.standby.prepare()
        self.standby.start()
        self.standby.wait_ready(60)
        asyncio.run(self._wait_for_it())

    def promote(self) -> None:
        """Let the standby take writes, from now on alone. Whoever was the primary must be down, for good."""
        assert self.standby is not None
        asyncio.run(_ask(self.standby, "SELECT pg_promote()"))
        self.primary, self.standby = self.standby, None

    def lose_primary(self, *, frozen_first: bool = False) -> None:
        """Kill the primary as a crash would, its sessions with it; ``frozen_first``: it hangs for a while before it is fenced."""
        postmaster = psutil.Process(self.primary.pid)
        everybody = [postmaster, *postmaster.children(recursive=True)]
        if frozen_first:
            for each in everybody:
                each.suspend()
            psutil.wait_procs(everybody, timeout=4)
        for each in everybody:
            each.kill()
        self.primary.kill()

    def stop_primary(self) -> None:
        """Stop the primary in order: the standby has all of it then."""
        self.primary.stop()

    def end(self) -> None:
        """Kill both, and throw the data away."""
        for server in (self.standby, self.primary):
            if server is not None:
                server.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    async def _wait_for_it(self) -> None:
        await _ask(self.primary, "ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        await _ask(self.primary, "SELECT pg_reload_conf()")
        for _ in range(300):
            states = await _ask(self.primary, "SELECT sync_state FROM pg_stat_replication")
            if [row["sync_state"] for row in states] == ["sync"]:
                return
            await asyncio.sleep(0.1)
        raise AssertionError("the standby does not follow")


async def _ask(server: LocalPostgres, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(server.dsn(), timeout=10)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()
