"""The gateway's awaits between a hook's head and its answer, and gateways that are killed at them (see ``hot_path``)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from common.ids import order_number
from tests.support import hot_path
from tests.support.processes import Program, created, read, send, stand
from tests.support.servers import eventually

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
# Not played: for that somebody has to take the queues from the exchange. Each hook goes then as one that goes alone.
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

        await eventually(empty, what="an empty spool")

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

        await eventually(known, every=0.3, what="every order")
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

    await eventually(probe, what="the broker lane")
