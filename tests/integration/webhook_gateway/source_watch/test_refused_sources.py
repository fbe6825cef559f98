"""A source that was right before and is refused: noticed at the first refusal, with its order's countdown, until it is right again."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.envelope import Envelope, parse
from common.ids import order_number
from common.messaging import topology
from tests.integration.webhook_gateway.conftest import Gateway, Start, hook_body, watched
from tests.support.servers import eventually

WRONG = {"Client-token": "rotated-on-one-side"}


async def countdowns(gateway: Gateway, state: str) -> list[str]:
    """The orders whose countdown is in a state."""
    return [item["external_id"] for item in (await gateway.get(f"/admin/v1/countdowns?state={state}"))["items"]]


def problems(events: list[Envelope], kind: str) -> list[ProblemRaisedV1]:
    """The problems of a kind."""
    raised = [parse(event, ProblemRaisedV1) for event in events if event.type == ProblemRaisedV1.TYPE]
    return [problem for problem in raised if problem.kind == kind]


@pytest.mark.parametrize(
    ("source", "right", "wrong", "status"),
    [
        ("sbermarket", {"Client-token": "new-token"}, WRONG, 403),
        ("shop", {"Authorization": "Basic c2hvcDpzZWNyZXQ="}, {"Authorization": "Basic c2hvcDpvbGQ="}, 401),
        ("sbermarket", {"Client-token": "new-token"}, {}, 403),
    ],
)
async def test_the_first_refusal_raises_a_problem_that_ends_with_the_next_genuine_hook(
    start: Start,
    amqp_url: str,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    right: dict[str, str],
    wrong: dict[str, str],
    status: int,
) -> None:
    monkeypatch.setattr("webhook_gateway.source_watch.refused._QUIET", timedelta(seconds=1))
    path = f"/hooks/v1/{source}"
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        assert (await gateway.send(hook_body(order="A"), path=path, headers=right))[0] == 200
        body = hook_body(order="B", comment="a customer's own words")
        assert (await gateway.send(body, path=path, headers=wrong))[0] == status
        (problem,) = problems(await alerts(1), "source.refused")
        assert (problem.source, problem.severity, problem.order_number, problem.details) == (
            source,
            "critical",
            order_number(source, "B"),
            {
                "status": str(status),
                "external_id": "B",
                "digest": hashlib.sha256(json.dumps(body).encode()).hexdigest(),
            },
        )
        await eventually(lambda: _counts_down(gateway, "B"), what="the countdown of B")
        for _ in range(5):
            assert (await gateway.send(body, path=path, headers=wrong))[0] == status
        # The answer to a repeat with the right token ends both.
        assert (await gateway.send(body, path=path, headers=right))[0] == 200
        events = await alerts(2)
        assert len(problems(events, "source.refused")) == 1
        over = parse(events[-1], ProblemResolvedV1)
        assert over.fingerprint == problem.fingerprint

        async def answered() -> bool:
            return await countdowns(gateway, "answered") == ["B"]

        await eventually(answered, what="the countdown's end")
        assert len(await gateway.deliveries(2)) == 2


async def test_a_genuine_hook_of_a_signing_source_that_is_too_large_is_noticed(start: Start, amqp_url: str) -> None:
    key, path, now = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "/hooks/v1/kuper", datetime.now(UTC)

    def signed(body: str) -> dict[str, str]:
        stamp = str(int(now.timestamp()))
        return {"webhook-id": "m", "webhook-timestamp": stamp, "webhook-signature": key.sign("m", now, body)}

    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        small, large = (
            json.dumps(hook_body(order=name, comment=text)) for name, text in (("A", ""), ("B", "x" * 1024**2))
        )
        assert (await gateway.send(small.encode(), path=path, headers=signed(small)))[0] == 200
        assert (await gateway.send(large.encode(), path=path, headers=signed(large)))[0] == 413
        (problem,) = problems(await alerts(1), "source.refused")
        assert (problem.source, problem.order_number, problem.details["status"]) == (
            "kuper",
            order_number("kuper", "B"),
            "413",
        )
        await eventually(lambda: _counts_down(gateway, "B"), what="the countdown of B")


async def _counts_down(gateway: Gateway, order: str) -> bool:
    return await countdowns(gateway, "running") == [order]


async def test_a_source_that_never_was_right_and_what_reads_as_no_hook_raise_nothing(
    start: Start, amqp_url: str
) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        await gateway.send(hook_body(order="A"))
        refused: list[tuple[object, dict[str, Any]]] = [
            (hook_body(order="X"), {"path": "/hooks/v1/strict", "headers": WRONG}),
            ({"login": "admin"}, {"headers": {}}),
            (b"", {"headers": {}}),
            (hook_body(order="unknown"), {"path": "/hooks/v1/nobody", "headers": {}}),
        ]
        for body, where in refused:
            assert (await gateway.send(body, **where))[0] in (403, 404)
        # Everything before this one has been decided when it comes through.
        await gateway.send(hook_body(order="B"), headers=WRONG)
        events = await alerts(1)
        assert [problem.order_number for problem in problems(events, "source.refused")] == [
            order_number("sbermarket", "B")
        ]
        await eventually(lambda: _counts_down(gateway, "B"), what="the countdown of B alone")


async def test_an_order_that_we_know_names_its_source_at_whatever_address_it_comes(start: Start, amqp_url: str) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        await gateway.send(hook_body(order="A"))
        await gateway.deliveries(1)
        await gateway.send(hook_body("order.changed", "A"), path="/hooks/v1/sbermarkt", headers=WRONG)
        (problem,) = problems(await alerts(1), "source.refused")
        assert (problem.source, problem.order_number) == ("sbermarket", order_number("sbermarket", "A"))


async def test_two_replicas_that_refuse_at_once_raise_one_problem(start: Start, amqp_url: str) -> None:
    async with start("gw-1") as first, start("gw-2") as second, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        await first.send(hook_body(order="A"))
        await asyncio.gather(
            *(gateway.send(hook_body(order=f"R{n}"), headers=WRONG) for n in range(6) for gateway in (first, second))
        )

        async def all_count_down() -> bool:
            return len(await countdowns(first, "running")) == 6

        await eventually(all_count_down, what="six countdowns")
        assert len(problems(await alerts(1), "source.refused")) == 1


async def test_an_anonymous_flood_is_answered_and_counted(start: Start) -> None:
    async with start() as gateway:
        await gateway.send(hook_body(order="A"))
        for number in range(8):
            answers = await asyncio.gather(
                *(gateway.send(hook_body(order=f"F{number}-{n}"), headers=WRONG) for n in range(25))
            )
            assert {status for status, _, _ in answers} == {403}

        async def counted() -> bool:
            found = await gateway.get("/admin/v1/ledger")
            return (found["refused"], found["difference"]) == (200, 0)

        await eventually(counted, what="all of it in the ledger")
