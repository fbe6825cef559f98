"""The marketplace player against a small gateway that answers, fails, hangs and hangs up."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from sandbox.testing import RunningSandbox, running_sandbox
from tests.support.clocks import SandboxClock

Plan = Callable[["Gateway", str, str], Awaitable[web.Response] | web.Response]
QUICK = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07]


class Gateway:
    """A gateway of two lines: the number is a function of the order's id; `plan` decides what is answered instead."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.plan = plan
        self.hooks: list[tuple[str, str]] = []
        self.bodies: dict[tuple[str, str], list[bytes]] = defaultdict(list)
        self.tokens: set[str | None] = set()
        self.traces: list[str | None] = []
        self.open = 0
        self.most_open_of_one_hook: Counter[tuple[str, str]] = Counter()
        self._open_hooks: Counter[tuple[str, str]] = Counter()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        raw = await request.read()
        envelope = json.loads(raw)
        hook = (envelope["payload"]["originalOrderId"], envelope["event_type"])
        self.hooks.append(hook)
        self.bodies[hook].append(raw)
        self.tokens.add(request.headers.get("Client-token"))
        self.traces.append(request.headers.get("traceparent"))
        self._open_hooks[hook] += 1
        self.most_open_of_one_hook[hook] = max(self.most_open_of_one_hook[hook], self._open_hooks[hook])
        try:
            await asyncio.sleep(0.005)
            if self.plan is None:
                return self.accept(*hook)
            answer = self.plan(self, *hook)
            return answer if isinstance(answer, web.Response) else await answer
        finally:
            self._open_hooks[hook] -= 1

    def accept(self, order: str, event: str) -> web.Response:
        status = "created" if event == "order.created" else "ok"
        body = {"status": status, "number": f"N-{order}"}
        return web.json_response(body, headers={"X-Request-Id": "r1", "traceparent": "00-1-2-01"})

    def events_of(self, order: str) -> list[str]:
        return [event for known, event in self.hooks if known == order]

    def times(self, order: str, event: str) -> int:
        return self.hooks.count((order, event))


@asynccontextmanager
async def gateway(plan: Plan | None = None) -> AsyncIterator[Gateway]:
    served = Gateway(plan)
    app = web.Application()
    app.router.add_post("/hooks/v1/sbermarket", served.take)
    app.router.add_post("/sbermarket/orders/hook/", served.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield served
    finally:
        await runner.cleanup()


@pytest.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(marketplace_token="market", hook_schedule=QUICK) as running:
        yield running


async def play(sandbox: RunningSandbox, *gateways: Gateway, **order: Any) -> dict[str, Any]:
    return await sandbox.play(urls=[each.url for each in gateways], **order)


async def test_a_full_life_is_played_in_order_and_reported(sandbox: RunningSandbox) -> None:
    async with gateway() as served:
        report = await play(sandbox, served, orders=1, lifecycle="full", seed=3)
    [order] = report["orders"]
    life = [f"order.{event}" for event in ("created", "changed", "paid", "received", "delivered")]
    assert served.events_of(order["external_id"]) == order["sent"] == life
    assert [(answer["event"], answer["status"], answer["attempt"]) for answer in order["answers"]] == [
        (event, 200, 1) for event in life
    ]
    assert order["answers"][0]["body"] == {"status": "created", "number": f"N-{order['external_id']}"}
    assert (order["answers"][0]["request_id"], order["answers"][0]["traceparent"]) == ("r1", "00-1-2-01")
    assert (order["numbers"], order["repeats"], order["auto_cancelled"]) == ([f"N-{order['external_id']}"], 0, False)
    assert (order["expected"]["status"], order["expected"]["shipped"], order["violations"]) == ("delivered", True, [])
    assert served.tokens == {"market"}
    assert served.traces == [None] * 5
    assert [entry["operation"] for entry in await sandbox.log("marketplace")] == life


async def test_a_refused_hook_is_repeated_seven_times_and_then_the_order_is_cancelled() -> None:
    clock = SandboxClock()
    schedule = [1, 2, 4, 8, 16, 32, 64]
    async with (
        running_sandbox(clock=clock, hook_schedule=schedule) as sandbox,
        gateway(lambda *_: web.Response(status=503)) as served,
    ):
        report = await play(sandbox, served, orders=1, lifecycle="full")
    [order] = report["orders"]
    assert clock.slept == schedule
    assert served.events_of(order["external_id"]) == ["order.created"] * 8
    assert [answer["attempt"] for answer in order["answers"]] == list(range(1, 9))
    assert (order["repeats"], order["gave_up"], order["auto_cancelled"], order["expected"]) == (
        7,
        ["order.created"],
        True,
        None,
    )
    assert report["summary"]["auto_cancelled"] == 1


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500])
async def test_everything_but_a_2xx_is_repeated_until_accepted(sandbox: RunningSandbox, status: int) -> None:
    def plan(served: Gateway, order: str, event: str) -> web.Response:
        return served.accept(order, event) if served.times(order, event) > 3 else web.Response(status=status)

    async with gateway(plan) as served:
        report = await play(sandbox, served, orders=1, lifecycle="cancelled", seed=2)
    [order] = report["orders"]
    assert (order["auto_cancelled"], order["gave_up"], order["expected"]["status"]) == (False, [], "cancelled")
    assert [served.times(order["external_id"], event) for event in order["sent"]] == [4] * len(order["sent"])


async def test_no_answer_in_time_is_repeated_too(sandbox: RunningSandbox) -> None:
    async def plan(served: Gateway, order: str, event: str) -> web.Response:
        if served.times(order, event) == 1:
            await asyncio.sleep(5)
        return served.accept(order, event)

    async with gateway(plan) as served:
        report = await play(sandbox, served, orders=1, lifecycle="cancelled", timeout_s=0.1)
    [order] = report["orders"]
    assert [(answer["status"], answer["error"]) for answer in order["answers"][:2]] == [(None, "timeout"), (200, None)]
    assert order["auto_cancelled"] is False


async def test_a_dead_gateway_cancels_every_order(sandbox: RunningSandbox) -> None:
    async with gateway() as served:
        url = served.url
    report = await sandbox.play(urls=[url], orders=3, schedule=[0, 0])
    assert [order["auto_cancelled"] for order in report["orders"]] == [True] * 3
    assert report["summary"]["answers"] == {"ClientConnectorError": 9}


async def test_a_later_hook_that_is_never_taken_is_given_up_and_the_next_is_sent(sandbox: RunningSandbox) -> None:
    def plan(served: Gateway, order: str, event: str) -> web.Response:
        return web.Response(status=500) if event == "order.paid" else served.accept(order, event)

    async with gateway(plan) as served:
        report = await play(sandbox, served, orders=1, lifecycle="full", schedule=[0, 0])
    [order] = report["orders"]
    assert (order["gave_up"], order["auto_cancelled"], order["certain"]) == (["order.paid"], False, False)
    assert served.events_of(order["external_id"])[-1] == "order.delivered"
    assert order["expected"]["status"] == "delivered"


async def test_duplicates_come_at_once_later_and_re_serialised(sandbox: RunningSandbox) -> None:
    async with gateway() as served:
        report = await play(sandbox, served, orders=30, duplicates=1.0, lifecycle="full", seed=5)
    assert report["summary"]["duplicates"] == report["summary"]["hooks"] == 150
    assert all(len(bodies) == 2 for bodies in served.bodies.values())
    assert all(json.loads(first) == json.loads(second) for first, second in served.bodies.values())
    assert any(first != second for first, second in served.bodies.values())
    assert max(served.most_open_of_one_hook.values()) == 2
    kinds = Counter(answer["delivery"] for order in report["orders"] for answer in order["answers"])
    assert kinds.keys() == {"original", "same_time", "after", "late"}
    assert all(len(order["numbers"]) == 1 for order in report["orders"])


async def test_shuffled_orders_arrive_out_of_order_with_true_time_stamps(sandbox: RunningSandbox) -> None:
    async with gateway() as served:
        report = await play(sandbox, served, orders=20, shuffle=1.0, lifecycle="full", seed=5)
    assert Counter(order["mode"] for order in report["orders"]).keys() == {"shuffled", "at_once"}
    for order in report["orders"]:
        arrived = served.events_of(order["external_id"])
        stamps = {event: json.loads(served.bodies[order["external_id"], event][0])["timestamp"] for event in arrived}
        true_order = sorted(stamps, key=lambda event: stamps[event])
        assert true_order == [f"order.{event}" for event in ("created", "changed", "paid", "received", "delivered")]
        assert order["sent"] != true_order
        if order["mode"] == "shuffled":
            assert arrived == order["sent"]
        assert order["expected"]["status"] == "delivered"


async def test_the_same_seed_prefix_and_start_send_the_same_bytes(sandbox: RunningSandbox) -> None:
    order = {"orders": 10, "seed": 9, "id_prefix": "A", "started_at": "2026-11-21T10:00:00+03:00", "duplicates": 0.5}
    async with gateway() as first, gateway() as second:
        await play(sandbox, first, **order)
        await play(sandbox, second, **order, concurrency=1)
    assert {hook: sorted(bodies) for hook, bodies in first.bodies.items()} == {
        hook: sorted(bodies) for hook, bodies in second.bodies.items()
    }


async def test_two_plays_of_one_seed_are_different_orders(sandbox: RunningSandbox) -> None:
    async with gateway() as served:
        reports = [await play(sandbox, served, orders=3, seed=1, id_prefix=None) for _ in range(2)]
    ids = [order["external_id"] for report in reports for order in report["orders"]]
    assert len(set(ids)) == 6


async def test_replicas_take_turns(sandbox: RunningSandbox) -> None:
    async with gateway() as first, gateway() as second:
        await play(sandbox, first, second, orders=10, concurrency=1)
    assert abs(len(first.hooks) - len(second.hooks)) <= 1


async def test_payments_are_captured_at_trust_when_asked_for(sandbox: RunningSandbox) -> None:
    async with gateway() as served:
        report = await play(
            sandbox, served, orders=2, lifecycle="all_six", payments=True, path="/sbermarket/orders/hook/"
        )
    ledger = (await sandbox.control("GET", "/sandbox/trust/ledger"))["items"]
    assert [(payment["payment_id"], payment["captured"]) for payment in ledger] == [
        (order["payment_id"], order["expected"]["discount_total_minor"]) for order in report["orders"]
    ]
    assert [order["expected"]["status"] for order in report["orders"]] == ["cancelled", "cancelled"]
    assert [order["expected"]["shipped"] for order in report["orders"]] == [True, True]


async def test_a_lost_answer_makes_it_repeat_what_was_taken(sandbox: RunningSandbox) -> None:
    await sandbox.fault("marketplace", mode="lost_response", count=2, match="order.created")
    async with gateway() as served:
        report = await play(sandbox, served, orders=1, lifecycle="cancelled")
    [order] = report["orders"]
    assert [(answer["status"], answer["error"]) for answer in order["answers"][:3]] == [
        (None, "lost_response"),
        (None, "lost_response"),
        (200, None),
    ]
    assert served.times(order["external_id"], "order.created") == 3
    with pytest.raises(AssertionError, match="422"):
        await sandbox.fault("marketplace", mode="declined")


async def test_answers_against_the_contract_are_named(sandbox: RunningSandbox) -> None:
    numbers = iter(range(100))

    def plan(_: Gateway, __: str, event: str) -> web.Response:
        body: dict[str, Any] = {"status": "created", "number": next(numbers)}
        return web.json_response({} if event == "order.delivered" else body)

    async with gateway(plan) as served:
        report = await play(sandbox, served, orders=1, lifecycle="full")
    assert report["orders"][0]["violations"] == [
        "more than one number for one order",
        "order.changed answered with another status than ok",
        "order.paid answered with another status than ok",
        "order.received answered with another status than ok",
        "order.delivered answered without a number",
        "order.delivered answered with another status than ok",
    ]
    assert report["summary"]["violations"] == 1


async def test_a_play_can_be_watched_and_stopped(sandbox: RunningSandbox) -> None:
    gate = asyncio.Event()

    async def plan(served: Gateway, order: str, event: str) -> web.Response:
        await gate.wait()
        return served.accept(order, event)

    async with gateway(plan) as served:
        started = await play(sandbox, served, orders=5, wait=False, lifecycle="full")
        path = f"/sandbox/marketplace/plays/{started['play_id']}"
        running = await sandbox.control("GET", path)
        stopped_play = await play(sandbox, served, orders=1, wait=False)
        stopped = await sandbox.control("DELETE", f"/sandbox/marketplace/plays/{stopped_play['play_id']}")
        gate.set()
        async with asyncio.timeout(60):
            while (done := await sandbox.control("GET", f"{path}?detail=false"))["state"] == "running":  # noqa: ASYNC110 - there is no event to wait for across HTTP
                await asyncio.sleep(0.01)  # the other side is behind HTTP: there is no event to wait for
    assert (started["state"], running["state"], stopped["state"], done["state"]) == (
        "running",
        "running",
        "stopped",
        "done",
    )
    assert (done["summary"]["orders_done"], done["summary"]["accepted"]) == (5, 25)
    assert "answers" not in done["orders"][0]


async def test_many_orders_are_reported_whole(sandbox: RunningSandbox) -> None:
    async with gateway() as served:
        report = await play(sandbox, served, orders=250, duplicates=0.1, shuffle=0.2, concurrency=64)
    summary = report["summary"]
    assert (summary["orders_done"], summary["numbers"], summary["numbers_shared"]) == (250, 250, 0)
    assert summary["accepted"] == summary["attempts"] == len(served.hooks) == summary["hooks"] + summary["duplicates"]
    assert all(order["certain"] for order in report["orders"])


async def test_without_a_gateway_there_is_no_play(sandbox: RunningSandbox) -> None:
    with pytest.raises(AssertionError, match="409"):
        await sandbox.play(orders=1)
    with pytest.raises(AssertionError, match="422"):
        await sandbox.play(orders=0)
