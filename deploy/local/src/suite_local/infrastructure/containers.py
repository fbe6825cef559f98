"""The last resort: PostgreSQL and RabbitMQ as containers, when there are no local servers but a Docker daemon.

Each container is held by a foreground program of ours (this module, run with a container's name), so that the process manager
starts and stops it like everything else. The data lies in a named volume and outlives the container.
"""

from __future__ import annotations

import os
import signal
import sys

from suite_local.credentials import Credentials
from suite_local.paths import RunDirectory
from suite_local.ports import LOOPBACK, PortBook
from suite_local.programs import Program

POSTGRES_IMAGE = "postgres:17-alpine"
RABBITMQ_IMAGE = "rabbitmq:4-management-alpine"
USER = "suite"


def docker_answers() -> bool:
    """Say whether there is a Docker daemon that we may talk to."""
    import docker  # type: ignore[import-untyped]  # it ships no types; heavy, and needed only here
    from docker.errors import DockerException  # type: ignore[import-untyped]  # as above

    try:
        client = docker.from_env(timeout=5)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except (DockerException, OSError):
        return False


def container_postgres(run: RunDirectory, *, keep_ports: bool) -> tuple[str, Program]:
    """Return PostgreSQL's address and the program that holds its container."""
    port, password = _port(run, "postgres", keep=keep_ports), Credentials(run.secrets).get("postgres")
    return f"postgresql://{USER}:{password}@{LOOPBACK}:{port}/postgres", _holder(run, "postgres", port, password)


def container_rabbitmq(run: RunDirectory, *, keep_ports: bool) -> tuple[str, str, Program]:
    """Return RabbitMQ's address, its management API's, and the program that holds its container."""
    port, password = _port(run, "rabbitmq", keep=keep_ports), Credentials(run.secrets).get("rabbitmq")
    api = _port(run, "rabbitmq_api", keep=keep_ports)
    return (
        f"amqp://{USER}:{password}@{LOOPBACK}:{port}/{USER}",
        f"http://{USER}:{password}@{LOOPBACK}:{api}",
        _holder(run, "rabbitmq", port, password, api=api),
    )


def hold(name: str) -> None:
    """Run one container until TERM, as `SUITE_CONTAINER_PORT`, `_API_PORT`, `_PASSWORD` and `_VOLUME` say."""
    from testcontainers.core.container import DockerContainer  # heavy, and needed only here

    port, password = int(os.environ["SUITE_CONTAINER_PORT"]), os.environ["SUITE_CONTAINER_PASSWORD"]
    volume = os.environ["SUITE_CONTAINER_VOLUME"]
    if name == "postgres":
        container = DockerContainer(POSTGRES_IMAGE).with_env("POSTGRES_USER", USER).with_env("POSTGRES_DB", "postgres")
        container.with_env("POSTGRES_PASSWORD", password).with_command("postgres -c max_connections=300")
        inside, data = 5432, "/var/lib/postgresql/data"
    else:
        container = DockerContainer(RABBITMQ_IMAGE).with_env("RABBITMQ_DEFAULT_USER", USER)
        container.with_env("RABBITMQ_DEFAULT_PASS", password).with_env("RABBITMQ_DEFAULT_VHOST", USER)
        container.with_kwargs(hostname="suite")  # the node's name, and with it its data, follows the host name
        inside, data = 5672, "/var/lib/rabbitmq"
    container.with_volume_mapping(volume, data, "rw")
    container.ports[f"{inside}/tcp"] = (LOOPBACK, port)  # type: ignore[assignment]  # docker takes (address, port) here
    if api := os.environ.get("SUITE_CONTAINER_API_PORT"):
        container.ports["15672/tcp"] = (LOOPBACK, int(api))  # type: ignore[assignment]  # as above
    waiting = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
    with container:
        signal.sigwait(waiting)


def _holder(run: RunDirectory, name: str, port: int, password: str, *, api: int | None = None) -> Program:
    return Program(
        name=name,
        argv=(sys.executable, "-m", "suite_local.infrastructure.containers", name),
        directory=run.root,
        environment={
            "SUITE_CONTAINER_PORT": str(port),
            "SUITE_CONTAINER_PASSWORD": password,
            **({} if api is None else {"SUITE_CONTAINER_API_PORT": str(api)}),
            "SUITE_CONTAINER_VOLUME": f"suite-{run.digest}-{name}",
        },
        stop_wait_s=30,
        group="infrastructure",
        priority=10,
    )


def _port(run: RunDirectory, name: str, *, keep: bool) -> int:
    book = PortBook(run.state_file)
    known = book.known(name)
    return known if keep and known is not None else book.choose(name)


if __name__ == "__main__":
    hold(sys.argv[1])
