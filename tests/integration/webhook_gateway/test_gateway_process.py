"""The gateway as a process: it drains on SIGTERM, what it acknowledged outlives ``kill -9``, and it refuses what it cannot run with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from common.contracts.intake import IntakeMessage
from tests.integration.webhook_gateway.conftest import ROLES, SOURCES, TOKEN, hook_body
from tests.support.servers import eventually

Arrived = Callable[[int], Awaitable[list[IntakeMessage]]]


@pytest.fixture
async def environment(
    tmp_path: Path, amqp_url: str, database_for: Callable[[str], Awaitable[str]], unused_tcp_port: int
) -> dict[str, str]:
    tokens = tmp_path / "process-tokens.json"
    tokens.write_text(json.dumps({"tokens": [{"name": r, "token": f"{r}-token", "role": r} for r in ROLES]}))
    sources = tmp_path / "process-sources.json"
    sources.write_text(json.dumps(SOURCES))
    values = {
        "PORT": str(unused_tcp_port),
        "POSTGRES_DSN": await database_for("webhook_gateway"),
        "AMQP_URL": amqp_url,
        "TOKENS_FILE": str(tokens),
        "SOURCES_FILE": str(sources),
        "SPOOL_DIR": str(tmp_path / "spool" / "gw-1"),
        "REPLICA": "gw-1",
    }
    return {f"WEBHOOK_GATEWAY_{name}": value for name, value in values.items()}


@asynccontextmanager
async def process(environment: Mapping[str, str], command: str = "serve") -> AsyncIterator[Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "webhook_gateway", command, env={**os.environ, **environment}, stdout=PIPE, stderr=PIPE
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def ended(child: Process) -> tuple[int | None, str]:
    async with asyncio.timeout(60):
        _, errors = await child.communicate()
    return child.returncode, errors.decode().strip()


async def answering(url: str, session: aiohttp.ClientSession) -> None:
    async def ready() -> bool:
        try:
            async with session.get(url + "/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    await eventually(ready, what="a ready gateway")


async def test_sigterm_drains_and_kill_loses_nothing_that_was_acknowledged(
    environment: dict[str, str], arrived: Arrived
) -> None:
    url = f"http://127.0.0.1:{environment['WEBHOOK_GATEWAY_PORT']}"
    away = {**environment, "WEBHOOK_GATEWAY_AMQP_URL": "amqp://guest:guest@127.0.0.1:1/"}
    async with aiohttp.ClientSession() as session:

        async def send(order: str) -> int:
            async with session.post(url + "/hooks/v1/sbermarket", json=hook_body(order=order), headers=TOKEN) as answer:
                return answer.status

        async with process(away) as child:  # no broker at all: everything is spooled
            await answering(url, session)
            assert await asyncio.gather(*(send(f"A{n}") for n in range(20))) == [200] * 20
            child.send_signal(signal.SIGKILL)
            await ended(child)
        async with process(environment) as child:
            await answering(url, session)
            assert await asyncio.gather(*(send(f"B{n}") for n in range(20))) == [200] * 20
            hooks = await arrived(40)
            child.send_signal(signal.SIGTERM)
            assert (await ended(child))[0] == 0
    assert {hook.external_id for hook in hooks} == {f"{letter}{n}" for letter in "AB" for n in range(20)}


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"SOURCES_FILE": "/nowhere/sources.json"}, 2, "the sources file /nowhere/sources.json cannot be read"),
        ({"SPOOL_DIR": "/dev/null/spool"}, 2, "the spool /dev/null/spool cannot be used"),
        ({"AMQP_URL": ""}, 2, "WEBHOOK_GATEWAY_AMQP_URL is missing"),
        ({"CONFIRM_DEADLINE": "5"}, 2, "WEBHOOK_GATEWAY_CONFIRM_DEADLINE"),
    ],
)
async def test_a_wrong_configuration_is_one_line_and_an_exit_code(
    environment: dict[str, str], changes: dict[str, str], code: int, says: str
) -> None:
    wrong = {**environment, **{f"WEBHOOK_GATEWAY_{name}": value for name, value in changes.items()}}
    async with process(wrong) as child:
        returned, errors = await ended(child)
    assert (returned, len(errors.splitlines()), says in errors) == (code, 1, True)


async def test_a_database_without_the_schema_is_refused(environment: dict[str, str], databases: Any) -> None:
    async with databases.empty() as dsn, process({**environment, "WEBHOOK_GATEWAY_POSTGRES_DSN": dsn}) as child:
        returned, errors = await ended(child)
    assert (returned, "lacks migrations" in errors) == (3, True)
