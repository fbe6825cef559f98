"""PostgreSQL and RabbitMQ of one run directory together: ports remembered, passwords generated, programs described."""

from __future__ import annotations

from collections.abc import Mapping

from suite_local.credentials import Credentials
from suite_local.infrastructure.postgres import LocalPostgres
from suite_local.infrastructure.rabbitmq import LocalRabbitmq
from suite_local.paths import RunDirectory
from suite_local.ports import PortBook


def local_postgres(run: RunDirectory, *, keep_ports: bool, durable: bool = True) -> LocalPostgres:
    """Return the run directory's PostgreSQL. `keep_ports` while it runs: its port is taken then, by itself."""
    return LocalPostgres(
        directory=run.root / "postgres",
        port=_port(run, "postgres", keep=keep_ports),
        password=Credentials(run.secrets).get("postgres"),
        logs=run.logs,
        durable=durable,
    )


def local_rabbitmq(
    run: RunDirectory, *, keep_ports: bool, settings: Mapping[str, str | int] | None = None
) -> LocalRabbitmq:
    """Return the run directory's RabbitMQ. `keep_ports` while it runs: its ports are taken then, by itself."""
    return LocalRabbitmq(
        directory=run.root / "rabbitmq",
        port=_port(run, "rabbitmq", keep=keep_ports),
        api_port=_port(run, "rabbitmq_api", keep=keep_ports),
        dist_port=_port(run, "rabbitmq_dist", keep=keep_ports),
        epmd_port=_port(run, "epmd", keep=keep_ports),
        password=Credentials(run.secrets).get("rabbitmq"),
        logs=run.logs,
        settings=settings,
    )


def _port(run: RunDirectory, name: str, *, keep: bool) -> int:
    book = PortBook(run.state_file)
    known = book.known(name)
    return known if keep and known is not None else book.choose(name)
