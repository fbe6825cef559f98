"""The marketplace at work: sends each hook, waits five seconds, repeats seven times, cancels what it cannot place."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from sandbox.clock import Clock
from sandbox.faults import FaultMode, FaultPlan
from sandbox.log import Journal, kept_headers
from sandbox.marketplace.orders import Hook, OrderPlan
from sandbox.marketplace.report import AnswerSeen, OrderReport

_HANG_UP_S = 0.05
_BODY_KEPT = 500


@dataclass(frozen=True, slots=True)
class Route:
    """Where and how hooks are sent; `schedule` are the intervals before each repeat. Durations in seconds."""

    urls: tuple[str, ...]
    path: str
    token: str | None
    timeout_s: float
    schedule: tuple[float, ...]
    trace: bool


@dataclass(slots=True)
class Player:
    """Plays orders, several at a time; the hooks of one order follow each other unless its plan says otherwise.

    An order whose `created` was never accepted is cancelled by the marketplace itself: nothing more is sent for it.
    Any other hook that was never accepted is given up, and the next one is sent.
    """

    route: Route
    clock: Clock
    journal: Journal
    faults: FaultPlan
    capture: Callable[[str, int], None]
    reports: list[OrderReport] = field(default_factory=list)
    _sent: int = 0

    async def play(self, plans: Iterator[OrderPlan], *, concurrency: int) -> None:
        """Play every plan; returns when the last answer came or was given up."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(concurrency):
                group.create_task(self._work(session, plans))

    async def _work(self, session: aiohttp.ClientSession, plans: Iterator[OrderPlan]) -> None:
        for plan in plans:
            report = OrderReport(plan)
            self.reports.append(report)
            if plan.payment_id is not None:
                self.capture(plan.payment_id, plan.captured)
            await self._play_order(session, plan, report)
            report.done = True

    async def _play_order(self, session: aiohttp.ClientSession, plan: OrderPlan, report: OrderReport) -> None:
        hooks = [plan.hooks[index] for index in plan.sequence]
        if plan.mode == "at_once":
            await asyncio.gather(*(self._place(session, hook, report) for hook in hooks))
        else:
            for hook in hooks:
                await self._place(session, hook, report)
                if report.auto_cancelled:
                    return
        for hook in hooks:
            if hook.again == "late" and not report.auto_cancelled:
                await self._deliver(session, hook, hook.again_body, "late", report)

    async def _place(self, session: aiohttp.ClientSession, hook: Hook, report: OrderReport) -> None:
        """Send one hook, and its duplicate where it belongs; note what could not be placed."""
        if hook.again == "same_time":
            placed = any(
                await asyncio.gather(
                    self._deliver(session, hook, hook.body, "original", report),
                    self._deliver(session, hook, hook.again_body, "same_time", report),
                )
            )
        else:
            placed = await self._deliver(session, hook, hook.body, "original", report)
            if hook.again == "after":
                placed = await self._deliver(session, hook, hook.again_body, "after", report) or placed
        if placed:
            return
        report.gave_up.append(hook.event)
        if hook.event == "created":
            report.auto_cancelled = True

    async def _deliver(
        self, session: aiohttp.ClientSession, hook: Hook, body: bytes, delivery: str, report: OrderReport
    ) -> bool:
        """One delivery with its repeats; True once accepted."""
        for attempt, pause in enumerate((0.0, *self.route.schedule), start=1):
            if attempt > 1:
                await self.clock.sleep(pause)
            answer = await self._attempt(session, hook, body, delivery, attempt)
            report.answers.append(answer)
            if answer.accepted:
                return True
        return False

    async def _attempt(
        self, session: aiohttp.ClientSession, hook: Hook, body: bytes, delivery: str, attempt: int
    ) -> AnswerSeen:
        """One request. The replicas take turns, so that a repeat usually meets another one."""
        url = self.route.urls[self._sent % len(self.route.urls)] + self.route.path
        self._sent += 1
        headers = {"Content-Type": "application/json"}
        if self.route.token is not None:
            headers["Client-token"] = self.route.token
        if self.route.trace:
            headers["traceparent"] = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
        fault = self.faults.draw(f"POST {url} order.{hook.event} {delivery}")
        mode = fault.mode if fault is not None else None
        if fault is not None and mode is FaultMode.SLOW:
            await self.clock.sleep(fault.delay)
        limit = self.route.timeout_s
        if fault is not None and mode in (FaultMode.TIMEOUT, FaultMode.RESET):
            limit = _HANG_UP_S if fault.delay_s is None else fault.delay_s
        started = time.perf_counter()
        status: int | None = None
        text: Any = None
        error: str | None = None
        seen: dict[str, str] = {}
        try:
            async with asyncio.timeout(limit):
                async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                    raw = await response.read()
                    status, text, seen = response.status, _body(raw), kept_headers(response.headers)
        except TimeoutError:
            error = "timeout"
        except (aiohttp.ClientError, OSError) as problem:
            error = type(problem).__name__
        if mode is FaultMode.LOST_RESPONSE:
            status, text, error = None, None, "lost_response"
        self.journal.record(
            time=self.clock.now(),
            operation=f"order.{hook.event}",
            method="POST",
            path=url,
            headers=kept_headers(headers),
            request=body,
            status=status,
            answer=text,
            fault=mode.value if mode is not None else None,
            effect=status is not None and 200 <= status < 300,
        )
        return AnswerSeen(
            event=hook.event,
            delivery=delivery,
            attempt=attempt,
            status=status,
            body=text,
            seconds=time.perf_counter() - started,
            error=error,
            url=url,
            traceparent=seen.get("traceparent"),
            request_id=seen.get("x-request-id"),
        )


def _body(raw: bytes) -> Any:
    """An answer's body: JSON, else the start of its text."""
    try:
        return json.loads(raw)
    except ValueError:
        return raw[:_BODY_KEPT].decode("utf-8", "replace")
