"""A service as a real process: it starts, drains, refuses and dies as the contract says."""

from __future__ import annotations

import asyncio
import json
import signal
import socket

import aiohttp
import pytest

from common.service import runner

from .conftest import Ended, Start
from .shop_service import SOON_S


async def test_sigterm_lets_requests_in_flight_finish_and_closes_in_order(start: Start) -> None:
    shop = await start()
    url = f"http://127.0.0.1:{(await shop.until('service_started'))['port']}"
    async with aiohttp.ClientSession() as session:

        async def get(path: str) -> tuple[int, str]:
            async with session.get(url + path) as response:
                return response.status, await response.text()

        assert (await get("/readyz"))[0] == 200
        in_flight = asyncio.create_task(get("/slow?seconds=1"))
        await shop.until("slow_started")
        shop.process.send_signal(signal.SIGTERM)
        assert (await shop.until("service_stopping"))["reason"] == "SIGTERM"
        assert await in_flight == (200, "done")
        with pytest.raises(aiohttp.ClientConnectionError):
            await get("/livez")
    assert await shop.end() == (0, "")
    assert shop.events() == [
        "service_started", "slow_started", "service_stopping", "consumer_finished", "pool_closed", "service_stopped",
    ]  # fmt: skip
    assert (shop.lines[-1]["exit_code"], shop.lines[-1]["clean"]) == (0, True)


async def test_sigint_drains_too_and_a_second_signal_ends_at_once(start: Start) -> None:
    shop = await start(SHOP_MODE="hangs")
    await shop.until("service_started")
    shop.process.send_signal(signal.SIGINT)
    await shop.until("service_stopping")
    shop.process.send_signal(signal.SIGTERM)
    assert (await shop.end())[0] == 128 + signal.SIGTERM
    assert shop.events() == ["service_started", "service_stopping"]


async def test_a_step_that_hangs_costs_its_time_and_the_rest_is_closed(start: Start) -> None:
    shop = await start(SHOP_MODE="hangs", SHOP_DRAIN_SECONDS="1.5")
    await shop.until("service_started")
    shop.process.send_signal(signal.SIGTERM)
    assert (await shop.end())[0] == 0
    assert shop.events()[-4:] == ["drain_step_timed_out", "consumer_finished", "pool_closed", "service_stopped"]
    assert shop.lines[-1]["clean"] is False


async def test_a_blocked_event_loop_cannot_keep_the_process_beyond_ten_seconds(start: Start) -> None:
    shop = await start(SHOP_MODE="gives up soon")
    url = f"http://127.0.0.1:{(await shop.until('service_started'))['port']}"
    async with aiohttp.ClientSession() as session:
        blocked = asyncio.create_task(session.get(f"{url}/block?seconds=60"))
        await shop.until("block_started")
        shop.process.send_signal(signal.SIGTERM)
        assert (await shop.end())[0] == 1
        assert (shop.lines[-1]["event"], shop.lines[-1]["seconds"]) == ("drain_gave_up", SOON_S)
        assert runner._EXIT_DEADLINE < 10  # what it would have waited for in production
        with pytest.raises(aiohttp.ClientError):
            await blocked


async def test_a_signal_while_starting_ends_the_start(start: Start) -> None:
    shop = await start(SHOP_MODE="waits")
    await shop.until("waiting_for_database")
    shop.process.send_signal(signal.SIGTERM)
    assert await shop.end() == (0, "")
    assert shop.events() == ["waiting_for_database", "service_stopping", "pool_closed", "service_stopped"]


async def test_a_background_task_that_dies_ends_the_service_with_one(start: Start) -> None:
    shop = await start(SHOP_MODE="dies")
    code, _ = await shop.end()
    [died] = [line for line in shop.lines if line["event"] == "task_died"]
    assert (code, died["task"], shop.lines[-1]["exit_code"]) == (1, "consumer", 1)
    assert died["exception"].endswith("the task consumer ended although it should run for ever")
    assert "pool_closed" in shop.events()


async def test_a_background_task_that_fails_begins_anew_in_the_same_process(start: Start) -> None:
    shop = await start(SHOP_MODE="fails")
    for _ in range(2):
        await shop.until("consumer_begun")
        failed = await shop.until("task_failed")
    assert (failed["task"], failed["attempts"]) == ("consumer", 2)
    assert failed["exception"].endswith("OSError: the queue is gone")
    shop.process.send_signal(signal.SIGTERM)
    assert (await shop.end())[0] == 0


@pytest.mark.parametrize(
    ("variables", "code", "line"),
    [
        ({"SHOP_PORT": "-1"}, 2, "shop: cannot listen on 127.0.0.1:-1: there is no such port"),
        ({"SHOP_LOG_LEVEL": "LOUD"}, 2, "shop: configuration: SHOP_LOG_LEVEL input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ({"SHOP_TOKENS_FILE": ""}, 2, "shop: configuration: SHOP_TOKENS_FILE is missing"),
        ({"SHOP_TOKENS_FILE": "/nowhere/tokens"}, 2, "shop: the token file /nowhere/tokens cannot be read: No such file or directory"),
        ({"SHOP_SENTRY_DSN": "nonsense"}, 2, "shop: the Sentry DSN is malformed"),
        ({"SHOP_HOST": "no-such-host.invalid"}, 2, "shop: cannot listen on no-such-host.invalid:0: the host name is unknown"),
        ({"SHOP_MODE": "schema"}, 3, "shop: the database of shop lacks migrations 0100: run `python -m shop migrate`"),
        ({"SHOP_MODE": "away"}, 1, "shop: the database does not answer"),
    ],
)  # fmt: skip
async def test_what_keeps_it_from_starting_is_one_line_and_an_exit_code(
    ended: Ended, variables: dict[str, str], code: int, line: str
) -> None:
    returned, _, errors = await ended(**variables)
    assert (returned, errors) == (code, line + "\n")


async def test_a_port_that_is_taken_is_one_line(ended: Ended) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, errors = await ended(SHOP_PORT=str(port))
    assert (code, errors) == (2, f"shop: cannot listen on 127.0.0.1:{port}: the port is taken\n")


async def test_a_bug_while_starting_is_logged_with_its_stack_and_exits_with_one(start: Start) -> None:
    shop = await start(SHOP_MODE="bug")
    assert await shop.end() == (1, "")
    assert [
        line["exception"].splitlines()[-1] for line in shop.lines if line["event"] == "service_failed_to_start"
    ] == ["KeyError: 'bug'"]
    assert shop.events()[-2:] == ["pool_closed", "service_stopped"]


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "out", "err"),
    [
        (("migrate",), {}, 0, "migrated\n", ""),
        (("migrate",), {"SHOP_MODE": "schema"}, 3, "", "shop: no\n"),
        (("seven",), {}, 7, "", ""),
        (("--version",), {}, 0, "shop 1.0.0\n", ""),
    ],
)
async def test_commands_end_with_their_own_code(
    ended: Ended, arguments: tuple[str, ...], variables: dict[str, str], code: int, out: str, err: str
) -> None:
    assert await ended(*arguments, **variables) == (code, out, err)


async def test_openapi_is_printed_without_opening_anything(ended: Ended) -> None:
    code, output, _ = await ended("openapi", SHOP_TOKENS_FILE="")
    assert (code, sorted(json.loads(output)["paths"])) == (
        0,
        ["/block", "/crash/{number}", "/slow", "/stray"],
    )
