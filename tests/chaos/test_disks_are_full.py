"""The disks of PostgreSQL, RabbitMQ and the spool are full, alone and all at once: what was acknowledged is there afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import secrets
import subprocess
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from suite_local.infrastructure.local import local_rabbitmq
from suite_local.testing import running_suite
from tests.e2e.trouble import Trouble
from tests.support.servers import eventually
from tests.support.suite_client import POSITIONS, ROOT, TOTAL, RunningSuite, environment_for, hook

from .conftest import GATEWAYS, Faults
from .reading import ASKED, reading, undocumented

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

SIZES = {"postgres": "700m", "rabbitmq": "2g", "spool": "32m"}
SPARE = {"rabbitmq": 100 * 1024**2}
"""RabbitMQ takes nothing more long before the last byte: what it has confirmed it still has to write in its own log."""
PATIENT = [0.5, 1, 2, 4, 8, 16, 30, 30]
"""The marketplace's repeats: RabbitMQ looks at its disk every ten seconds, and a database that stopped has to begin."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system of its own, and a file that takes all of its room."""

    directory: Path

    @asynccontextmanager
    async def full(self, *, spare: int) -> AsyncIterator[None]:
        """Keep it full but for so many bytes: what the servers give back meanwhile is taken too."""
        ballast = self.directory / "ballast"
        filling = asyncio.create_task(self._fill(ballast, spare))
        try:
            yield
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)
            ballast.unlink(missing_ok=True)

    async def takes_nothing(self) -> bool:
        """Whether the system refuses another byte here, as it does to whoever writes into this directory."""
        try:
            (self.directory / "one more").write_bytes(b"1")
        except OSError as error:
            return error.errno == errno.ENOSPC
        finally:
            with contextlib.suppress(OSError):
                (self.directory / "one more").unlink(missing_ok=True)
        return False

    async def _fill(self, ballast: Path, spare: int) -> None:
        while True:
            await asyncio.to_thread(_fill, ballast, spare)
            await asyncio.sleep(0.2)


def _fill(ballast: Path, spare: int) -> None:
    with ballast.open("ab", buffering=0) as file:
        for size in (1024**2, 4096):
            with contextlib.suppress(OSError):  # no room
                while _free(ballast) - size >= spare:
                    file.write(bytes(size))


def _free(file: Path) -> int:
    found = os.statvfs(file)
    return found.f_bavail * found.f_frsize


@contextmanager
def mounted(directory: Path, size: str) -> Iterator[None]:
    """Give a directory a file system of its own."""
    assert os.geteuid() == 0, "these tests mount file systems: run them as root"
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@pytest.fixture(scope="module")
def whole_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSuite]:
    """A whole suite of which PostgreSQL, RabbitMQ and the spools have small disks of their own."""
    directory = tmp_path_factory.mktemp("disks")
    with ExitStack() as stack:
        for name, size in SIZES.items():
            stack.enter_context(mounted(directory / name, size))
        stack.enter_context(running_suite(directory, gateways=GATEWAYS))
        yield RunningSuite(directory, environment_for(directory))


@dataclass(frozen=True, slots=True)
class Case:
    """Which disks are full together, how long, and in which order they get room again."""

    disks: tuple[str, ...]
    seconds: float


NO_ROOM = "No space left on device"
FULL_TOGETHER = {
    "PostgreSQL": Case(("postgres",), 12),
    "RabbitMQ": Case(("rabbitmq",), 14),
    "the spool": Case(("spool",), 6),
    "all, PostgreSQL first": Case(("postgres", "rabbitmq", "spool"), 14),
    "all, RabbitMQ first": Case(("rabbitmq", "spool", "postgres"), 14),
    "all, the spool first": Case(("spool", "postgres", "rabbitmq"), 14),
}


def documented() -> dict[str, set[str]]:
    """What marketplaces are told while disks are full, by the table of the gateway's page."""
    page = (ROOT / "services/webhook-gateway/README.md").read_text(encoding="utf-8")
    section = page.partition("## When a disk is full")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0]: set(re.findall(r"\b\d{3}\b", row[1])) for row in rows[2:]}


async def really_full(faults: Faults, name: str, refused: int) -> None:
    """Return when a disk is full for its server, as itself says; of PostgreSQL that it was refused room more often than before."""
    if name == "postgres":

        async def full() -> bool:
            return count_refused(faults) > refused

    elif name == "rabbitmq":
        node = URL(local_rabbitmq(faults.run, keep_ports=True).api_url)
        headers = {"Authorization": aiohttp.encode_basic_auth(node.user or "", node.password or "")}
        base = str(node.with_user(None)).rstrip("/").removesuffix("/api")

        async def full() -> bool:
            async with faults.session.get(f"{base}/api/nodes", headers=headers) as answer:
                return [each["disk_free_alarm"] for each in await answer.json()] == [True]

    else:
        full = Disk(faults.suite.directory / name).takes_nothing
    await eventually(full, within=60, every=0.3, what=f"a full disk of {name}")


def count_refused(faults: Faults) -> int:
    """How often PostgreSQL was refused room."""
    return (faults.suite.directory / "logs" / "postgres.log").read_text(encoding="utf-8").count(NO_ROOM)


def test_the_gateways_page_tells_of_every_case_of_full_disks() -> None:
    assert documented().keys() == FULL_TOGETHER.keys()
    assert all(documented().values())


@pytest.mark.parametrize("name", FULL_TOGETHER)
async def test_nothing_acknowledged_is_lost_to_a_full_disk(faults: Faults, since: datetime, name: str) -> None:
    case = FULL_TOGETHER[name]
    before = {service: faults.pids(service) for service in faults.suite.description["services"]}
    refused = count_refused(faults)

    async def fault() -> None:
        await asyncio.sleep(2)
        async with AsyncExitStack() as stack:
            # Last in, first out: the first of the case has room again first.
            for number, disk in enumerate(reversed(case.disks)):
                if number:
                    stack.push_async_callback(asyncio.sleep, 3)
                await stack.enter_async_context(Disk(faults.suite.directory / disk).full(spare=SPARE.get(disk, 0)))
            await asyncio.sleep(case.seconds)
            await asyncio.gather(*(really_full(faults, disk, refused) for disk in case.disks))

    async with reading(faults) as answers:
        report = await faults.play_during(fault(), seed=41, schedule=PATIENT)
        await faults.everybody_ready()
    print(f"answers {dict(sorted(answers.items()))}")  # noqa: T201 -- what was seen
    await faults.connected()
    await faults.spools_empty()
    assert {service: faults.pids(service) for service in before} == before
    assert {service for service, _ in answers} == ASKED
    assert undocumented(answers) == {}
    await faults.all_is_right(report, since, within=180)
    assert set(report["summary"]["answers"]) == documented()[name]
    assert "rabbitmq" not in case.disks or (await faults.outcomes(since))["spooled"] > 0


async def test_a_gateway_whose_spool_is_full_too_refuses_what_rabbitmq_does_not_confirm(faults: Faults) -> None:
    """The spool's disk is full for the gateway: it says ``spool_failed``, refuses, and takes the same hook afterwards."""
    spool_failed = 'gateway_lane_failures_total{code="spool_unavailable",lane="spool"}'
    told = hook("created", f"full-{secrets.token_hex(6)}", at=datetime.now(UTC), positions=POSITIONS, total=TOTAL)
    before = [await faults.metric(url, spool_failed) for url in faults.gateways]
    logged = len([line for line in faults.suite.logs("webhook-gateway") if line.get("event") == "spool_failed"])
    spool = Disk(faults.suite.directory / "spool")
    async with spool.full(spare=0):
        await really_full(faults, "spool", 0)
        async with faults.frozen("rabbitmq"):

            async def refused() -> bool:
                return (await faults.client.hook(told))[0] == 503

            await eventually(refused, within=60, every=0.3, what="a hook that is refused")
    after = [await faults.metric(url, spool_failed) for url in faults.gateways]
    assert sum(after) > sum(before)
    assert len([line for line in faults.suite.logs("webhook-gateway") if line.get("event") == "spool_failed"]) > logged
    await faults.connected()
    await faults.everybody_ready()
    assert (await faults.client.hook(told))[0] == 200
    await faults.spools_empty()


async def test_what_websites_and_refunds_were_told_is_so_after_all_disks_were_full(faults: Faults) -> None:
    """Whoever was refused repeats, and each order and each refund is there once."""
    trouble, client = Trouble(faults.client), faults.client
    orders = [trouble.basket() for _ in range(40)]
    refunds = [f"disk-{secrets.token_hex(6)}" for _ in range(40)]
    for name in refunds:
        await client.put("sandbox", f"/sandbox/trust/payments/{name}", {"captured": 500, "currency": "RUB"})
    websites, desk = faults.gateways, faults.suite.url("refunds")
    answers: Counter[tuple[str, int]] = Counter()
    told: dict[str, set[str]] = defaultdict(set)

    async def order(number: int) -> int:
        """Order, or say the same again; a gateway of the two takes it."""
        url, body = f"{websites[number % GATEWAYS]}/api/v1/orders/", orders[number]
        status, said = await client.post(url, body, role="website")
        answers["order", status] += 1
        if status < 300:
            told[body["externalId"]].add(said["number"])
        return status

    async def pay_back(number: int) -> int:
        name = refunds[number]
        asked = {"order_number": name, "payment_id": name, "amount": 500, "currency": "RUB", "business_key": name}
        status, said = await client.post(f"{desk}/refunds/v1/refunds", {**asked, "reason": "a test"}, role="operator")
        answers["refund", status] += 1
        if status < 300:
            told[name].add(said["id"])
        return status

    async with AsyncExitStack() as stack:
        for name in ("postgres", "rabbitmq", "spool"):
            await stack.enter_async_context(Disk(faults.suite.directory / name).full(spare=SPARE.get(name, 0)))
        for number in range(30):
            await asyncio.gather(order(number), pay_back(number), asyncio.sleep(0.4))
    print(f"while all are full: {dict(sorted(answers.items()))}")  # noqa: T201 -- what was seen
    assert {status for _, status in answers} <= {200, 201, 202, 503}
    await faults.everybody_ready()
    await faults.connected()

    async def all_are_taken() -> bool:
        for number in range(40):
            assert await order(number) < 300
            assert await pay_back(number) < 300
        return True

    await eventually(all_are_taken, within=90, every=1.0, what="everything that was repeated")
    assert {len(same) for same in told.values()} == {1}

    async def all_is_there() -> bool:
        for body in orders:
            [number] = told[body["externalId"]]
            found = await client.get("orchestrator", f"/orders/v1/orders/{number}", role="internal")
            assert found["external_id"] == body["externalId"]
        for name in refunds:
            page = await client.get("refunds", "/admin/v1/refunds", order=name)
            assert [(each["id"], each["state_name"]) for each in page["items"]] == [(*told[name], "SUCCESS")]
        return True

    await eventually(all_is_there, within=120, every=1.0, what="every order and every refund, once")
    for name in refunds:
        payment = await client.get("refunds", f"/admin/v1/payments/{name}")
        assert (payment["refunded"], payment["captured"]) == (500, 500)
