"""Hooks that are answered with a yes and yet are not what they should be: a person hears of them."""

from __future__ import annotations

from typing import Any

import pytest

from common.contracts.alerts import ProblemRaisedV1
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


@pytest.mark.parametrize("stamp", ["yesterday", "99999-01-01T00:00:00Z", "17700101", -1e30, True])
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


@pytest.mark.parametrize("stamp", ["2026-11-21T10:00:00+03:00", "1770010112345", 1770010112, None])
async def test_a_time_that_can_be_read_or_is_absent_is_no_problem(start: Start, amqp_url: str, stamp: Any) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        assert (await gateway.send({**hook_body(), "timestamp": stamp}))[0] == 200
        await gateway.send(hook_body("order.assembled"))  # the next problem is this one's
        assert [parse(event, ProblemRaisedV1).kind for event in await alerts(1)] == ["hook.ignored_order"]
