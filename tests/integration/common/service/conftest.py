"""Starts the service of ``shop_service.py`` as a process and reads what it says; opens a service's database, as who serves and past it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from common.postgres import Database
from tests.support.forked import Mother, mother
from tests.support.servers import as_served

SERVICE = Path(__file__).with_name("shop_service.py")


class Shop:
    """The running process and what it has said so far."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    async def until(self, event: str) -> dict[str, Any]:
        """Read log lines until one with this event, and return it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while raw := await self.process.stdout.readline():
                self.lines.append(json.loads(raw))
                if self.lines[-1]["event"] == event:
                    return self.lines[-1]
        raise AssertionError(f"the process ended without {event}: {self.lines}")

    async def end(self) -> tuple[int, str]:
        """Wait for the process to end; return its exit code and what it wrote to stderr."""
        async with asyncio.timeout(60):
            out, err = await self.process.communicate()
        self.lines += [json.loads(line) for line in out.splitlines()]
        assert self.process.returncode is not None
        return self.process.returncode, err.decode()

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


Start = Callable[..., Awaitable[Shop]]
Ended = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def dsn(database_for: Callable[[str], Awaitable[str]]) -> str:
    """A service's database, as its superuser reaches it."""
    return await database_for("refunds")


@pytest.fixture
async def owner(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """The pool of the account that serves."""
    opened = Database(as_served(dsn), application_name="test")
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What the service is given at least."""
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"tokens": [{"name": "anna", "token": "t-anna", "role": "admin"}]}))
    return {"PATH": os.environ["PATH"], "SHOP_TOKENS_FILE": str(tokens), "PYTHONWARNINGS": "error"}


@pytest.fixture(scope="module")
def shops_mother() -> Iterator[Mother]:
    """A process that has imported what the service needs."""
    needed = ("common.http", "common.service", "common.telemetry.metrics")
    with mother(*needed, environment={"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error"}) as made:
        yield made


@pytest.fixture
def ended(shops_mother: Mother, environment: dict[str, str], tmp_path: Path) -> Ended:
    """A function that runs the service, or another of its commands, to its end; returns exit code, stdout and stderr."""

    async def run(*arguments: str, **variables: str) -> tuple[int, str, str]:
        return await shops_mother.run(
            str(SERVICE), *(arguments or ("serve",)), environment=environment | variables, directory=tmp_path
        )

    return run


@pytest.fixture
async def start(environment: dict[str, str]) -> AsyncIterator[Start]:
    """A function that starts the service with the given environment; whatever still runs is killed after the test."""
    async with AsyncExitStack() as stack:

        async def run(*arguments: str, **variables: str) -> Shop:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(SERVICE),
                *(arguments or ("serve",)),
                env=environment | variables,
                stdout=PIPE,
                stderr=PIPE,
            )

            async def kill() -> None:
                if process.returncode is None:
                    process.kill()
                await process.communicate()

            stack.push_async_callback(kill)
            return Shop(process)

        yield run
