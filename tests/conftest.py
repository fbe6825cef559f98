"""Fixtures for every test: real servers, and on them a database and a virtual host of the test's own.

A missing server fails the run; it never skips a test.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from suite_local.ports import SHARE, free_port
from suite_local.testing import ServerAddresses, test_servers
from tests.support.servers import TestDatabases, TestRabbit

# No example fails because a machine is slow; and a run finds what the last one found. HYPOTHESIS_PROFILE=search looks for more.
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", settings.get_profile("steady"), derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_configure() -> None:
    """Give each of xdist's processes, and whatever it starts, ports of its own; ask no test server for TLS; log errors in short."""
    # Else each of very many connections asks the test server for TLS, which it does not have.
    os.environ.setdefault("PGSSLMODE", "disable")
    # structlog's own way to show an error prints every value of every frame: as long as many a test takes.
    shown = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, shown])
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker.startswith("gw"):
        mine, shares = map(int, os.environ.get(SHARE, "0/1").split("/"))
        index, workers = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        os.environ[SHARE] = f"{mine + shares * index}/{shares * workers}"


_FIRST = (
    "tests/e2e/",
    "tests/integration/deploy/test_as_shipped.py",
    "tests/integration/suite_local/",
)
"""What takes longest, the longest first: it waits for the most part, and the others run meanwhile. At the end it would run alone."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; leave the rest as it is."""
    items.sort(
        key=lambda item: next(
            (place for place, begin in enumerate(_FIRST) if item.nodeid.startswith(begin)), len(_FIRST)
        )
    )


_CHANGES = (
    "tests/e2e/test_changes_are_as_rehearsed.py",
    "tests/e2e/test_console_is_open_to_everybody.py",
    "tests/e2e/test_every_command_at_a_terminal.py",
    "tests/e2e/test_two_at_once.py",
)
"""Half of the end-to-end tests by their time: all at one suite would go on when the others have long ended."""


class _FilesAndTwoSuites(LoadFileScheduling):  # type: ignore[misc] # xdist is not typed
    """A file stays in one process, and so does each half of the end-to-end tests, which share a running suite."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/e2e/"):
            return "e2e of changes" if nodeid.startswith(_CHANGES) else "e2e"
        return str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling:
    """Spread the tests over xdist's processes."""
    return _FilesAndTwoSuites(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave what is imported for good to itself: looking through it for garbage takes a fifth of the collection's time, and goes on."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)  # a test makes far more objects than Python's own threshold is meant for
        gc.enable()


@pytest.fixture
def unused_tcp_port() -> int:
    """A port for a server that is started later, perhaps twice: not pytest-asyncio's, which outgoing connections may take meanwhile."""
    return free_port()


@pytest.fixture(scope="session")
def servers() -> Iterator[ServerAddresses]:
    """The addresses of PostgreSQL and RabbitMQ, started when the environment names none."""
    with test_servers() as addresses:
        yield addresses


@pytest.fixture(scope="session")
def databases(servers: ServerAddresses) -> TestDatabases:
    """Makes databases on the test server."""
    return TestDatabases(servers.postgres_dsn)


@pytest.fixture(scope="session")
def rabbit(servers: ServerAddresses) -> Iterator[TestRabbit]:
    """The test broker, as its management API shows it."""
    broker = TestRabbit(servers.amqp_url, servers.rabbitmq_api)
    yield broker
    asyncio.run(broker.close())


@pytest.fixture
async def database_for(databases: TestDatabases) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """A function that gives the address of a fresh, migrated database of a service; all are dropped after the test."""
    async with AsyncExitStack() as stack:

        async def make(package: str) -> str:
            return await stack.enter_async_context(databases.migrated(package))

        yield make


@pytest.fixture
async def amqp_url(rabbit: TestRabbit) -> AsyncIterator[str]:
    """The address of a virtual host of the test's own without any message; the suite's queues may be in it."""
    async with rabbit.virtual_host_of_the_suite() as url:
        yield url
