"""Every change of refunds: the messages that its rehearsal names are the ones that the notifier gets once it is carried out."""

from __future__ import annotations

from typing import Any

import aio_pika

from common.contracts import Envelope
from common.contracts.notices import notices_of, problem_over_notice, refund_notice
from tests.integration.refunds.factories import RefundsClient, Start, act, in_error_after_declines
from tests.support.servers import eventually
from tests.support.told import unlike

NUMBER = "7Q3M0V9XK2TDW8RC"
OVER = f"alerts.problem.resolved.v1 of {NUMBER}: who was told of it"
MONEY = refund_notice(NUMBER)


def raised(kind: str) -> str:
    """The notice of a problem."""
    return f"alerts.problem.raised.v1 ({kind}) of {NUMBER}: on call"


async def told(service: RefundsClient) -> list[str]:
    """What the notifier was sent since it was asked last, once nothing waits to be published."""

    async def published() -> bool:
        return not await service.fetch("SELECT 1 FROM outbox")

    await eventually(published, what="all is published")
    found: list[Envelope] = []
    connection = await aio_pika.connect(service.amqp_url)
    async with connection:
        channel = await connection.channel()
        for name in ("notifier.alerts", "notifier.refunds"):
            queue = await channel.get_queue(name)
            while message := await queue.get(no_ack=True, fail=False):
                found.append(Envelope.decode(message.body))
    return notices_of([(event.type, event.encode()) for event in found])


async def change(service: RefundsClient, path: str, *, until: str | None = None, **body: Any) -> list[str]:
    """Rehearse a change and carry it out; return what both have named and people were told. ``until``: the state that ends it."""
    before = await told(service)
    status, preview = await act(service, path, dry_run=True, **body)
    assert status == 200, preview
    assert (before, await told(service)) == (before, [])
    plan = {"plan": preview["plan"]} if preview.get("plan") else {}
    status, done = await act(service, path, **body, **plan)
    assert status == 200, done
    if until is not None:
        refund = done["refund"] if "refund" in done else done["items"][0]["refund"]
        await service.reaches(refund["id"], until)
    named: list[str] = notices(preview)
    assert notices(done) == named
    assert unlike(named, await told(service)) == [], path
    return named


def notices(answer: dict[str, Any]) -> list[str]:
    """What an answer names, or its items."""
    return answer["notices"] if "notices" in answer else [line for item in answer["items"] for line in item["notices"]]


async def test_ways_out_of_an_error_tell_what_was_named(start: Start) -> None:
    service = await start()
    refund = await in_error_after_declines(service)
    path = f"refunds/{refund['id']}"
    assert await change(service, f"{path}/check") == []
    at = {"expected_version": refund["version"]}
    assert await change(service, f"{path}/restart", until="ERROR", **at) == [
        MONEY,
        problem_over_notice(NUMBER),
    ]
    again = await change(service, "refunds/restart", until="ERROR", filter={"order": NUMBER})
    assert again == [MONEY, problem_over_notice(NUMBER)]
    at = {"expected_version": (await service.refund(refund["id"]))["version"]}
    assert await change(service, f"{path}/close", settled="given_up", until="CLOSED", **at) == [OVER]

    await service.sandbox.heal("trust")
    body = {"order_number": NUMBER, "payment_id": "pay-1", "amount": 100, "currency": "RUB", "business_key": "more"}
    asked = {**body, "reason": "two pieces were bad"}
    await told(service)
    answers = [
        await service.call("POST", "/refunds/v1/refunds", json=asked | {"dry_run": dry}) for dry in (True, False)
    ]
    assert [(status, answer["notices"]) for status, answer in answers] == [(202, [MONEY])] * 2
    await service.reaches(answers[1][1]["id"], "SUCCESS")
    assert await told(service) == []
    assert await change(service, "erasures", role="admin", order_number=NUMBER) == []


async def test_what_both_sides_disagree_about_tells_what_was_named(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000, polls=0)
    _, accepted = await service.request()
    await service.reaches(accepted["id"], "SUCCESS")
    [at_gateway] = service.sandbox.world.trust.money.refunds.values()
    at_gateway.status = "failed"
    assert await change(service, "reconciliation") == [raised("refund.reversed")]
    at_gateway.status = "success"
    assert await change(service, "reconciliation") == [raised("refund.difference")]
    assert await change(service, "reconciliation") == []  # it is known
    adopted = await change(service, f"differences/{await disagreement(service)}/adopt")
    assert sorted(adopted) == [OVER, OVER]  # of the reversal, and of the difference
    at_gateway.status = "failed"
    assert await change(service, f"refunds/{accepted['id']}/check") == [raised("refund.reversed")]
    at_gateway.status = "success"
    assert await change(service, "reconciliation") == [raised("refund.difference")]
    assert await change(service, f"differences/{await disagreement(service)}/acknowledge") == [OVER]


async def disagreement(service: RefundsClient) -> int:
    """The id of the one difference that is open."""
    [found] = (await service.call("GET", "/admin/v1/differences?open=true", role="viewer"))[1]["items"]
    return int(found["id"])
