"""The gateway is killed at every await of the hot path; the marketplace sees no answer, repeats, and there is one order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import pytest

from common.ids import order_number
from common.messaging import topology
from common.testing import eventually, proxied
from tests.support import hot_path
from tests.support.processes import Program, created, read, send, stand

# What each await is, and what a death there leaves behind. The names are `hot_path.awaits_of`'s; a test holds them together.
ALWAYS = {
    "common.http.edge make_edge.edge: handler": "the edge waits for the route: nothing is stored, or all of it is",
    "webhook_gateway.hooks.routes HookRoutes.hook: self.take": "the route by the source's name",
    "webhook_gateway.hooks.routes HookRoutes.take: self._judge": "judged, not yet counted",
    "webhook_gateway.hooks.routes HookRoutes._judge: self._read_body": "authenticated, the body not read or just read",
    "webhook_gateway.hooks.routes HookRoutes._judge: self._accept": "the body is here and nowhere else, or it is durable",
    "webhook_gateway.hooks.accept AcceptHook.__call__: self._keep_safe": "read and numbered; durable or not",
    "aiohttp.web_protocol RequestHandler.finish_response: prepare_meth": "durable; the head of the answer is made",
    "aiohttp.web_protocol RequestHandler.finish_response: resp.write_eof": "durable; the answer may be out",
}
BROKER = {
    "webhook_gateway.durable.keep_safe KeepSafe.__call__: self._by_broker": "the circuit is closed: first path",
    "webhook_gateway.durable.keep_safe KeepSafe._by_broker: self._publisher.publish_raw": "encoded, not sent; or confirmed",
    "common.messaging.publisher Publisher.publish_raw: confirmed": "handed to the writer, not on the wire; or confirmed",
    f"common.messaging.confirms {hot_path.WRITE}": "before and after the frames are given to the connection",
}
BATCHES = {
    "webhook_gateway.durable.keep_safe KeepSafe._by_broker: self._batches.publish": "encoded, not sent; or confirmed",
    "webhook_gateway.durable.batches HookBatches.publish: self._publish_alone #2": "none was in flight: at once, alone",
    "webhook_gateway.durable.batches HookBatches._publish_alone: self._publisher.publish_raw": "the same; or confirmed",
    "webhook_gateway.durable.batches HookBatches.publish: hook.confirmed": "gathered, not sent; or its batch is confirmed",
    "webhook_gateway.durable.batches HookBatches._send: self._outcome": "taken from those that wait; or confirmed for all",
    "webhook_gateway.durable.batches HookBatches._outcome: self._publish_together": "the same",
    "webhook_gateway.durable.batches HookBatches._publish_together: self._publisher.publish_raw": "packed; or confirmed",
}
LARGE_BESIDE_BATCHES = {
    "webhook_gateway.durable.batches HookBatches.publish: self._publish_alone": "a large hook: at once, alone",
}
BATCH_OF_ONE = {
    "webhook_gateway.durable.batches HookBatches._outcome: self._publish_alone": "one hook alone waited for the next message",
}
BATCH_RETURNED = {
    "webhook_gateway.durable.batches HookBatches.publish: self._publish_alone #3": "no queue took the batch: hook by hook",
}
SPOOL_FIRST_HOOK = {
    "webhook_gateway.durable.keep_safe KeepSafe.__call__: self._by_spool": "the broker has just failed: second path",
}
SPOOL = {
    "webhook_gateway.durable.keep_safe KeepSafe.__call__: self._by_spool #2": "the circuit is open: the spool first",
    "webhook_gateway.durable.keep_safe KeepSafe._by_spool: self._spool.append": "encoded, not stored; or synced",
    "webhook_gateway.durable.spool Spool.append: self._command": "there is room; handed to the thread or synced",
    "webhook_gateway.durable.spool Spool._command: asyncio.wait_for": "the thread may be writing; or it has synced",
    f"webhook_gateway.durable.spool_file {hot_path.COMMIT}": "before and after the transaction itself",
}
SPOOL_FULL = {
    "webhook_gateway.durable.keep_safe KeepSafe.__call__: self._by_broker #2": "circuit open, spool full: a try",
}
OTHER_ADDRESS = {
    "webhook_gateway.hooks.routes HookRoutes.sbermarket_hook: self.take": "the marketplace's own address",
}
CHUNKED = {"webhook_gateway.hooks.request read_body: content.readany": "a body that comes after its head"}
OVERSIZED = {
    "webhook_gateway.hooks.routes HookRoutes._judge: self._keep_incomplete": "more than 1 MiB: the first part",
    "webhook_gateway.hooks.routes HookRoutes._keep_incomplete: self._accept.incomplete": "the same",
    "webhook_gateway.hooks.accept AcceptHook.incomplete: self._keep_safe": "durable or not; the answer is 413 all the same",
}
# Nothing is stored of what is refused, whoever dies there: not played.
REFUSED = {
    "webhook_gateway.hooks.routes HookRoutes.take: self.misplaced": "there is no such source",
    "webhook_gateway.hooks.routes HookRoutes._judge: self._refuse_unproven": "the head proves nothing",
    "webhook_gateway.hooks.routes HookRoutes._judge: self._refuse_unproven #2": "the signature proves nothing",
    "webhook_gateway.hooks.routes HookRoutes._judge: self._note_refused": "a signed body that is not whole",
}
TABLE = {
    **ALWAYS,
    **BROKER,
    **BATCHES,
    **LARGE_BESIDE_BATCHES,
    **BATCH_OF_ONE,
    **BATCH_RETURNED,
    **SPOOL_FIRST_HOOK,
    **SPOOL,
    **SPOOL_FULL,
    **OTHER_ADDRESS,
    **CHUNKED,
    **OVERSIZED,
}

TOGETHER = {"BATCH_HOOKS": "true", "CONFIRM_DEADLINE": "0.9"}

# Coroutine functions of the same modules that are not between a hook's head and its answer.
NOT_ON_THE_WAY = {
    "common.http.edge": set[str](),
    "webhook_gateway.hooks.routes": {
        "HookRoutes._refuse_unproven",
        "HookRoutes._note_refused",
        "HookRoutes.misplaced",
    },
    "webhook_gateway.hooks.request": set[str](),
    "webhook_gateway.hooks.accept": set[str](),
    "webhook_gateway.durable.keep_safe": {"KeepSafe.check"},
    "webhook_gateway.durable.batches": {"HookBatches.publish_all", "HookBatches._publish_or_part"},
    "common.messaging.publisher": {
        "Publisher.wait_ready",
        "Publisher.using",
        "Publisher.publish",
        "Publisher.publish_many",
    },
    "webhook_gateway.durable.spool": {
        "Spool.open",
        "Spool.close",
        "Spool.peek",
        "Spool.forget",
        "Spool.wait",
        "Spool.check",
        "Spool._call",
    },
}


@pytest.mark.parametrize("module", sorted(hot_path.FUNCTIONS))
def test_the_table_names_every_await_of_the_source(module: str) -> None:
    assert {f"{module} {name}" for name in hot_path.awaits_of(module)} == {
        name for name in {**TABLE, **REFUSED} if name.startswith(f"{module} ")
    }


@pytest.mark.parametrize("module", sorted(NOT_ON_THE_WAY))
def test_every_coroutine_of_the_hot_path_is_instrumented_or_named_as_beside_it(module: str) -> None:
    assert hot_path.coroutines_of(module) == NOT_ON_THE_WAY[module] | set(hot_path.FUNCTIONS[module])


@dataclass
class Crashes:
    """A gateway that is killed again and again, and the orchestrator that must know one order a time."""

    session: aiohttp.ClientSession
    gateway: Program
    orchestrator: Program
    place: Path
    tried: int = 0

    async def at(
        self,
        name: str,
        when: str,
        *,
        path: str = "/hooks/v1/sbermarket",
        body: Callable[[str], Any] = created,
    ) -> str:
        """Kill at a place while a hook is taken, start again, repeat; return the order's id in the marketplace."""
        self.tried += 1
        order = f"C{self.tried}"
        self.place.write_text(f"{name} {when}")
        first = await send(self.session, self.gateway, body(order), path=path)
        # After the last bytes of an answer the client is back here before the gateway has looked where to die.
        assert await self.gateway.died() == -9, f"never came by {name} {when}"
        self.place.unlink()
        wanted = (200, {"status": "created", "number": order_number("sbermarket", order)})
        # Only when the answer was written may it have been seen; then it was the right one.
        assert first == (None, None) or (first == wanted and "write_eof after" in f"{name} {when}"), (name, when, first)
        await self.gateway.start()
        assert await send(self.session, self.gateway, body(order), path=path) == wanted, (name, when)
        return order

    async def among_many(
        self, name: str, when: str, *, most: int = 12, before: Callable[[], Awaitable[object]]
    ) -> list[str]:
        """Kill at a place while hooks are taken that arrive together, start again, repeat all; return the orders' ids.

        Whether they gather depends on when they arrive, so they are sent until it died, be it in relaying some from the spool. ``before``
        is called each time.
        """
        self.tried += 1
        self.place.write_text(f"{name} {when}")
        orders: list[str] = []
        together: list[str] = []
        assert self.gateway.process is not None
        for attempt in range(40):
            try:
                await before()
            except aiohttp.ClientError:
                break
            together = [f"M{self.tried}-{attempt}-{number}" for number in range(1 + attempt % most)]
            orders += together
            answers = await asyncio.gather(*(send(self.session, self.gateway, created(order)) for order in together))
            for order, answer in zip(together, answers, strict=True):
                assert answer in ((None, None), (200, self._answer(order))), (name, when, answer)
            if (None, None) in answers or self.gateway.process.returncode is not None:
                break
        assert await self.gateway.died() == -9, f"never came by {name} {when}"
        self.place.unlink()
        await self.gateway.start()
        again = await asyncio.gather(*(send(self.session, self.gateway, created(order)) for order in together))
        assert again == [(200, self._answer(order)) for order in together], (name, when)
        return orders

    @staticmethod
    def _answer(order: str) -> dict[str, str]:
        return {"status": "created", "number": order_number("sbermarket", order)}

    async def settled(self, orders: Sequence[str]) -> None:
        """Every order is at the orchestrator once, under its one number, and in the ledger; the spool is empty."""

        async def empty() -> bool:
            return await self.gateway.metric("gateway_spool_records") == 0.0

        await eventually(empty, within=60, what="an empty spool")

        async def known() -> bool:
            for order in orders:
                query = {"source": "sbermarket", "external_id": order}
                status, found = await read(self.session, self.orchestrator, "/orders/v1/orders", **query)
                assert (status, found.get("number")) == (200, order_number("sbermarket", order)), order
                assert (found["status"], len(found["positions"])) == ("created", 1), order
                _, kept = await read(self.session, self.gateway, "/admin/v1/deliveries", order=order)
                assert len(kept["items"]) in (1, 2), (
                    order
                )  # once for the answer, once where the first try was stored too
            return True

        await eventually(known, within=60, every=0.3, what="every order")
        found: list[str] = []
        query = {"limit": "200"}
        while True:
            _, page = await read(self.session, self.orchestrator, "/admin/v1/orders", **query)
            found += [item["external_id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert sorted(found) == sorted(orders)


@asynccontextmanager
async def crashing(
    directory: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str, *, gateway_amqp: str, **more: str
) -> AsyncIterator[Crashes]:
    place = directory / "crash-at"
    async with stand(directory) as made, aiohttp.ClientSession() as session:
        gateway = made.gateway(
            "gw-1",
            dsn=await database_for("webhook_gateway"),
            amqp_url=gateway_amqp,
            command=("-m", hot_path.__name__),
            **more,
        )
        gateway.environment = {**gateway.environment, hot_path.CRASH_FILE: str(place)}
        orchestrator = made.orchestrator(dsn=await database_for("orchestrator"), amqp_url=amqp_url)
        await orchestrator.start()
        await gateway.start()
        yield Crashes(session, gateway, orchestrator, place)


def places(*tables: dict[str, str]) -> list[tuple[str, str]]:
    return [(name.partition(" ")[2], when) for table in tables for name in table for when in ("before", "after")]


async def broker_ready(gateway: Program, *, closed: bool = True) -> None:
    async def probe() -> bool:
        ready = await gateway.metric("gateway_broker_ready") == 1.0
        return ready and (not closed or await gateway.metric('gateway_breaker_state{state="closed"}') == 1.0)

    await eventually(probe, within=60, what="the broker lane")


async def nowhere_to_go(gateway: Program, amqp_url: str) -> None:
    """Unbind the queues: the broker returns what comes next, and the gateway binds them again."""
    await broker_ready(gateway)
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        for spec in (topology.RECORDER, topology.ORCHESTRATOR_INTAKE):
            queue = await channel.get_queue(spec.name)
            for pattern in spec.patterns:
                await queue.unbind(spec.exchange, pattern)


async def in_batches(crashes: Crashes, chosen: Sequence[tuple[str, str]]) -> list[str]:
    orders: list[str] = []
    for name, when in chosen:
        orders += await crashes.among_many(name, when, before=lambda: broker_ready(crashes.gateway))
    return orders


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


async def test_it_dies_right_before_and_right_after_the_confirmed_publish_of_a_batch(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    async with crashing(tmp_path, database_for, amqp_url, gateway_amqp=amqp_url, **TOGETHER) as crashes:
        await crashes.settled(await in_batches(crashes, places(BATCHES)[-2:]))


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_it_dies_at_every_await_while_hooks_travel_together(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], amqp_url: str
) -> None:
    async with crashing(tmp_path, database_for, amqp_url, gateway_amqp=amqp_url, **TOGETHER) as crashes:
        orders = await in_batches(crashes, places(BATCHES, BATCH_OF_ONE))
        for name, when in places(LARGE_BESIDE_BATCHES):
            await broker_ready(crashes.gateway)
            orders.append(await crashes.at(name, when, body=lambda order: created(order, comment="z" * 40_000)))
        for name, when in places(BATCH_RETURNED):
            orders += await crashes.among_many(name, when, before=lambda: nowhere_to_go(crashes.gateway, amqp_url))
        await crashes.settled(orders)


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

        await eventually(kept, within=30, what="three first parts of each place")


def test_the_crash_points_are_not_in_production_code() -> None:
    assert hot_path.CRASH_FILE not in os.environ
