"""The marketplace plays while something breaks; afterwards acknowledged = in the ledger = at the orchestrator, none twice."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest

from common.ids import order_number
from tests.support.processes import created
from tests.support.servers import eventually

from .conftest import GATEWAYS, Faults

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


ALL_TAKEN = {"200"}
SPOOL_FAILURES = 'gateway_lane_failures_total{code="spool_unavailable",lane="spool"}'


async def test_rabbitmq_is_killed_and_restarted(faults: Faults, since: datetime) -> None:
    async def fault() -> None:
        for _ in range(2):
            await asyncio.sleep(2)  # a quorum queue younger than a second would not survive in RabbitMQ 3.10
            await faults.kill("rabbitmq")
            await faults.connected()

    report = await faults.play_during(fault(), seed=11)
    await faults.all_is_right(report, since)
    assert set(report["summary"]["answers"]) == ALL_TAKEN
    assert (await faults.outcomes(since))["spooled"] > 0


@pytest.mark.parametrize(
    ("blocked", "healed"),
    [
        (("set_vm_memory_high_watermark", "0"), ("set_vm_memory_high_watermark", "0.4")),
        (("set_disk_free_limit", "100000GB"), ("set_disk_free_limit", "200MB")),
    ],
    ids=["memory", "disk"],
)
async def test_rabbitmq_is_blocked_by_an_alarm(
    faults: Faults, since: datetime, blocked: tuple[str, str], healed: tuple[str, str]
) -> None:
    async def fault() -> None:
        await asyncio.sleep(1)
        await asyncio.to_thread(faults.rabbitmqctl, *blocked)
        try:
            await asyncio.sleep(15)  # the disk is looked at every ten seconds at most
        finally:
            await asyncio.to_thread(faults.rabbitmqctl, *healed)

    report = await faults.play_during(fault(), seed=12)
    await faults.all_is_right(report, since)
    assert set(report["summary"]["answers"]) == ALL_TAKEN
    assert (await faults.outcomes(since))["spooled"] > 0


async def test_rabbitmq_hangs_without_closing_a_connection(faults: Faults, since: datetime) -> None:
    async def fault() -> None:
        await asyncio.sleep(1)
        async with faults.frozen("rabbitmq"):
            await asyncio.sleep(6)

    report = await faults.play_during(fault(), seed=14)
    await faults.all_is_right(report, since)
    assert set(report["summary"]["answers"]) == ALL_TAKEN
    assert (await faults.outcomes(since))["spooled"] > 0


async def test_rabbitmq_answers_slowly_and_is_cut_in_mid_publish(faults: Faults, since: datetime) -> None:
    async with faults.broker_behind_a_proxy() as proxy:

        async def fault() -> None:
            await asyncio.sleep(1)
            proxy.delay(0.25)  # each way: a confirmation comes after 0.5 s, later than the deadline
            await asyncio.sleep(4)
            proxy.delay(0.1)  # within it
            await asyncio.sleep(3)
            for _ in range(10):
                proxy.cut()
                await asyncio.sleep(0.5)
            proxy.heal()
            await faults.connected()
            proxy.lose_answers()  # it takes everything and nobody hears of it
            await asyncio.sleep(3)
            proxy.heal()
            proxy.cut()

        report = await faults.play_during(fault(), seed=15)
        await faults.connected()
        await faults.all_is_right(report, since)
        assert set(report["summary"]["answers"]) == ALL_TAKEN
        assert (await faults.outcomes(since))["spooled"] > 0


async def test_a_partition_between_gateways_and_rabbitmq(faults: Faults, since: datetime) -> None:
    async with faults.broker_behind_a_proxy() as proxy:

        async def fault() -> None:
            await asyncio.sleep(1)
            proxy.stall()  # packets are lost: nobody learns that the other side is gone
            await asyncio.sleep(3)
            proxy.refuse()  # and now everybody does
            await asyncio.sleep(3)
            proxy.heal()

        report = await faults.play_during(fault(), seed=16)
        await faults.connected()
        await faults.all_is_right(report, since)
        assert set(report["summary"]["answers"]) == ALL_TAKEN
        assert (await faults.outcomes(since))["spooled"] > 0


async def test_gateways_are_killed_under_load(faults: Faults, since: datetime) -> None:
    async def fault() -> None:
        for number in range(8):
            await asyncio.sleep(1.0)
            await faults.kill("webhook-gateway", which=number % GATEWAYS)

    report = await faults.play_during(fault(), seed=17, concurrency=12)
    await faults.connected()
    await faults.all_is_right(report, since)
    assert report["summary"]["repeats"] > 0


async def test_gateways_are_killed_while_everything_is_spooled(faults: Faults, since: datetime) -> None:
    async with faults.broker_behind_a_proxy() as proxy:
        proxy.refuse()

        async def fault() -> None:
            for number in range(6):
                await asyncio.sleep(1.0)
                await faults.kill("webhook-gateway", which=number % GATEWAYS)
            proxy.heal()

        report = await faults.play_during(fault(), seed=18, concurrency=12)
        await faults.connected()
        await faults.spools_empty()
        await faults.all_is_right(report, since)
        assert report["summary"]["repeats"] > 0
        assert (await faults.outcomes(since))["spooled"] > 0


async def test_the_spool_reaches_its_limit(faults: Faults, since: datetime) -> None:
    async with faults.broker_behind_a_proxy(SPOOL_LIMIT_BYTES=str(1024**2)) as proxy:
        proxy.refuse()

        async def fault() -> None:
            async def full() -> bool:
                return all([await faults.metric(url, SPOOL_FAILURES) for url in faults.gateways])

            await eventually(full, within=120, what="two full spools")
            proxy.heal()

        report = await faults.play_during(fault(), seed=19, positions=40)
        await faults.connected()
        await faults.spools_empty()
        await faults.all_is_right(report, since)
        assert report["summary"]["answers"]["503"] > 0


@contextmanager
def small_disk(directory: Path, *, size: str) -> Iterator[None]:
    """Mount a file system of its own over a directory (root only)."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@contextmanager
def no_file_may_grow(pids: Sequence[int]) -> Iterator[None]:
    """Lower the limit on file sizes of running processes to nothing: every write fails, as on a full disk."""
    before = [resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids]
    for pid, (_, hard) in zip(pids, before, strict=True):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        for pid, limits in zip(pids, before, strict=True):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


async def test_no_file_of_the_spool_can_be_written_any_more(faults: Faults, since: datetime) -> None:
    async with faults.broker_behind_a_proxy() as proxy:
        proxy.refuse()

        async def fault() -> None:
            await asyncio.sleep(2)
            with no_file_may_grow(faults.pids("webhook-gateway")):
                await asyncio.sleep(4)
            await asyncio.sleep(2)  # the disk takes again what is repeated
            proxy.heal()

        report = await faults.play_during(fault(), seed=20)
        await faults.connected()
        await faults.spools_empty()
        await faults.all_is_right(report, since)
        assert report["summary"]["answers"]["503"] > 0


if os.geteuid() == 0:  # only root can mount; the test above makes writes fail for everybody

    async def test_the_disk_of_the_spool_is_really_full(faults: Faults, since: datetime) -> None:
        directory = faults.suite.directory / "spool" / "webhook-gateway"
        url = faults.gateways[0]
        async with faults.broker_behind_a_proxy() as proxy:
            with small_disk(directory, size="2m"):
                await faults.kill("webhook-gateway")  # the new process finds the small disk
                await faults.connected()
                proxy.refuse()

                async def fault() -> None:
                    async def full() -> bool:
                        return await faults.metric(url, SPOOL_FAILURES) > 5

                    await eventually(full, within=120, what="a full disk")
                    # Killed with the disk full: what it acknowledged is still there, and it starts.
                    await faults.kill("webhook-gateway")
                    await asyncio.sleep(2)
                    proxy.heal()

                report = await faults.play_during(fault(), seed=21, positions=60, urls=[url])
                await faults.connected()
                await faults.spools_empty()
                await faults.all_is_right(report, since)
                assert report["summary"]["answers"]["503"] > 0
            await faults.kill("webhook-gateway")


async def test_a_torn_record_and_a_torn_log_stop_nobody(faults: Faults, since: datetime) -> None:
    async with faults.broker_behind_a_proxy() as proxy:
        proxy.refuse()
        url, directory = faults.gateways[0], faults.suite.directory / "spool" / "webhook-gateway"

        async def fault() -> None:
            async def filled() -> bool:
                return await faults.metric(url, "gateway_spool_records") > 20

            await eventually(filled, what="records in the spool")
            # A record that the disk half wrote, before all others: no answer was ever given for it.
            spool = sqlite3.connect(directory / "spool.db", isolation_level=None, timeout=10)
            spool.execute(
                "INSERT INTO records (id, stored_at, routing_key, body, checksum) SELECT id - 1000, stored_at,"
                " routing_key, substr(body, 1, 100), checksum FROM records ORDER BY id LIMIT 1"
            )
            spool.close()

            def tear() -> None:
                # The beginning of a transaction that never was committed.
                with (directory / "spool.db-wal").open("ab") as log:
                    log.write(os.urandom(3000))

            await faults.kill("webhook-gateway", meanwhile=tear)
            proxy.heal()

        report = await faults.play_during(fault(), seed=22)
        await faults.connected()
        await faults.spools_empty()
        await faults.all_is_right(report, since, damaged=1)
        assert await faults.metric(url, "gateway_spool_torn_total") == 1.0
        assert (await faults.outcomes(since))["spooled"] > 0
        with sqlite3.connect(directory / "spool.db", timeout=10) as spool:  # a person has seen it
            spool.execute("DELETE FROM torn")
        spool.close()


async def test_postgresql_is_away_and_the_hot_path_does_not_notice(faults: Faults, since: datetime) -> None:
    async def fault() -> None:
        for _ in range(2):
            await asyncio.sleep(1)
            await faults.kill("postgres")
        await asyncio.sleep(2)
        async with faults.frozen("postgres"):
            await asyncio.sleep(5)

    report = await faults.play_during(fault(), seed=23)
    await faults.all_is_right(report, since, within=180)
    assert (report["summary"]["answers"], report["summary"]["repeats"]) == ({"200": report["summary"]["attempts"]}, 0)


async def test_the_same_created_a_hundred_times_at_once_at_two_gateways_is_one_order(
    faults: Faults, since: datetime
) -> None:
    order = f"same-{since.timestamp()}"
    headers = {"Client-token": faults.suite.token("marketplace")}

    async def one(url: str) -> tuple[int, str]:
        async with faults.session.post(
            url + "/hooks/v1/sbermarket", json=created(order), headers=headers, timeout=aiohttp.ClientTimeout(total=30)
        ) as answer:
            return answer.status, await answer.text()

    answers = await asyncio.gather(*(one(url) for _ in range(50) for url in faults.gateways))
    number = order_number("sbermarket", order)
    assert answers == [(200, f'{{"status":"created","number":"{number}"}}')] * 100

    async def there() -> bool:
        found = await faults.client.get("orchestrator", "/orders/v1/orders", source="sbermarket", external_id=order)
        return bool(found["number"] == number)

    await eventually(there, what="the order")

    async def kept() -> bool:
        sums = await faults.outcomes(since)  # on a busy machine some go by the spool
        return sums["received"] == sums["confirmed"] + sums["spooled"] == 100

    await eventually(kept, every=0.5, what="a hundred deliveries")
    page = await faults.client.get("orchestrator", "/admin/v1/orders", limit=200)
    assert [item["number"] for item in page["items"] if item["external_id"] == order] == [number]

    async def told() -> bool:
        timeline = await faults.client.get("orchestrator", f"/admin/v1/orders/{number}/timeline", limit=200)
        return [item["kind"] for item in timeline["items"]].count("hook.received") == 100

    await eventually(told, every=0.5, what="a hundred lines in the timeline")
