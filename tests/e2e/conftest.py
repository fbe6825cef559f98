"""One whole suite for all end-to-end tests of a process: its own run directory, its own ports, ended at the end."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser as Chromium

from suite_local.story import PATIENT
from suite_local.testing import free_ports
from tests.e2e.browsers import open_chromium
from tests.support.console_browser import Browser, browsing
from tests.support.real_terminal import RealTerminal
from tests.support.suite_client import Client, RunningSuite, environment_for
from tests.support.terminal import Terminal

_SOON = {"REFUNDS_RETRY_BASE": "0.1", "REFUNDS_POLL_BASE": "0.1"}
"""Payment systems are asked again sooner than in earnest."""
_WATCHED = {"NOTIFIER_WATCHDOG_PATIENCE": "86400"}
"""Alertmanagers are expected, and nobody's silence is told before the tests are over."""

_WANT_NO_TROUBLE = {"test_orders_through_the_suite.py", "test_ordersctl.py"}
"""Files that ask whether the suite has lost nothing and needs nobody; the others leave crashed workflows, dead letters, complaints."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Break things last: they share a suite."""
    items.sort(key=lambda item: item.path.name not in _WANT_NO_TROUBLE)


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    """A whole suite, up and ready."""
    directory = tmp_path_factory.mktemp("suite")
    running = RunningSuite(directory, {**environment_for(directory), **PATIENT, **_SOON, **_WATCHED, **free_ports()})
    started = running.command("up")
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        yield running
    finally:
        ended = running.command("down")
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture
async def client(suite: RunningSuite) -> AsyncIterator[Client]:
    """A client of that suite."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield Client(suite, session)


@pytest.fixture
async def chromium() -> AsyncIterator[Chromium]:
    """Debian's own."""
    async with open_chromium() as browser:
        yield browser


@pytest.fixture
def terminal(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Somebody at a terminal of this suite."""
    monkeypatch.setenv("SUITE_RUN_DIR", str(client.suite.directory))
    monkeypatch.setenv("ORDERSCTL_CONFIG_DIR", str(tmp_path))
    return Terminal()


@pytest.fixture
def real_terminal(client: Client, tmp_path: Path) -> RealTerminal:
    """A terminal of its own, for programs of their own."""
    steered = (
        "COLUMNS",
        "LINES",
        "NO_COLOR",
        "FORCE_COLOR",
        "TERM",
        "ORDERSCTL_PROFILE",
        "LC_ALL",
        "LC_MESSAGES",
        "LANG",
    )
    kept = {name: held for name, held in os.environ.items() if name not in steered}
    place = {"SUITE_RUN_DIR": str(client.suite.directory), "ORDERSCTL_CONFIG_DIR": str(tmp_path), "LANG": "C.UTF-8"}
    return RealTerminal({**kept, **place}, scratch=tmp_path)


@pytest.fixture
async def browser(client: Client) -> AsyncIterator[Browser]:
    """Somebody's browser, without script."""
    async with browsing(client.suite.url("console"), language="en") as opened:
        yield opened


@pytest.fixture
async def oleg_is_on_duty(client: Client) -> AsyncIterator[None]:
    """Oleg is on duty, whosever week it is by the plan; afterwards it goes by the plan again."""
    overrides = client.suite.url("notifier") + "/admin/v1/roster/overrides"
    now = datetime.now(UTC)
    body = {"person": "oleg", "starts_at": now.isoformat(), "ends_at": (now + timedelta(hours=1)).isoformat()}
    status, made = await client.post(overrides, {**body, "reason": "for a test"}, role="operator")
    assert status in (200, 409), made  # by the plan, too
    yield
    for each in made.get("items", ()):
        await client.delete(f"{overrides}/{each['id']}", role="operator")  # the test may have taken it back itself
