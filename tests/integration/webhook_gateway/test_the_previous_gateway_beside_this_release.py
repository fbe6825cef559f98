"""The previous release's gateway serves while everything else is of this one; what its recorder cannot read is recorded later."""

from __future__ import annotations

import asyncio
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.order_hooks import all_is_right, life, marketplace
from tests.support.processes import Program, Stand, read, send, stand
from tests.support.servers import TestDatabases, eventually

RELEASE = Path(__file__).parents[2] / "fixtures" / "releases" / "webhook-gateway-0.1.0.zip"


@pytest.fixture
def old_code(tmp_path: Path) -> Path:
    """The previous release's code."""
    directory = tmp_path / "old"
    zipfile.ZipFile(RELEASE).extractall(directory)
    return directory


def of_old(program: Program, code: Path) -> Program:
    """The same replica, of the previous release."""
    program.environment = {**program.environment, "PYTHONPATH": str(code)}
    return program


async def migrated(program: Program) -> None:
    """Bring the program's database to the schema of its release."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webhook_gateway", "migrate"),
        env={**os.environ, **program.environment},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await child.communicate()
    assert child.returncode == 0, errors.decode()[-2000:]


async def recorded(session: aiohttp.ClientSession, gateway: Program, count: int) -> None:
    """Wait until the gateway's record has so many deliveries."""

    async def all_there() -> bool:
        status, page = await read(session, gateway, "/admin/v1/deliveries", limit="100")
        assert (status, len(page["items"])) == (200, count)
        return True

    await eventually(all_there, what=f"{count} deliveries in the record")


async def test_what_the_previous_gateway_takes_this_release_records_and_carries_out(
    databases: TestDatabases, amqp_url: str, tmp_path: Path, old_code: Path
) -> None:
    async with (
        databases.empty("old_gateway") as dsn,
        databases.migrated("orchestrator") as orders,
        marketplace(amqp_url) as sent,
        stand(tmp_path) as made,
        aiohttp.ClientSession() as session,
    ):
        old = of_old(made.gateway("old", dsn=dsn, amqp_url=amqp_url), old_code)
        await migrated(old)
        new = made.gateway("new", dsn=dsn, amqp_url=amqp_url, BATCH_HOOKS="true")
        await migrated(new)
        await old.start()
        await new.start()
        orchestrator = made.orchestrator(dsn=orders, amqp_url=amqp_url)
        await orchestrator.start()
        for number in range(3):
            for hook in life(f"G{number}"):
                status, answer = await send(session, old, hook.body)
                assert (status, answer["number"]) == (200, hook.number)
        await recorded(session, new, 12)

        async def carried_out() -> bool:
            return await orchestrator.metric('workflow_events_completed_total{kind="order_life"}') >= 12

        await eventually(carried_out, what="twelve events")
        assert "3 orders folded again" in await all_is_right(orders, sent, tmp_path)


async def test_a_batch_that_the_previous_recorder_cannot_read_is_recorded_by_this_release(
    databases: TestDatabases, amqp_url: str, tmp_path: Path, old_code: Path
) -> None:
    async with (
        databases.empty("old_gateway") as dsn,
        marketplace(amqp_url) as sent,
        stand(tmp_path) as made,
        aiohttp.ClientSession() as session,
    ):
        old = of_old(made.gateway("old", dsn=dsn, amqp_url=amqp_url), old_code)
        await migrated(old)
        await old.start()
        await sent.send_together([hook for number in range(5) for hook in life(f"T{number}")])
        letter = await _the_letter(session, old)
        assert letter["reason"] == "undecodable"
        assert old.process is not None
        old.process.terminate()
        assert await old.died() == 0
        await _replayed(session, made, dsn, amqp_url, letter)


async def _the_letter(session: aiohttp.ClientSession, gateway: Program) -> Any:
    async def come() -> Any:
        status, page = await read(session, gateway, "/admin/v1/dead-letters")
        assert status == 200
        return page["items"]

    (letter,) = await eventually(come, what="the batch as one letter")
    return letter


async def _replayed(session: aiohttp.ClientSession, made: Stand, dsn: str, amqp_url: str, letter: Any) -> None:
    new = made.gateway("new", dsn=dsn, amqp_url=amqp_url)
    await migrated(new)
    await new.start()
    address = f"{new.url}/admin/v1/dead-letters/{letter['id']}/replay"
    headers = {"Authorization": "Bearer operator-token"}
    async with session.post(address, json={"reason": "readable now"}, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
    await recorded(session, new, 20)
