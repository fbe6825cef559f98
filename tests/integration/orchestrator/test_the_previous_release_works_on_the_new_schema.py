"""The previous release goes on while this one's migrations are applied, and beside this one's replicas, until it is stopped."""

from __future__ import annotations

import asyncio
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from common.postgres import required_versions
from tests.support.order_hooks import Marketplace, all_is_right, life, marketplace
from tests.support.processes import Program, read, stand
from tests.support.servers import TestDatabases, eventually

RELEASE = Path(__file__).parents[2] / "fixtures" / "releases" / "orchestrator-0.1.0.zip"
QUICK = {"POLL": "0.1"}


async def migrated(dsn: str, directory: Path, *, old: Path | None = None) -> None:
    """Run ``python -m orchestrator migrate`` of the old release, or of this one."""
    tokens = directory / "tokens.json"
    environment = {
        **os.environ,
        "ORCHESTRATOR_POSTGRES_DSN": dsn,
        "ORCHESTRATOR_AMQP_URL": "amqp://nobody@127.0.0.1:1/",
        "ORCHESTRATOR_TOKENS_FILE": str(tokens),
        **({} if old is None else {"PYTHONPATH": str(old)}),
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orchestrator", "migrate", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await child.communicate()
    assert child.returncode == 0, errors.decode()[-2000:]


async def sending(sent: Marketplace, prefix: str, stop: asyncio.Event) -> int:
    """Send life after life until told to stop; return how many orders."""
    count = 0
    while not stop.is_set():
        await sent.send(life(f"{prefix}{count}"))
        count += 1
        await asyncio.sleep(0.05)  # load enough, and the machine has other things to do
    return count


async def test_the_previous_release_works_during_and_after_this_one_s_migrations(
    databases: TestDatabases, amqp_url: str, tmp_path: Path
) -> None:
    old_code = tmp_path / "old"
    zipfile.ZipFile(RELEASE).extractall(old_code)
    async with (
        databases.empty("upgrade") as dsn,
        marketplace(amqp_url) as sent,
        stand(tmp_path) as made,
        aiohttp.ClientSession() as session,
    ):
        await migrated(dsn, tmp_path, old=old_code)
        old = made.orchestrator("old", dsn=dsn, amqp_url=amqp_url, **QUICK)
        old.environment = {**old.environment, "PYTHONPATH": str(old_code)}
        await old.start()
        stop = asyncio.Event()
        hooks = asyncio.create_task(sending(sent, "U", stop))
        await _carried_out(old, 40)
        await migrated(dsn, tmp_path)
        connection = await asyncpg.connect(dsn)
        versions = {row["version"] for row in await connection.fetch("SELECT version FROM schema_migrations")}
        assert versions >= set(required_versions("orchestrator"))
        await _carried_out(old, await _events(old) + 40)
        await _old_operators_act(session, old, connection)
        new = made.orchestrator("new", dsn=dsn, amqp_url=amqp_url, **QUICK)
        await new.start()
        await _carried_out(new, 40)
        await _new_operators_correct(session, new, connection)
        assert old.process is not None
        old.process.terminate()
        assert await old.died() == 0
        stop.set()
        orders = await hooks
        report = await all_is_right(dsn, sent, tmp_path)
        assert f"{orders} orders folded again" in report
        await connection.close()


async def test_a_batch_that_the_previous_release_cannot_read_is_replayed_by_this_one(
    databases: TestDatabases, amqp_url: str, tmp_path: Path
) -> None:
    old_code = tmp_path / "old"
    zipfile.ZipFile(RELEASE).extractall(old_code)
    async with (
        databases.empty("upgrade") as dsn,
        marketplace(amqp_url) as sent,
        stand(tmp_path) as made,
        aiohttp.ClientSession() as session,
    ):
        await migrated(dsn, tmp_path, old=old_code)
        old = made.orchestrator("old", dsn=dsn, amqp_url=amqp_url, **QUICK)
        old.environment = {**old.environment, "PYTHONPATH": str(old_code)}
        await old.start()
        await sent.send_together([each for number in range(5) for each in life(f"T{number}")])
        await sent.send(life("single"))  # what is beside it goes on
        await _carried_out(old, 4)
        connection = await asyncpg.connect(dsn)

        async def refused() -> list[Any]:
            return [tuple(row) for row in await connection.fetch("SELECT id, reason, subject FROM dead_letters")]

        ((letter, reason, subject),) = await eventually(refused, what="the batch as one letter")
        assert (reason, subject) == ("undecodable", None)
        assert old.process is not None
        old.process.terminate()
        assert await old.died() == 0
        await migrated(dsn, tmp_path)
        new = made.orchestrator("new", dsn=dsn, amqp_url=amqp_url, **QUICK)
        await new.start()
        address = f"{new.url}/admin/v1/dead-letters/{letter}/replay"
        headers = {"Authorization": "Bearer operator-token"}
        async with session.post(address, json={"reason": "readable now"}, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        await _carried_out(new, 20)
        assert "6 orders folded again" in await all_is_right(dsn, sent, tmp_path)
        await connection.close()


async def _events(program: Program) -> float:
    return await program.metric('workflow_events_completed_total{kind="order_life"}')


async def _carried_out(program: Program, events: float) -> None:
    async def enough() -> bool:
        return await _events(program) >= events

    await eventually(enough, what=f"{events:g} events of {program.url}")


async def _old_operators_act(session: aiohttp.ClientSession, old: Program, connection: asyncpg.Connection[Any]) -> None:
    """Every operation and search of the old release answers as it did."""
    workflow, number = await connection.fetchrow(
        "SELECT id, order_number FROM workflow WHERE state = 3 AND kind = 'order_life' ORDER BY id LIMIT 1"
    )  # type: ignore[misc]  # there are dozens
    headers = {"Authorization": "Bearer admin-token"}
    answers: list[int] = []
    for path in (f"workflows/{workflow}/stop", f"workflows/{workflow}/retry", f"orders/{number}/recalculate"):
        async with session.post(f"{old.url}/admin/v1/{path}", json={"reason": "as before"}, headers=headers) as answer:
            answers.append(answer.status)
    for path in (
        f"/admin/v1/workflow-events?workflow_id={workflow}",
        "/admin/v1/workflows?state=crashed",
        f"/admin/v1/orders/{number}/timeline",
        "/admin/v1/orders?status=delivered",
        "/admin/v1/stock-movements?store_id=17",
        "/admin/v1/flags",
    ):
        status, _ = await read(session, old, path)
        answers.append(status)
    # A finished workflow can be neither stopped nor retried.
    assert answers == [409, 409, 200, 200, 200, 200, 200, 200, 200]


async def _new_operators_correct(
    session: aiohttp.ClientSession, new: Program, connection: asyncpg.Connection[Any]
) -> None:
    """Corrections, and hooks behind them, wait for the new release while the old one works beside it: it could not read them."""
    headers = {"Authorization": "Bearer admin-token"}
    rows = await connection.fetch(
        "SELECT number, revision + tips_revision AS version FROM orders WHERE status = 'delivered' ORDER BY number LIMIT 20"
    )
    for row in rows:
        body = {"comment": "ring twice", "reason": "asked for", "expected_version": row["version"]}
        path = f"/admin/v1/orders/{row['number']}/correct"
        async with session.post(f"{new.url}{path}", json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
    numbers = [row["number"] for row in rows]

    async def corrected() -> bool:
        done = await connection.fetchval(
            "SELECT count(*) FROM orders WHERE number = ANY($1::text[]) AND document->>'comment' = 'ring twice'",
            numbers,
        )
        return bool(done == len(numbers) == 20)

    await eventually(corrected, what="corrections beside the previous release")
    assert await connection.fetchval("SELECT count(*) FROM workflow WHERE state = 4 OR failed_events > 0") == 0
