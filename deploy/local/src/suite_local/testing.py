"""Real servers for tests: one PostgreSQL and one RabbitMQ, shared by everybody who tests in this checkout at the same time.

`test_servers()` gives their addresses. When `SUITE_TEST_POSTGRES_DSN` and `SUITE_TEST_AMQP_URL` are set (`make test` and
`python -m suite_local infra up` do that) it only hands them on; else it starts the servers in `.run/test/shared`, and the last
user to leave stops them. That holds under pytest-xdist and for several pytest runs at once.

Each test takes what it needs inside: a database cloned from a template, a virtual host made through the management API.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from suite_local import lifecycle, memory
from suite_local.catalogue import GATEWAY, WITH_CONSOLE
from suite_local.infrastructure.local import local_postgres, local_rabbitmq
from suite_local.infrastructure.rabbitmq import FRESH_FIGURES
from suite_local.paths import RunDirectory, locked, repository_root
from suite_local.ports import free_port
from suite_local.supervision import Supervisor

DATA = ("postgres", "rabbitmq")
"""What the servers keep in the run directory."""
KEPT = "kept"
"""The user that is nobody's process: `infra up` keeps the servers until `infra down`."""


@dataclass(frozen=True, slots=True)
class ServerAddresses:
    """Where the test servers are. Every address carries its credentials, with the rights to make databases and vhosts."""

    postgres_dsn: str
    amqp_url: str
    rabbitmq_api: str

    def environment(self) -> dict[str, str]:
        """Return the variables by which `test_servers` and the services' fixtures find them."""
        return {
            "SUITE_TEST_POSTGRES_DSN": self.postgres_dsn,
            "SUITE_TEST_AMQP_URL": self.amqp_url,
            "SUITE_TEST_RABBITMQ_API": self.rabbitmq_api,
        }


def addresses_from(environ: Mapping[str, str]) -> ServerAddresses | None:
    """Return the addresses that the environment names, None when one is missing."""
    dsn, amqp, api = (
        environ.get(name) for name in ("SUITE_TEST_POSTGRES_DSN", "SUITE_TEST_AMQP_URL", "SUITE_TEST_RABBITMQ_API")
    )
    return ServerAddresses(dsn, amqp, api) if dsn and amqp and api else None


@contextlib.contextmanager
def test_servers(  # -- no test, in spite of its name
    directory: Path | None = None,  # noqa: PT028 -- no test
    *,
    durable: bool = False,  # noqa: PT028 -- no test
) -> Iterator[ServerAddresses]:
    """Give the addresses of running test servers; start them when needed, stop them when nobody uses them any more.

    With a `directory` of one's own, servers of one's own. Unless `durable`, data lies in memory where there is room, PostgreSQL does not
    sync, and what an earlier run has left is thrown away. A killed server finds its data again in any case.
    """
    named = addresses_from(os.environ)
    if named is not None and directory is None:
        yield named
        return
    run = RunDirectory(directory or shared_directory())
    user = str(os.getpid())
    addresses = acquire(run, user, durable=durable)
    try:
        yield addresses
    finally:
        release(run, user)


# A fixture of that name may be made of it; pytest is not to take it for a test where it is imported.
test_servers.__test__ = False  # type: ignore[attr-defined]  # a plain attribute that pytest looks for


@contextlib.contextmanager
def running_suite(directory: Path, *, gateways: int = 1) -> Iterator[dict[str, Any]]:
    """Run a whole suite of one's own in the directory, on free ports; give its `suite.json`; kill it afterwards.

    Servers, databases and sandbox are its own as well: nothing is shared with the developer's suite or with other tests.
    """
    run = RunDirectory(directory)
    environ = {
        name: value for name, value in os.environ.items() if name not in ("SUITE_POSTGRES_DSN", "SUITE_AMQP_URL")
    }
    run.create()
    lifecycle.up(run, {**environ, **free_ports()}, replicas={GATEWAY.name: gateways})
    try:
        document: dict[str, Any] = json.loads(run.suite_json.read_text(encoding="utf-8"))
        yield document
    finally:
        Supervisor(run).kill()


def free_ports() -> dict[str, str]:
    """Return the variables that ask for free ports for everything that has a default one."""
    names = [f"SUITE_{service.package.upper()}_PORT" for service in WITH_CONSOLE]
    names += ["SUITE_SANDBOX_PORT", "SUITE_SANDBOX_SMTP_PORT"]
    ports: list[int] = []
    for _ in names:
        ports.append(free_port(ports))
    return {name: str(port) for name, port in zip(names, ports, strict=True)}


def shared_directory() -> Path:
    """Return the run directory of the servers that all tests of this checkout share."""
    return repository_root() / ".run" / "test" / "shared"


def acquire(run: RunDirectory, user: str, *, durable: bool = False) -> ServerAddresses:
    """Count the user in, and return when the servers answer."""
    run.create()
    with locked(run.lock_file):
        users = _living_users(run) | {user}
        supervisor = Supervisor(run)
        running = supervisor.running
        if not running and not durable:
            memory.place(run, DATA)
        postgres = local_postgres(run, keep_ports=running, durable=durable)
        rabbitmq = local_rabbitmq(run, keep_ports=running, settings=FRESH_FIGURES)
        if not running:
            postgres.prepare()
            rabbitmq.prepare()
        programs = (*rabbitmq.programs(), postgres.program())
        if not running:  # never under others' feet, even when a program's description has changed since
            supervisor.apply(programs)
        try:
            supervisor.start(program.name for program in programs)
            postgres.wait_ready()
            rabbitmq.wait_ready()
        except BaseException:
            if users == {user}:
                _discard(run)
            raise
        _write_users(run, users)
    return ServerAddresses(postgres.dsn(), rabbitmq.url, rabbitmq.api_url)


def release(run: RunDirectory, user: str) -> None:
    """Count the user out; the last one stops the servers. Harmless for a user who is not counted."""
    if not run.root.exists():
        return
    with locked(run.lock_file):
        users = _living_users(run) - {user}
        _write_users(run, users)
        if not users:
            _discard(run)


def _discard(run: RunDirectory) -> None:
    # Nobody wants the data, and an orderly stop of RabbitMQ takes six seconds.
    Supervisor(run).kill()
    memory.forget(run, DATA)


def _users_file(run: RunDirectory) -> Path:
    return run.root / "users"


def _living_users(run: RunDirectory) -> set[str]:
    path = _users_file(run)
    if not path.exists():
        return set()
    return {user for user in path.read_text().split() if user == KEPT or psutil.pid_exists(int(user))}


def _write_users(run: RunDirectory, users: set[str]) -> None:
    _users_file(run).write_text("\n".join(sorted(users)))
