"""The marketplace as one outside system: plays that a check orders, and everything that was sent."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from aiohttp import web

from sandbox.clock import Clock
from sandbox.control import ControlError, body_of
from sandbox.faults import FaultMode, FaultPlan
from sandbox.gate import OutsideSystem
from sandbox.log import Journal
from sandbox.marketplace.orders import OrderPlan, PlayOrder
from sandbox.marketplace.payloads import plan_orders
from sandbox.marketplace.player import Player, Route
from sandbox.marketplace.report import summary_of
from sandbox.settings import Settings
from sandbox.systems.trust import Trust

_PLAYS_KEPT = 20
_ORDERS_A_PIECE = 100
_HEAD_START = timedelta(minutes=2)


@dataclass(slots=True)
class Play:
    """One play, running or done; its report can be read at any time."""

    id: str
    order: PlayOrder
    player: Player
    started: datetime
    started_monotonic: float
    clock: Clock
    task: asyncio.Task[None] | None = None
    took: float | None = None
    state: str = "running"
    problem: str | None = None

    @property
    def seconds(self) -> float:
        """How long it took, or takes so far."""
        return self.clock.monotonic() - self.started_monotonic if self.took is None else self.took

    def head(self) -> dict[str, Any]:
        """The report without its orders; while it runs, of what was done so far."""
        return {
            "play_id": self.id,
            "state": self.state,
            "problem": self.problem,
            "started_at": self.started.isoformat(),
            "request": self.order.model_dump(mode="json", exclude={"token"}),
            "summary": summary_of(self.player.reports, wanted=self.order.orders, seconds=self.seconds),
        }


class Marketplace(OutsideSystem):
    """`POST /sandbox/marketplace/play`. Its faults are those of its own side of the wire.

    `lost_response`: our answer is thrown away; `timeout` and `reset`: it hangs up after `delay_s` (default 0.05 s);
    `slow`: it sends late.
    """

    name: ClassVar[str] = "marketplace"
    modes: ClassVar[frozenset[FaultMode]] = frozenset(
        {FaultMode.LOST_RESPONSE, FaultMode.TIMEOUT, FaultMode.RESET, FaultMode.SLOW}
    )

    def __init__(self, *, settings: Settings, clock: Clock, journal: Journal, faults: FaultPlan, trust: Trust) -> None:
        super().__init__(clock=clock, journal=journal, faults=faults)
        self._settings = settings
        self._trust = trust
        self._plays: dict[str, Play] = {}
        self._made = 0

    def routes(self) -> list[web.RouteDef]:
        """Start, watch and stop plays."""
        return [
            web.post("/sandbox/marketplace/play", self._start),
            web.get("/sandbox/marketplace/plays", self._list),
            web.get("/sandbox/marketplace/plays/{play_id}", self._get),
            web.delete("/sandbox/marketplace/plays/{play_id}", self._stop),
        ]

    async def close(self) -> None:
        """Stop every running play."""
        for play in self._plays.values():
            await _stop_task(play)

    async def _start(self, request: web.Request) -> web.StreamResponse:
        order = await body_of(request, PlayOrder)
        play = self._begin(order)
        if not order.wait:
            return web.json_response({"play_id": play.id, "state": play.state}, status=202)
        if play.task is not None:
            await asyncio.wait([play.task])
        return await _report(request, play, detail=order.detail)

    def _begin(self, order: PlayOrder) -> Play:
        settings = self._settings
        urls = tuple(url.rstrip("/") for url in order.urls or ()) or settings.gateway_urls
        if not urls:
            raise ControlError(409, "no gateway is known: set gateway_url, or give urls")
        route = Route(
            urls=urls,
            path=order.path or settings.gateway_path,
            token=order.token or settings.marketplace_token,
            timeout_s=order.timeout_s or settings.hook_timeout_s,
            schedule=settings.hook_schedule if order.schedule is None else order.schedule,
            trace=order.trace,
        )
        now = self.clock.now()
        self._made += 1
        player = Player(route=route, clock=self.clock, journal=self.journal, faults=self.faults, capture=self._capture)
        play = Play(
            id=f"play-{self._made}",
            order=order,
            player=player,
            started=now,
            started_monotonic=self.clock.monotonic(),
            clock=self.clock,
        )
        plans = plan_orders(
            order,
            prefix=order.id_prefix or f"H{order.seed}-{int(now.timestamp() * 1000):x}-{self._made}",
            started_at=order.started_at or now - _HEAD_START,
            stores=order.stores or settings.stores,
        )
        play.task = asyncio.create_task(self._run(play, plans))
        self._plays[play.id] = play
        for old in [known.id for known in self._plays.values() if known.state != "running"][:-_PLAYS_KEPT]:
            del self._plays[old]
        return play

    async def _run(self, play: Play, plans: Iterator[OrderPlan]) -> None:
        try:
            await play.player.play(plans, concurrency=play.order.concurrency)
            play.state = "done"
        except Exception as problem:  # noqa: BLE001 - whatever broke the play belongs into its report
            play.state = "failed"
            play.problem = repr(problem)
        finally:
            play.took = self.clock.monotonic() - play.started_monotonic

    def _capture(self, payment_id: str, captured: int) -> None:
        self._trust.capture(payment_id, captured=captured, currency="RUB")

    def _play_of(self, request: web.Request) -> Play:
        play = self._plays.get(request.match_info["play_id"])
        if play is None:
            raise ControlError(404, "no such play")
        return play

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"items": [play.head() for play in self._plays.values()], "next_cursor": None})

    async def _get(self, request: web.Request) -> web.StreamResponse:
        play = self._play_of(request)
        return await _report(request, play, detail=request.query.get("detail", "true") != "false")

    async def _stop(self, request: web.Request) -> web.Response:
        play = self._play_of(request)
        await _stop_task(play)
        return web.json_response({"play_id": play.id, "state": play.state})


async def _report(request: web.Request, play: Play, *, detail: bool) -> web.StreamResponse:
    """Send the report in pieces: one of 10,000 orders in a single piece would hold up every other call for seconds."""
    response = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
    await response.prepare(request)
    head = json.dumps(play.head(), ensure_ascii=False)
    await response.write(f'{head[:-1]}, "orders": ['.encode())
    reports = list(play.player.reports)
    for start in range(0, len(reports), _ORDERS_A_PIECE):
        piece = reports[start : start + _ORDERS_A_PIECE]
        lines = (json.dumps(report.as_json(detail=detail), ensure_ascii=False) for report in piece)
        await response.write((",\n" if start else "").encode() + ",\n".join(lines).encode())
        await asyncio.sleep(0)
    await response.write(b"]}")
    await response.write_eof()
    return response


async def _stop_task(play: Play) -> None:
    if play.task is not None and not play.task.done():
        play.state = "stopped"  # first: whoever waits for the task reads it next
        play.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await play.task
