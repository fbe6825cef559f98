"""Two replicas are killed at random during 500 refunds, and thousands of histories: nothing is paid twice, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from sandbox.testing import RunningSandbox, running_sandbox
from suite_local.ports import CHOICE, is_free
from tests.support.refund_histories import run_histories

pytestmark = pytest.mark.chaos

REFUNDS = int(os.environ.get("REFUNDS_UNDER_KILLS", "500"))
KILLS = int(os.environ.get("REFUNDS_KILLS", "12"))
HISTORIES = int(os.environ.get("REFUND_HISTORIES", "2000"))
_chance = random.Random()  # noqa: S311 - chooses victims, guards nothing
A_PAYMENT = 10
"""Refunds requested of each payment; it has money for eight of them."""


class Replica:
    """A refunds process that is started again whenever it is killed."""

    def __init__(self, environment: dict[str, str], port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {**environment, "REFUNDS_PORT": str(port), "REFUNDS_REPLICA": f"replica-{port}"}
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; it is not waited for."""
        self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "refunds", "serve"),
            env=self._environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def kill(self) -> None:
        """``kill -9``, and start it again."""
        await self.end()
        await self.start()

    async def end(self) -> None:
        """``kill -9``."""
        if self._child is not None and self._child.returncode is None:
            self._child.kill()
            await self._child.wait()


@asynccontextmanager
async def replicas(environment: dict[str, str], count: int) -> AsyncIterator[list[Replica]]:
    """Run so many until the block ends."""
    free = (port for port in _chance.sample(CHOICE, len(CHOICE)) if is_free(port))
    running = [Replica(environment, next(free)) for _ in range(count)]
    for replica in running:
        await replica.start()
    try:
        yield running
    finally:
        for replica in running:
            await replica.end()


async def accepted_refund(session: aiohttp.ClientSession, running: list[Replica], number: int) -> str | None:
    """Request a refund until some replica has answered; its id, None when it was refused (the payment has no more)."""
    body = {
        "order_number": f"N-{number // A_PAYMENT}",
        "payment_id": f"pay-{number // A_PAYMENT}",
        "amount": 10,
        "currency": "RUB",
        "reason": "test",
        "business_key": f"request-{number}",
    }
    while True:
        replica = _chance.choice(running)
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with session.post(replica.url + "/refunds/v1/refunds", json=body) as answer:
                if answer.status == 202:
                    return str((await answer.json())["id"])
                if answer.status == 409:
                    return None
        await asyncio.sleep(0.2)


async def checked(dsn: str, sandbox: RunningSandbox, accepted: Path) -> tuple[int, str]:
    """Run the checker as an operator would."""
    command = ("-m", "refunds", "check-refunds", "--postgres-dsn", dsn, "--sandbox", sandbox.url)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        *("--accepted", str(accepted), "--wait", "120"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await child.communicate()
    return child.returncode or 0, report.decode()


@pytest.mark.timeout(600)
async def test_two_replicas_are_killed_at_random_during_five_hundred_refunds(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"tokens": [{"name": "machine", "token": "token-internal", "role": "internal"}]}))
    dsn = await database_for("refunds")
    async with running_sandbox() as sandbox:
        environment = {
            **os.environ,
            "REFUNDS_POSTGRES_DSN": dsn,
            "REFUNDS_AMQP_URL": amqp_url,
            "REFUNDS_TOKENS_FILE": str(tokens),
            "REFUNDS_TRUST_URL": sandbox.trust_url,
            "REFUNDS_TRUST_SERVICE_TOKEN": "trust-token",
            "REFUNDS_LEASE": "3",
            "REFUNDS_UNKNOWN_LADDER": "[0.5, 1, 2]",
            "REFUNDS_POLL_CAP": "2",
            "REFUNDS_RETRY_CAP": "2",
            "REFUNDS_BREAKER_PAUSE": "1",
        }
        for number in range(-(-REFUNDS // A_PAYMENT)):
            await sandbox.put_payment(f"pay-{number}", captured=80)
        for mode, share in (("lost_response", 0.05), ("error", 0.05), ("reset", 0.05)):
            await sandbox.fault("trust", mode=mode, share=share)
        headers = {"Authorization": "Bearer token-internal"}
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            replicas(environment, 2) as running,
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
        ):
            room = asyncio.Semaphore(8)

            async def one(number: int) -> str | None:
                async with room:
                    return await accepted_refund(session, running, number)

            requests = asyncio.gather(*(one(number) for number in range(REFUNDS)))
            killed = 0
            while killed < KILLS or not requests.done():
                await asyncio.sleep(_chance.uniform(1.0, 6.0))
                await _chance.choice(running).kill()
                killed += 1
            ids = [refund_id for refund_id in await requests if refund_id is not None]
            await sandbox.heal("trust")
            accepted = tmp_path / "accepted.txt"
            accepted.write_text("\n".join(ids))
            code, report = await checked(dsn, sandbox, accepted)
        print(f"{killed} kills; {report}")  # noqa: T201 - the checker's verdict, with -s or on failure
        assert code == 0, report


@pytest.mark.timeout(3600)
async def test_thousands_of_histories_pay_every_refund_at_most_once(
    database_for: Callable[[str], Awaitable[str]],
) -> None:
    dsn = await database_for("refunds")
    await asyncio.to_thread(run_histories, dsn, histories=HISTORIES)
