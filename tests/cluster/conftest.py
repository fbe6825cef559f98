"""One whole suite with two of each service on a cluster: three brokers, a primary and its synchronous standby."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import pytest

from suite_local import lifecycle
from suite_local.catalogue import SERVICES
from suite_local.paths import RunDirectory
from suite_local.supervision import Supervisor
from suite_local.testing import free_ports
from tests.chaos.conftest import Faults
from tests.cluster.broker_nodes import BrokerNodes
from tests.support.database_pair import DatabasePair
from tests.support.suite_client import Client, RunningSuite, environment_for

REPLICAS = 2


@dataclass
class Stand:
    """The suite, and what it stands on."""

    suite: RunningSuite
    brokers: BrokerNodes
    databases: DatabasePair


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Servers and suite, up and ready; ended afterwards."""
    directory = tmp_path_factory.mktemp("cluster")
    directory.chmod(0o755)  # the servers run under accounts of their own
    brokers, databases = BrokerNodes(directory / "brokers"), DatabasePair(directory / "databases")
    run = RunDirectory(directory / "suite")
    try:
        databases.start()
        brokers.start()
        run.create()
        found = {"SUITE_POSTGRES_DSN": databases.dsn, "SUITE_AMQP_URL": brokers.url}
        environment = {**environment_for(run.root), **free_ports(), **found}
        lifecycle.up(run, environment, replicas={service.name: REPLICAS for service in SERVICES})
        yield Stand(RunningSuite(run.root, environment), brokers, databases)
    finally:
        Supervisor(run).kill()
        brokers.end()
        databases.end()


@pytest.fixture
async def faults(stand: Stand) -> AsyncIterator[Faults]:
    """That suite, healthy."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        made = Faults(stand.suite, Client(stand.suite, session), RunDirectory(stand.suite.directory), session)
        await made.connected()
        await made.everybody_ready()
        yield made


@pytest.fixture
def since() -> datetime:
    """When the test began: the ledger is read from there."""
    return datetime.now(UTC)
