"""A suite is lost under load, with all its processes: brought up elsewhere, nothing is missing that was acknowledged, and nothing is
paid twice; and where only an old backup is left, the checkers name what is missing, exactly, and sending it again closes the gap.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sandbox.testing import running_sandbox
from tests.chaos.conftest import Faults, together
from tests.support.lost_suite import WAVE_EVERY_S, Follower, Key, OneSuite, World, answered, as_lines, freeze, lose
from tests.support.servers import cutting_proxy, eventually
from tests.support.terminal import Terminal

# A loss of everything is what a cluster must withstand, too: `make cluster` runs it beside the loss of one part.
pytestmark = [pytest.mark.chaos, pytest.mark.cluster, pytest.mark.timeout(1500)]
_ON_ITS_WAY = (
    r"(?m)^(?:(ledger)\tdiffers\t\d+ orders? \w+ acknowledged and \w+ not arrived \(intake unarrived\)"
    r"|(refunds)\tdiffers\trefunds that were asked for and not answered, by business key: [^;\t]+)(?=\t|$)"
)
PART_PAYMENTS = [f"part-{number}" for number in range(5)]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """The world outside, and every suite that was put into it, killed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="suite-lost-"))
    directory.chmod(0o755)  # PostgreSQL's account has to reach it
    timeout = aiohttp.ClientTimeout(total=60)
    async with (
        running_sandbox() as sandbox,
        cutting_proxy("127.0.0.1", 9) as front,
        aiohttp.ClientSession(timeout=timeout) as session,
    ):
        made = World(directory, sandbox, front, session)
        try:
            yield made
        finally:
            for wave in made.waves:
                wave.cancel()
            for suite in made.suites:
                await asyncio.to_thread(lose, suite)
            shutil.rmtree(directory, ignore_errors=True)


async def test_what_was_acknowledged_is_there_again_after_everything_was_lost(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, stop, folder = datetime.now(UTC), asyncio.Event(), world.directory / "backup"
    first, second, third = (world.place(name) for name in ("first", "second", "third"))
    await world.bring_up(first)
    loading = asyncio.create_task(world.load(stop))
    await asyncio.sleep(4)
    before = list(world.waves)
    follower = Follower(first, folder)
    await follower.start()
    after = len(world.waves) + 1
    await refund_parts(world, first)
    await asyncio.sleep(4)

    infrastructure = first.suite.description["infrastructure"]
    freeze([infrastructure["postgres"]["pid"]])
    await world.acknowledged(60)  # by the broker, and read by nobody
    freeze([infrastructure["rabbitmq"]["pid"]])
    await world.acknowledged(60)  # by the spool
    await asyncio.to_thread(lose, first)
    await follower.kill()
    await asyncio.sleep(2 * WAVE_EVERY_S)
    stop.set()  # what has begun goes on: each hook is sent again and again until somebody takes it
    await loading
    assert waiting_in(first.run.root / "spool" / "webhook-gateway" / "spool.db") > 0

    # The disks of the first are there: its log, its queues and its spool are newer than the backup.
    done = await asyncio.to_thread(second.command, "restore", str(folder), "--survivors", str(first.run.root))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the database has read the log that was kept" in done.stdout
    brought = int(done.stdout.partition("the broker that was lost: ")[2].split()[0])
    assert brought > 0, done.stdout
    await world.bring_up(second)
    reports = await asyncio.gather(*world.waves)
    report = together(list(reports))
    await all_is_right(world, second, report, began)
    await proven(world, second, tmp_path, monkeypatch)

    # The second is lost with its disks. Only the backup is left, without the log.
    await asyncio.to_thread(lose, second)
    shutil.rmtree(folder / "wal")
    done = await asyncio.to_thread(third.command, "restore", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    await world.bring_up(third)
    yes = answered(report)
    acknowledged = as_lines(yes, tmp_path / "acknowledged.jsonl")
    lost, lines_gone = await asyncio.to_thread(named, third, acknowledged)
    old, young = (answered(together(list(each))) for each in (reports[: len(before) - 2], reports[after:]))
    assert {key: lost[key] for key in young} == dict(young), (
        "what came in after the backup is named, each as often as it came"
    )
    assert not {key for key in old if lost[key]}, "what was carried out before it is not"
    strangers = await reconcile(third)
    assert strangers >= len(PART_PAYMENTS), "refunds that were paid since are found, not repeated"
    said = f"{sum(lost.values())} named as lost, {lines_gone} lines of the ledger gone, {strangers} refunds found"
    print(f"{len(yes)} acknowledged, {said}")  # noqa: T201 - with -s

    assert await world.send_again(lost, report) == sum(lost.values())
    await refund_parts(world, third)
    await all_is_right(world, third, report, began, lines_gone=lines_gone)

    async def agree() -> bool:
        return await reconcile(third) == 0

    await eventually(agree, within=90, every=2, what="books and registers that agree")
    await proven(world, third, tmp_path, monkeypatch, without_messages=True)
    assert {tuple(paid) for payment, paid in (await world.payouts()).items() if payment in PART_PAYMENTS} == {(1,)}


async def refund_parts(world: World, one: OneSuite) -> None:
    """Ask for a part of some payments back, of which a second refund would be paid as well; return when they are paid."""
    internal = {"Authorization": f"Bearer {one.suite.token('internal')}"}
    for payment in PART_PAYMENTS:
        if payment not in await world.payouts():
            await world.sandbox.put_payment(payment, captured=10_000)
        body = {
            "order_number": "7Q3M0V9XK2TDW8RC",
            "payment_id": payment,
            "amount": 4_000,
            "currency": "RUB",
            "reason": "a part came broken",
            "business_key": f"{payment}:broken",
        }
        url = one.suite.url("refunds") + "/refunds/v1/refunds"
        async with world.session.post(url, json=body, headers=internal) as answer:
            said = await answer.json()
            assert answer.status == 202, said

        async def paid(refund: str = said["id"]) -> bool:
            found = await one.client.get("refunds", f"/refunds/v1/refunds/{refund}", role="internal")
            return bool(found["state_name"] == "SUCCESS")

        await eventually(paid, within=60, every=0.3, what="a refund that is paid")


async def all_is_right(
    world: World, one: OneSuite, report: dict[str, Any], since: datetime, *, lines_gone: int = 0
) -> None:
    """Acknowledged = in the ledger = at the orchestrator, every order in its right state, by all checkers."""
    faults = Faults(one.suite, one.client, one.run, world.session)
    await faults.all_is_right(report, since, within=120, lines_gone=lines_gone)


async def proven(
    world: World, one: OneSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, without_messages: bool = False
) -> None:
    """Let the money's own checker look, and all that ``ordersctl`` asks; no refund was paid twice.

    ``without_messages``: what was on its way between the services when the backup was taken is in no backup. An order whose announcement
    was is named; it is there, as the checkers of before have seen. So is a refund whose request or answer was.
    """
    dsn = one.suite.description["databases"]["refunds"]
    words = ("check-refunds", "--postgres-dsn", dsn, "--sandbox", world.sandbox.url, "--wait", "90")
    code, said = await asyncio.to_thread(one.checker, "refunds", *words)
    assert code == 0, said
    assert all(paid <= 1 for refunds in (await world.payouts()).values() for paid in refunds)
    monkeypatch.setenv("SUITE_RUN_DIR", str(one.run.root))
    monkeypatch.setenv("ORDERSCTL_CONFIG_DIR", str(tmp_path))
    verdict = await Terminal()("check", "all")
    held = re.sub(_ON_ITS_WAY, r"\1\2\tholds\t", verdict.out) if without_messages else verdict.out
    verdicts = [line.split("\t")[1] for line in held.strip().splitlines()[1:]]
    assert verdicts == ["holds"] * 5, verdict.out
    print(said, verdict.out)  # noqa: T201 - the verdicts, with -s


def named(one: OneSuite, acknowledged: Path) -> tuple[Counter[Key], int]:
    """What the ledger's own checker names as acknowledged and lost, and how many hooks it finds at the orchestrator alone.

    A hook's line of the ledger goes its own way to the database: where the backup's moment fell between the two, it is in no backup.
    """
    words = ("check-ledger", "--suite", str(one.run.suite_json), "--acknowledged", str(acknowledged), "--json")
    code, said = one.checker("webhook_gateway", *words)
    document = json.loads(said)
    assert code == 1, said[-3000:]
    kinds = Counter(each["kind"] for each in document["differences"])
    assert set(kinds) <= {"acknowledged_and_lost", "not_in_the_ledger"}, said[-3000:]
    lost: Counter[Key] = Counter()
    for each in document["differences"]:
        if each["kind"] == "not_in_the_ledger":
            continue
        event, _, rest = each["what"].partition(" of ")
        number, _, counts = rest.partition(": answered ")
        times, _, kept = counts.partition(" times, kept ")
        lost[number, f"order.{event.removeprefix('order.')}"] = int(times) - int(kept.split()[0])
    return lost, kinds["not_in_the_ledger"]


async def reconcile(one: OneSuite) -> int:
    """Reconcile with the payment systems; return how many refunds are theirs alone. Anything else that differs is an error."""
    url = one.suite.url("refunds") + "/admin/v1/reconciliation"
    status, said = await one.client.post(url, {"reason": "after a restore", "days": 2}, role="operator")
    assert status == 200, said
    kinds = Counter(each["kind"] for each in said["differences"])
    assert set(kinds) <= {"unknown_to_us"}, said["differences"]
    return kinds["unknown_to_us"]


def waiting_in(spool: Path) -> int:
    """How many records a dead gateway has left."""
    with closing(sqlite3.connect(f"file:{spool}?mode=ro", uri=True)) as file:
        return int(file.execute("SELECT count(*) FROM records").fetchone()[0])
