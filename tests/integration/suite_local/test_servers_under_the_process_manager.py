"""PostgreSQL and RabbitMQ as they run for the suite: killed, started again, stopped, with their data kept."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import aio_pika
import asyncpg
import psutil
import pytest

from suite_local.infrastructure.find import Found, find_postgres, find_rabbitmq
from suite_local.paths import RunDirectory
from suite_local.supervision import Supervisor, strays

from .conftest import until

pytestmark = pytest.mark.timeout(600)  # servers start here again and again, beside other tests
QUEUE = "kept"
# `make test` kills each server once; KILLED_TIMES=2 and more show that a server that was killed can be killed again.
KILLED_TIMES = int(os.environ.get("KILLED_TIMES", "1"))


def start_servers(run: RunDirectory) -> tuple[Found, Found]:
    """Start both under the run directory's process manager, as `up` does, and wait until they answer."""
    run.create()
    postgres = find_postgres(run, {}, running=False)
    rabbitmq = find_rabbitmq(run, {}, running=False)
    supervisor = Supervisor(run)
    programs = (*rabbitmq.programs, *postgres.programs)
    supervisor.apply(programs)
    supervisor.start(program.name for program in programs)
    postgres.wait_ready()
    rabbitmq.wait_ready()
    return postgres, rabbitmq


def pid_of(run: RunDirectory, name: str) -> int | None:
    return next(state.pid for state in Supervisor(run).processes() if state.name == name)


def kill_and_wait_for_another(run: RunDirectory, name: str) -> None:
    """`kill -9` a program; return when the process manager has spawned it again."""
    before = pid_of(run, name)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    until(lambda: pid_of(run, name) not in (None, before))


async def put(postgres: Found, rabbitmq: Found) -> None:
    """Leave a row and a message."""
    connection = await asyncpg.connect(postgres.address)
    await connection.execute("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('here')")
    await connection.close()
    async with await aio_pika.connect(rabbitmq.address) as broker:
        channel = await broker.channel()
        await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        message = aio_pika.Message(b"here", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=QUEUE)


def until_the_queue_is_listed_on_disk(run: RunDirectory) -> None:
    """Older RabbitMQ loses a queue when it is killed within half a second of its declaration (rabbitmq/ra#443)."""
    names = run.root / "rabbitmq" / "data" / "suite@localhost" / "quorum" / "suite@localhost" / "names.dets"
    until(lambda: QUEUE.encode() in names.read_bytes())


async def found_again(postgres: Found, rabbitmq: Found) -> tuple[str, bytes]:
    """Read the row and the message, and leave them."""
    connection = await asyncpg.connect(postgres.address)
    word: str = await connection.fetchval("SELECT word FROM kept")
    await connection.close()
    async with await aio_pika.connect(rabbitmq.address) as broker:
        queue = await (await broker.channel()).get_queue(QUEUE)
        message = await queue.get(timeout=20)
        assert message is not None
        await message.nack(requeue=True)
        return word, message.body


@pytest.mark.chaos
def test_killed_servers_come_back_with_their_data_and_down_leaves_no_process(
    own_run: RunDirectory,
) -> None:
    postgres, rabbitmq = start_servers(own_run)
    asyncio.run(put(postgres, rabbitmq))
    until_the_queue_is_listed_on_disk(own_run)

    for _ in range(KILLED_TIMES):
        for name in ("postgres", "rabbitmq", "epmd"):
            kill_and_wait_for_another(own_run, name)
        postgres.wait_ready()
        rabbitmq.wait_ready()
        assert asyncio.run(found_again(postgres, rabbitmq)) == ("here", b"here")

    Supervisor(own_run).shutdown()
    assert strays(own_run) == []
    # epmd and the broker's helpers do not hang on the process manager: looked for by what they were started with, too.
    assert [process for process in psutil.process_iter() if str(own_run.root) in _command(process)] == []

    again = start_servers(own_run)
    assert [server.address for server in again] == [postgres.address, rabbitmq.address]
    assert asyncio.run(found_again(*again)) == ("here", b"here")


@pytest.mark.chaos  # every run of tests shows two directories side by side: its own servers, and the end-to-end suite
def test_two_run_directories_do_not_collide_even_after_a_process_manager_died(
    own_run: RunDirectory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Under pytest's directory, mode 700 above it: as root, the servers' accounts reach it by their one capability only.
    other_run = RunDirectory(tmp_path_factory.mktemp("other"))
    try:
        first, other = start_servers(own_run), start_servers(other_run)
        addresses = {server.address for server in (*first, *other)}
        assert len(addresses) == 4

        supervisor_pid = Supervisor(other_run).pid
        assert supervisor_pid is not None
        os.kill(supervisor_pid, signal.SIGKILL)
        until(lambda: not Supervisor(other_run).running)
        again = start_servers(other_run)

        asyncio.run(put(*again))
        assert asyncio.run(found_again(*again)) == ("here", b"here")
        for server in first:
            server.wait_ready()
    finally:
        Supervisor(other_run).kill()
    assert strays(other_run) == []


def _command(process: psutil.Process) -> str:
    try:
        return " ".join([*process.cmdline(), str(Path(process.cwd()))])
    except (psutil.Error, OSError):
        return ""
