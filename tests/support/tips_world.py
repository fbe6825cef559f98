"""What stands around an order whose tips are decided: a door before the tips service, switches that grow old, the customer."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, ClassVar

import aiohttp
from aiohttp import web

from common.postgres import Database
from orchestrator.tips.experiment import FlagRows
from sandbox.testing import RunningSandbox
from tests.support.servers import eventually


@dataclass
class Door:
    """Stands before the real service and lets requests through, late, not at all, or with an answer of its own."""

    behind: str
    url: str = ""
    mode: str = "open"
    calls: Counter[str] = field(default_factory=Counter)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.calls[self.mode] += 1
        if self.mode == "slow":
            await self.closing.wait()
        if self.mode == "failing":
            return web.json_response({"code": "boom"}, status=500)
        if self.mode == "lying":
            return web.json_response({"need_hold_tips": True} if request.method == "GET" else {})
        if self.mode == "garbled":
            return web.Response(text="<html>all is well</html>")
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        assert int(request.headers["X-Request-Timeout-Ms"]) > 0
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method, self.behind + request.path_qs, data=await request.read(), headers=headers
            ) as answer,
        ):
            body = await answer.json()
        if self.mode == "other sums" and "tips" in body:
            body["tips"]["amount"] += 1
        return web.json_response(body, status=answer.status)


class Rows(FlagRows):
    """The switches as a replica of this test sees them; they grow old when the test says so."""

    made: ClassVar[list[Rows]] = []
    older: float = 0.0

    def __init__(self, database: Database, *, max_age: float) -> None:
        super().__init__(database, max_age=max_age, monotonic=lambda: monotonic() + self.older)
        self.made.append(self)


@dataclass
class World:
    """Everything around one order."""

    api: Any
    gateway: Any
    door: Door
    sandbox: RunningSandbox
    database: Any

    async def set_flag(self, name: str, *, enabled: bool) -> None:
        """Set a switch, and wait until all replicas have seen it."""
        change = {"reason": "a test", "enabled": enabled, "share": 10_000}
        assert (await self.api.call("PUT", f"/admin/v1/flags/{name}", change))[0] == 200

        async def seen() -> bool:
            found = [rows.fresh() for rows in Rows.made]
            return all(rows is not None and rows[name].enabled == enabled for rows in found)

        await eventually(seen, every=0.01)

    async def feedback(self, number: str, value: str = "10", **more: Any) -> None:
        """The customer speaks."""
        body = {"rating": 5, "tips": {"type": "percent", "value": value}, "choice": "custom", **more}
        await self.sandbox.control("PUT", f"/sandbox/feedback/orders/{number}", body)

    async def finish(self, *names: str) -> list[str]:
        """Let orders of 100.00 be created and delivered, with tips of ten percent; return their numbers."""
        for name in names:
            await self.feedback(self.gateway.number(name))
        for name in names:
            goods = [self.gateway.position("a", 1, "100.00")]
            payment = {"method": "card", "id": f"pay-{name}"}
            await self.gateway.send(
                self.gateway.hook(name, "order.created", minute=1, positions=goods, payment=payment),
                self.gateway.hook(name, "order.delivered", minute=5),
            )
        return [self.gateway.number(name) for name in names]

    async def iterated(self, number: str, times: int = 1) -> tuple[Any, ...]:
        """Wait for so many iterations; return tips, who decided, why not the service, and the sum to pay."""

        async def done() -> Any:
            found = await self.database.fetchrow("SELECT * FROM order_transactions WHERE number = $1", number)
            assert found is not None
            assert found["iterations"] >= times
            return found

        row = await eventually(done, what=f"{times} iterations of {number}")
        return row["tips"], row["decided_by"], row["fallback"], row["sum_to_pay"]

    async def tipped(self, url: str) -> float:
        """How many orders with tips a service reports, of all zones and tariffs."""
        async with self.api.session.get(url + "/metrics") as answer:
            lines = [line for line in (await answer.text()).splitlines() if line.startswith("tips_orders_total{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines if 'has_tip="true"' in line)

    async def metric(self, line: str) -> float:
        """Read one series."""
        async with self.api.session.get(self.api.url + "/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return float(next(found.rpartition(" ")[2] for found in lines if found.startswith(line + " ")))
