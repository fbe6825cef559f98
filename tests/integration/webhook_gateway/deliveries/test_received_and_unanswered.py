"""A gateway dies between a request and its answer: the two counts of the ledger differ, and the check says why."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from tests.support.processes import TOKEN, Program, created, read, send, stand
from tests.support.servers import eventually


async def hold(program: Program) -> asyncio.StreamWriter:
    """Send a hook whose body never ends: it is received, and not answered."""
    where = URL(program.url)
    _, writer = await asyncio.open_connection(where.host, where.port)
    head = f"POST /hooks/v1/sbermarket HTTP/1.1\r\nHost: g\r\nClient-token: {TOKEN}\r\nContent-Length: 100\r\n\r\n{{"
    writer.write(head.encode())
    await writer.drain()
    return writer


async def checked(dsn: str) -> tuple[int | None, dict[str, Any]]:
    """Run the check as an operator would."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webhook_gateway", "check-ledger", "--json", "--allow-waiting", "--wait", "20"),
        *("--postgres-dsn", dsn),
        stdout=PIPE,
        stderr=PIPE,
    )
    output, errors = await child.communicate()
    return child.returncode, json.loads(output) if output else {"error": errors.decode()}


async def test_a_request_that_died_with_its_gateway_shows_in_the_ledger(
    tmp_path: Path, amqp_url: str, database_for: Callable[[str], Awaitable[str]]
) -> None:
    dsn = await database_for("webhook_gateway")
    async with stand(tmp_path) as programs, aiohttp.ClientSession() as session:
        gateway = programs.gateway("gw-1", dsn=dsn, amqp_url=amqp_url, BODY_DEADLINE="4.9")
        await gateway.start()
        assert (await send(session, gateway, created("A")))[0] == 200
        held = await hold(gateway)

        async def ledger() -> dict[str, Any]:
            _, found = await read(session, gateway, "/admin/v1/ledger")
            return {name: found[name] for name in ("received", "outcomes", "difference")}

        async def both_received() -> bool:
            return bool((await ledger())["received"] == 2)  # the second it came in is over and written

        await eventually(both_received, every=0.1, what="both requests received")
        await gateway.kill()
        held.close()
        await gateway.start()
        assert (await send(session, gateway, created("B")))[0] == 200
        wanted = {"received": 3, "outcomes": 2, "difference": 1}

        async def settled() -> bool:
            return await ledger() == wanted

        await eventually(settled, every=0.2, what="one request without an outcome")
        code, found = await checked(dsn)
        # No orchestrator runs here, so both orders are still on their way.
        wrong = [one["kind"] for one in found["differences"] if not one["waiting"]]
        assert (code, wrong, found["unanswered"]) == (0, [], {"gw-1": 1})
