"""Servers of these tests' own, under the process manager: they are killed here, so nobody else may use them."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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


def until(condition: Callable[[], bool], *, within_s: float = 60) -> None:
    """Return when the condition holds; an ``AssertionError`` when it never does."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
