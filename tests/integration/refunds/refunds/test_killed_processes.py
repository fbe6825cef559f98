"""``kill -9`` in the middle of a refund: whoever starts next carries it on from what was committed, and the money moves once."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from common.http import HttpServer
from sandbox.testing import RunningSandbox
from tests.integration.refunds.factories import RefundsClient
from tests.support.servers import eventually


@pytest.fixture
def environment(tmp_path: Path, sandbox: RunningSandbox, amqp_url: str) -> dict[str, str]:
    """The settings of a refunds process, but for its database."""
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"tokens": [{"name": "machine", "token": "token-internal", "role": "internal"}]}))
    return {
        **os.environ,
        "REFUNDS_PORT": "0",
        "REFUNDS_AMQP_URL": amqp_url,
        "REFUNDS_TOKENS_FILE": str(tokens),
        "REFUNDS_TRUST_URL": sandbox.trust_url,
        "REFUNDS_TRUST_SERVICE_TOKEN": "trust-token",
        "REFUNDS_LEASE": "1",
        "REFUNDS_POLL": "0.05",
        "REFUNDS_POLL_BASE": "0.05",
    }


@asynccontextmanager
async def process(environment: dict[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A refunds process and its address. Ended at the end of the block, if the test has not killed it."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, *("-m", "refunds", "serve"), env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    async for line in child.stdout:
        entry = json.loads(line)
        if entry["event"] == "service_started":
            break
    reader = asyncio.create_task(child.stdout.read())  # a full pipe would stop it
    try:
        yield child, f"http://127.0.0.1:{entry['port']}"
    finally:
        if child.returncode is None:
            child.terminate()
            assert await child.wait() == 0
        await reader


async def test_a_refund_is_paid_once_although_its_service_is_killed_at_every_call(
    sandbox: RunningSandbox,
    environment: dict[str, str],
    database_for: Callable[[str], Awaitable[str]],
    amqp_url: str,
) -> None:
    environment["REFUNDS_POSTGRES_DSN"] = dsn = await database_for("refunds")
    await sandbox.put_payment("pay-1", captured=10_000)
    refund_id = ""
    for operation in ("get_payment", "create_refund", "start_refund", "get_refund"):
        # Trust does its part and takes its time to say so; meanwhile the service is killed.
        await sandbox.fault("trust", mode="slow", count=1, match=operation, delay_s=3)
        async with process(environment) as (child, url), aiohttp.ClientSession(url) as session:
            if not refund_id:
                _, accepted = await RefundsClient(session, sandbox, dsn, amqp_url).request()
                refund_id = accepted["id"]

            async def called(operation: str = operation) -> bool:
                return any(entry["operation"] == operation for entry in await sandbox.log("trust"))

            await eventually(called, what=operation)
            child.kill()
            await child.wait()

    async with process(environment) as (_, url), aiohttp.ClientSession(url) as session:
        service = RefundsClient(session, sandbox, dsn, amqp_url)
        await service.reaches(refund_id, "SUCCESS")
        ledger = await service.ledger()
    assert (ledger["refunded"], ledger["spent"], len(ledger["refunds"])) == (6_000, 6_000, 1)


async def test_a_callers_refund_survives_a_kill_while_the_orchestrator_is_asked_about_it(
    sandbox: RunningSandbox,
    environment: dict[str, str],
    database_for: Callable[[str], Awaitable[str]],
    amqp_url: str,
    tmp_path: Path,
) -> None:
    """The question's answer is lost twice: nothing has been sent, and who starts next asks again."""
    environment["REFUNDS_POSTGRES_DSN"] = dsn = await database_for("refunds")
    (tmp_path / "sent").write_text("sent-token")
    await sandbox.put_payment("pay-1", captured=10_000)
    asked: list[str] = []
    answering = asyncio.Event()

    async def record(request: web.Request) -> web.Response:
        asked.append(request.headers["Authorization"])
        await answering.wait()
        wanted = {"order_number": "7Q3M0V9XK2TDW8RC", "payment_id": "pay-1", "amount": 6_000, "currency": "RUB"}
        return web.json_response({**wanted, "reason": "late", "business_key": request.match_info["key"]})

    app = web.Application()
    app.router.add_get("/orders/v1/refunds/{key}", record)
    async with HttpServer(app, "127.0.0.1", 0) as orchestrator:
        environment |= {
            "REFUNDS_ORCHESTRATOR_URL": orchestrator.url,
            "REFUNDS_INTERNAL_TOKEN_FILE": str(tmp_path / "sent"),
        }
        refund_id = ""
        for times in (1, 2):
            async with process(environment) as (child, url), aiohttp.ClientSession(url) as session:
                if not refund_id:
                    _, accepted = await RefundsClient(session, sandbox, dsn, amqp_url).request()
                    refund_id = accepted["id"]

                async def questioned(times: int = times) -> bool:
                    return len(asked) >= times

                await eventually(questioned, what="the orchestrator is asked")
                child.kill()
                await child.wait()
            # The day's reconciliation may have read the payment system's registers.
            assert {entry["operation"] for entry in await sandbox.log("trust")} <= {"list_refunds"}
        answering.set()
        async with process(environment) as (_, url), aiohttp.ClientSession(url) as session:
            service = RefundsClient(session, sandbox, dsn, amqp_url)
            await service.reaches(refund_id, "SUCCESS")
            ledger = await service.ledger()
    assert set(asked) == {"Bearer sent-token"}
    assert (ledger["refunded"], ledger["spent"], len(ledger["refunds"])) == (6_000, 6_000, 1)
