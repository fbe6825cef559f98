"""Where a server comes from: an address in the environment, else a local instance, else a container, else one clear message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from suite_local.errors import InfrastructureMissingError
from suite_local.infrastructure.containers import container_postgres, container_rabbitmq, docker_answers
from suite_local.infrastructure.local import local_postgres, local_rabbitmq
from suite_local.infrastructure.postgres import wait_for_postgres
from suite_local.infrastructure.rabbitmq import wait_for_amqp
from suite_local.paths import RunDirectory
from suite_local.programs import Program


@dataclass(frozen=True, slots=True)
class Found:
    """A server that is going to be there: its address, the programs to run for it, and how to wait for it.

    ``api`` is the broker's management API with an administrator's credentials, where there is one: to make accounts.
    """

    kind: str
    address: str
    programs: tuple[Program, ...]
    wait_ready: Callable[[], None]
    api: str | None = None


def find_postgres(run: RunDirectory, environ: Mapping[str, str], *, running: bool) -> Found:
    """Return PostgreSQL, its data directory made. `running`: it is up, so its port is taken, by itself."""
    dsn = environ.get("SUITE_POSTGRES_DSN")
    if dsn:
        return Found("given", dsn, (), lambda: wait_for_postgres(dsn, timeout_s=10))
    try:
        local = local_postgres(run, keep_ports=running)
    except InfrastructureMissingError:
        if not docker_answers():
            raise
        return _contained(*container_postgres(run, keep_ports=running), wait_for_postgres)
    if not running:
        local.prepare()
    return Found("local", local.dsn(), (local.program(),), local.wait_ready)


def find_rabbitmq(run: RunDirectory, environ: Mapping[str, str], *, running: bool) -> Found:
    """Return RabbitMQ, its configuration written. `running`: it is up, so its ports are taken, by itself."""
    url = environ.get("SUITE_AMQP_URL")
    if url:
        return Found("given", url, (), lambda: wait_for_amqp(url, timeout_s=10), environ.get("SUITE_RABBITMQ_API"))
    try:
        local = local_rabbitmq(run, keep_ports=running)
    except InfrastructureMissingError:
        if not docker_answers():
            raise
        address, api, program = container_rabbitmq(run, keep_ports=running)
        return replace(_contained(address, program, wait_for_amqp), api=api)
    if not running:
        local.prepare()
    return Found("local", local.url, local.programs(), local.wait_ready, local.api_url)


def _contained(address: str, program: Program, wait: Callable[..., None]) -> Found:
    # The first start may have to fetch the image.
    return Found("container", address, (program,), lambda: wait(address, timeout_s=300))
