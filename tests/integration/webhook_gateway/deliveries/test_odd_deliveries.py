"""Hooks that are answered with a yes and yet are not what they should be: a person hears of them."""

from __future__ import annotations

from typing import Any

import pytest

from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.envelope import parse
from common.messaging import topology
from tests.integration.webhook_gateway.conftest import Start, hook_body, watched


async def test_an_unknown_event_that_carries_an_orders_positions_is_a_problem(start: Start, amqp_url: str) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        for event in ("order.confirmed_by_store", "order.confirmed_by_store", "order.assembled"):
            assert (await gateway.send(hook_body(event)))[1] == {"status": "ignored"}
        assert (await gateway.send({"event_type": "courier.assigned", "payload": {"originalOrderId": "H1"}}))[0] == 200
        await gateway.deliveries(4)
        problems = [parse(event, ProblemRaisedV1) for event in await alerts(3)]
        assert {problem.kind for problem in problems} == {"hook.ignored_order"}
        assert len({problem.fingerprint for problem in problems}) == 2
        assert {problem.details["event"] for problem in problems} == {"order.confirmed_by_store", "order.assembled"}
        assert [problem.link for problem in problems] == [
            f"/d/{problem.details['delivery_id']}" for problem in problems
        ]


async def test_each_order_in_quarantine_is_a_problem_that_ends_when_it_is_decided(start: Start, amqp_url: str) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        for order in ("A", "A", "B"):
            assert (await gateway.send(hook_body(order=order, positions="none")))[0] == 200
        for _ in range(2):
            assert (await gateway.send({"event_type": "order.paid", "payload": {}}))[0] == 400
        kept = {item["id"]: item for item in await gateway.deliveries(5)}
        raised = [parse(event, ProblemRaisedV1) for event in await alerts(5)]
        assert len({problem.fingerprint for problem in raised}) == 3
        of = {problem.details["delivery_id"]: problem.fingerprint for problem in raised}
        ended: list[str] = []
        for place, name in enumerate(sorted(kept, key=lambda each: kept[each]["external_id"] or "")):
            act, body = (
                ("dismiss", {})
                if place % 2 == 0 or kept[name]["number"] is None
                else ("replay", {"body": hook_body(order="A")})
            )
            status, answer = await gateway.change(f"/admin/v1/deliveries/{name}/{act}", {"reason": "решено", **body})
            assert status == 200, answer
            ended.append(of[name])
        over = [parse(event, ProblemResolvedV1) for event in (await alerts(8))[-3:]]
        assert sorted(each.fingerprint for each in over) == sorted(set(ended))


@pytest.mark.parametrize(
    "stamp", ["yesterday", "99999-01-01T00:00:00Z", "17700101", -1e30, True, 10**23, {"at": [10**23]}]
)
async def test_a_time_that_nobody_can_read_is_told_once_a_source_and_the_hook_is_taken(
    start: Start, amqp_url: str, stamp: Any
) -> None:
    odd = {**hook_body(), "timestamp": stamp}
    async with start("gw-1") as first, start("gw-2") as second, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        for gateway in (first, second, first):
            assert (await gateway.send(odd))[0] == 200
        kept = await first.deliveries(3)
        assert [(item["sent_at"], item["outcome"]) for item in kept] == [(None, "confirmed")] * 3
        strict = {"path": "/hooks/v1/strict", "headers": {"Client-token": "strict-token"}}
        assert (await first.send(odd, **strict))[0] == 200  # type: ignore[arg-type]  # the two kinds of value
        problems = [parse(event, ProblemRaisedV1) for event in await alerts(2)]
        assert [(problem.kind, problem.source) for problem in problems] == [
            ("hook.time_unreadable", "sbermarket"),
            ("hook.time_unreadable", "strict"),
        ]
        assert [problem.link for problem in problems] == [
            f"/d/{problem.details['delivery_id']}" for problem in problems
        ]


@pytest.mark.parametrize("stamp", ["2026-11-21T10:00:00+03:00", "1770010112345", 1770010112, None])
async def test_a_time_that_can_be_read_or_is_absent_is_no_problem(start: Start, amqp_url: str, stamp: Any) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        assert (await gateway.send({**hook_body(), "timestamp": stamp}))[0] == 200
        await gateway.send(hook_body("order.assembled"))  # the next problem is this one's
        assert [parse(event, ProblemRaisedV1).kind for event in await alerts(1)] == ["hook.ignored_order"]
