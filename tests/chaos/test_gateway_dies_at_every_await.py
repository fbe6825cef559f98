"""The gateway is killed at every await of the hot path; the marketplace sees no answer, repeats, and there is one order."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from tests.chaos.gateway_path import (
    ALWAYS,
    BROKER,
    CHUNKED,
    NOT_ON_THE_WAY,
    OTHER_ADDRESS,
    OVERSIZED,
    REFUSED,
    SPOOL,
    SPOOL_FIRST_HOOK,
    SPOOL_FULL,
    TABLE,
    Crashes,
    broker_ready,
    crashing,
    places,
)
from tests.support import hot_path
from tests.support.processes import created, read, send
from tests.support.servers import eventually, proxied


@pytest.mark.parametrize("module", sorted(hot_path.FUNCTIONS))
def test_the_table_names_every_await_of_the_source(module: str) -> None:
    assert {f"{module} {name}" for name in hot_path.awaits_of(module)} == {
        name for name in {**TABLE, **REFUSED} if name.startswith(f"{module} ")
    }


@pytest.mark.parametrize("module", sorted(NOT_ON_THE_WAY))
def test_every_coroutine_of_the_hot_path_is_instrumented_or_named_as_beside_it(module: str) -> None:
    assert hot_path.coroutines_of(module) == NOT_ON_THE_WAY[module] | set(hot_path.FUNCTIONS[module])


async def by_the_broker(crashes: Crashes, chosen: Sequence[tuple[str, str]]) -> None:
    orders = []
    for name, when in chosen:
        await broker_ready(crashes.gateway)
        orders.append(await crashes.at(name, when))
    await crashes.settled(orders)


async def test_it_dies_right_before_and_right_after_the_confirmed_publish(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    async with crashing(tmp_path, database_for, amqp_url, gateway_amqp=amqp_url) as crashes:
        await by_the_broker(crashes, places(BROKER)[-4:-2])


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_it_dies_at_every_await_while_the_broker_confirms(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    async with crashing(tmp_path, database_for, amqp_url, gateway_amqp=amqp_url) as crashes:
        await by_the_broker(crashes, places(ALWAYS, BROKER))


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_it_dies_at_every_await_while_the_spool_takes_what_the_broker_does_not(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    nobody = "amqp://guest:guest@127.0.0.1:1/"
    async with crashing(tmp_path, database_for, amqp_url, gateway_amqp=nobody) as crashes:
        orders = []
        for name, when in places(SPOOL_FIRST_HOOK):
            # The first hook of a process finds the circuit closed.
            orders.append(await crashes.at(name, when))
            await crashes.gateway.kill()
            await crashes.gateway.start()
        opening = await send(crashes.session, crashes.gateway, created("opening"))
        assert opening[0] == 200
        for name, when in places(ALWAYS, SPOOL):
            # Each process has answered the repeat of the one before, which opened its circuit.
            orders.append(await crashes.at(name, when))
        await crashes.gateway.kill()
        await crashes.gateway.start(WEBHOOK_GATEWAY_AMQP_URL=amqp_url)
        await crashes.settled([*orders, "opening"])


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_it_dies_while_an_open_circuit_and_a_full_spool_leave_one_try_at_the_broker(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    async with proxied(amqp_url) as (proxy, url):
        # No probe comes in between: the circuit stays open as long as the test needs it.
        settings = {"SPOOL_LIMIT_BYTES": str(1024**2), "BREAKER_PAUSE": "600"}
        async with crashing(tmp_path, database_for, amqp_url, gateway_amqp=url, **settings) as crashes:
            orders = []
            for name, when in places(SPOOL_FULL):
                await broker_ready(crashes.gateway)
                proxy.refuse()
                filler = f"filler-{when}"
                status, _ = await send(crashes.session, crashes.gateway, created(filler, comment="x" * 760_000))
                assert status == 200
                orders.append(filler)
                proxy.heal()
                await broker_ready(crashes.gateway, closed=False)
                orders.append(await crashes.at(name, when, body=lambda order: created(order, comment="y" * 40_000)))
                await crashes.settled(orders)


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_it_dies_at_the_other_address_and_with_late_or_too_large_bodies(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    async with crashing(tmp_path, database_for, amqp_url, gateway_amqp=amqp_url) as crashes:
        orders = []
        for name, when in places(OTHER_ADDRESS):
            await broker_ready(crashes.gateway)
            orders.append(await crashes.at(name, when, path="/sbermarket/orders/hook/"))
        for name, when in places(CHUNKED):
            await broker_ready(crashes.gateway)
            # So long that it does not come with the head.
            orders.append(await crashes.at(name, when, body=lambda order: created(order, comment="z" * 900_000)))
        await crashes.settled(orders)
        for name, when in places(OVERSIZED):
            await broker_ready(crashes.gateway)
            crashes.place.write_text(f"{name} {when}")
            assert await send(crashes.session, crashes.gateway, b"x" * (1024**2 + 1)) == (None, None)
            assert await crashes.gateway.died() == -9
            crashes.place.unlink()
            await crashes.gateway.start()
            status, _ = await send(crashes.session, crashes.gateway, b"x" * (1024**2 + 1))
            assert status == 413

        async def kept() -> bool:
            _, page = await read(crashes.session, crashes.gateway, "/admin/v1/deliveries", outcome="quarantined")
            # At each place one died before it was stored and one after; both were sent again.
            assert len(page["items"]) == 3 * len(OVERSIZED)
            return True

        await eventually(kept, what="three first parts of each place")


def test_the_crash_points_are_not_in_production_code() -> None:
    assert hot_path.CRASH_FILE not in os.environ
