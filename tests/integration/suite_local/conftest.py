"""Servers of these tests' own, under the process manager: they are killed here, so nobody else may use them."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from suite_local.infrastructure.find import Found, find_postgres, find_rabbitmq
from suite_local.infrastructure.local import local_rabbitmq
from suite_local.paths import RunDirectory
from suite_local.supervision import Supervisor


@pytest.fixture
def own_run() -> Iterator[RunDirectory]:
    """A run directory whose processes all end with the test."""
    # Not pytest's own directory: PostgreSQL's account has to reach it without help.
    root = Path(tempfile.mkdtemp(prefix="suite-test-"))
    root.chmod(0o755)
    run = RunDirectory(root)
    yield run
    Supervisor(run).kill()
    shutil.rmtree(root, ignore_errors=True)


@contextmanager
def running_servers(run: RunDirectory, *, postgres: bool = True) -> Iterator[tuple[Found | None, str]]:
    """Run the servers of a run directory under its process manager; give PostgreSQL, and the address of the broker's API."""
    run.create()
    found = find_postgres(run, {}, running=False) if postgres else None
    rabbitmq = find_rabbitmq(run, {}, running=False)
    supervisor = Supervisor(run)
    programs = (*rabbitmq.programs, *(found.programs if found else ()))
    supervisor.apply(programs)
    supervisor.start(program.name for program in programs)
    try:
        if found is not None:
            found.wait_ready()
        rabbitmq.wait_ready()
        yield found, local_rabbitmq(run, keep_ports=True).api_url
    finally:
        supervisor.shutdown()


def until(condition: Callable[[], bool], *, within_s: float = 120) -> None:
    """Return when the condition holds; an ``AssertionError`` when it never does."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
