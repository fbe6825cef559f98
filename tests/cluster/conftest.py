"""One whole suite behind nginx with two of each service on a cluster: three brokers, a primary and its synchronous standby.

``CLUSTER_RABBITMQ=4`` takes the brokers out of a newer Debian.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from suite_local import lifecycle
from suite_local.catalogue import GATEWAY, SERVICES
from suite_local.paths import RunDirectory
from suite_local.ports import LOOPBACK, PortBook, free_port
from suite_local.programs import Program, ProgramProcess, last_lines
from suite_local.supervision import Supervisor
from suite_local.testing import free_ports
from tests.cluster.broker_nodes import BrokerNodes
from tests.cluster.debian import Debian
from tests.cluster.network import own_network
from tests.cluster.page import Page
from tests.cluster.trials import Trials
from tests.support.database_pair import DatabasePair
from tests.support.edge import edge_variables, nginx_command, render
from tests.support.ports import is_answering
from tests.support.suite_client import Client, RunningSuite, environment_for

REPLICAS = 2
_NOBODY = 1
"""A port at which nothing listens: the third of nginx's three gateways is not there."""


@dataclass
class Stand:
    """The suite, and what it stands on."""

    suite: RunningSuite
    brokers: BrokerNodes
    databases: DatabasePair
    edge: str
    edge_log: Path


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Servers and suite in a network of their own, up and ready; ended afterwards."""
    directory = tmp_path_factory.mktemp("cluster")
    directory.chmod(0o755)  # the servers run under accounts of their own
    debian = Debian.made() if os.environ.get("CLUSTER_RABBITMQ") == "4" else None
    run = RunDirectory(directory / "suite")
    with ExitStack() as stack:
        stack.enter_context(own_network())
        databases = DatabasePair(directory / "databases")
        stack.callback(databases.end)
        databases.start()
        brokers = BrokerNodes(directory / "brokers", debian=debian)
        stack.callback(brokers.end)
        brokers.start()
        run.create()
        edge_log = directory / "edge-log"
        edge_log.mkdir()
        environment = {
            **environment_for(run.root),
            **free_ports(),
            "SUITE_POSTGRES_DSN": databases.dsn,
            "SUITE_AMQP_URL": brokers.url,
            "SUITE_RABBITMQ_API": brokers.api_url,
            # As in compose.yaml: within what nginx gives a replica.
            "WEBHOOK_GATEWAY_CONFIRM_DEADLINE": "0.4",
            "WEBHOOK_GATEWAY_SPOOL_DEADLINE": "1.4",
            "WEBHOOK_GATEWAY_EDGE_LOG_DIR": str(edge_log),
        }
        stack.callback(lambda: Supervisor(run).kill())
        lifecycle.up(run, environment, replicas={service.name: REPLICAS for service in SERVICES})
        edge, requests = stack.enter_context(_edge(directory / "nginx", run, edge_log))
        yield Stand(RunningSuite(run.root, environment), brokers, databases, edge, requests)


@contextmanager
def _edge(prefix: Path, run: RunDirectory, log_dir: Path) -> Iterator[tuple[str, Path]]:
    """Run nginx, as shipped, before the gateways; give its address, and its log of requests."""
    book, port = PortBook(run.state_file), free_port()
    gateways = [known for name in GATEWAY.programs(REPLICAS) if (known := book.known(name)) is not None]
    render("templates", prefix, edge_variables([*gateways, _NOBODY], port, log_dir=log_dir))
    program = Program(name="nginx", argv=nginx_command(prefix), directory=prefix)
    process = ProgramProcess(program, logs=prefix)
    process.start()
    try:
        while not is_answering(port):
            assert process.running, last_lines(process.log)
        yield f"http://{LOOPBACK}:{port}", process.log
    finally:
        process.stop()


@pytest.fixture(scope="session")
def page(stand: Stand) -> Page:
    """The page of this run."""
    version = stand.brokers.version
    return Page(
        f"Two of each service behind nginx, a primary and its standby, three of RabbitMQ {version}", name=version
    )


@pytest.fixture
async def trials(stand: Stand, page: Page) -> AsyncIterator[Trials]:
    """That suite, healthy."""
    unlimited = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=unlimited, timeout=aiohttp.ClientTimeout(total=30)) as session:
        client, run = Client(stand.suite, session), RunDirectory(stand.suite.directory)
        made = Trials(stand.suite, client, run, session, edge=stand.edge, edge_log=stand.edge_log, page=page)
        await made.connected()
        await made.everybody_ready()
        yield made


@pytest.fixture
def since() -> datetime:
    """When the test began: the ledger is read from there."""
    return datetime.now(UTC)
