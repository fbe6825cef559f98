"""Gateways are killed under load; the checker, which needs no service, holds answers, ledger, spools and the orchestrator together."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from common.contracts.alerts import ProblemRaisedV1
from common.contracts.envelope import parse
from common.messaging import topology
from tests.integration.webhook_gateway.conftest import watched
from tests.support.processes import Program, created, send, stand

DEAD_BROKER = "amqp://guest:guest@127.0.0.1:1/"


async def check_ledger(*arguments: str) -> tuple[int | None, dict[str, Any]]:
    """Run the command as an operator would; return its exit code and what it found."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "webhook_gateway", "check-ledger", "--json", *arguments, stdout=PIPE, stderr=PIPE
    )
    output, errors = await child.communicate()
    return child.returncode, json.loads(output) if output else {"error": errors.decode()}


def kinds(found: dict[str, Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in found["differences"]:
        counts[one["kind"]] = counts.get(one["kind"], 0) + 1
    return counts


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_after_kill_the_sums_hold_and_nothing_acknowledged_is_missing(
    tmp_path: Path, amqp_url: str, database_for: Callable[[str], Awaitable[str]]
) -> None:
    ours, orders = await database_for("webhook_gateway"), await database_for("orchestrator")
    answers: list[tuple[str, str]] = []
    enough = asyncio.Event()
    async with stand(tmp_path) as programs, aiohttp.ClientSession() as session:
        first = programs.gateway("gw-1", dsn=ours, amqp_url=amqp_url)
        second = programs.gateway("gw-2", dsn=ours, amqp_url=amqp_url)
        orchestrator = programs.orchestrator(dsn=orders, amqp_url=amqp_url)
        await asyncio.gather(first.start(), second.start(WEBHOOK_GATEWAY_AMQP_URL=DEAD_BROKER), orchestrator.start())

        async def hook(program: Program, body: dict[str, Any]) -> None:
            status, answer = await send(session, program, body)
            if status == 200:
                answers.append((answer["number"], body["event_type"]))
            if len(answers) >= 120:
                enough.set()

        async def load(worker: int) -> None:
            for number in range(60):
                await hook(first, created(f"A{worker}-{number % 50}"))  # some of them twice

        await asyncio.gather(*(hook(second, created(f"B{n}")) for n in range(20)))
        await second.kill()
        loads = [asyncio.create_task(load(worker)) for worker in range(8)]
        await enough.wait()
        await first.kill()
        await asyncio.gather(*loads)
        assert 120 <= len(answers) < 500

        acked = tmp_path / "acknowledged"
        acked.write_text("\n".join(json.dumps({"number": number, "event": event}) for number, event in answers))
        common = ["--postgres-dsn", ours, "--spool-dir", str(tmp_path / "spool"), "--acknowledged", str(acked)]
        # No gateway lives: what gw-2 took lies on its disk, what gw-1's recorder had not read yet lies in the broker.
        code, found = await check_ledger(*common, "--orders-dsn", orders)
        # So may some of gw-1's, where the broker was slow to confirm.
        assert (code, kinds(found)["only_in_the_spool"] >= 20) == (1, True)

        await asyncio.gather(first.start(), second.start())
        code, found = await check_ledger(*common, "--orders-dsn", orders, "--wait", "60")
        assert (code, found["differences"]) == (0, [])
        sums = found["ledger"]
        assert sums["received"] == sums["confirmed"] + sums["spooled"] + sums["quarantined"] + sums["refused"]
        assert sums["received"] >= len(answers)
        assert found["by_replica"]["gw-2"] == {"confirmed": 0, "spooled": 20, "quarantined": 0, "refused": 0}

        # Without the orchestrator's database its own word counts, and an answer that nobody kept is found.
        code, found = await check_ledger(*common, "--wait", "60")
        assert (code, found["differences"]) == (0, [])
        with acked.open("a") as stream:
            stream.write('\n{"number": "NOBODY", "event": "order.created"}\n')
        code, found = await check_ledger(*common)
        assert (code, kinds(found)) == (1, {"acknowledged_and_lost": 1})


async def test_a_created_that_comes_again_with_other_content_raises_an_incident(
    tmp_path: Path, amqp_url: str, database_for: Callable[[str], Awaitable[str]]
) -> None:
    ours, orders = await database_for("webhook_gateway"), await database_for("orchestrator")
    async with (
        stand(tmp_path) as programs,
        aiohttp.ClientSession() as session,
        watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts,
    ):
        gateway = programs.gateway("gw-1", dsn=ours, amqp_url=amqp_url)
        orchestrator = programs.orchestrator(dsn=orders, amqp_url=amqp_url)
        await asyncio.gather(gateway.start(), orchestrator.start())
        status, answer = await send(session, gateway, created("H1"))
        other = created("H1", comment="another one")
        assert [await send(session, gateway, other) for _ in range(2)] == [(status, answer)] * 2
        [event] = await alerts(1)
        problem = parse(event, ProblemRaisedV1)
        assert (problem.kind, problem.order_number, problem.service) == (
            "order_created_differs",
            answer["number"],
            "orchestrator",
        )
        code, found = await check_ledger("--postgres-dsn", ours, "--orders-dsn", orders, "--wait", "30")
        assert (code, found["ledger"]["received"], found["differences"]) == (0, 3, [])


async def test_the_command_says_what_it_cannot_find_out(tmp_path: Path) -> None:
    code, found = await check_ledger("--postgres-dsn", "postgresql://nobody@127.0.0.1:1/nothing")
    assert (code, "does not answer" in found["error"]) == (2, True)
    code, found = await check_ledger("--postgres-dsn", "postgresql://x/", "--spool-dir", str(tmp_path / "none"))
    assert (code, "there is no directory" in found["error"]) == (2, True)
    assert (await check_ledger())[0] == 2
