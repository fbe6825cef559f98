"""Many deliveries replayed and dismissed at once, by a filter and a plan, while others decide about the same ones."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import aio_pika

from common.contracts import intake
from common.contracts.intake import IntakeMessage
from common.ids import new_id, order_number
from common.messaging import topology
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer, hook_body, watched
from tests.support.bulk import MANY
from tests.support.servers import eventually

WHY = {"reason": "читаем это теперь"}
FILTER = {
    "source": "sbermarket",
    "outcome": "quarantined",
    "undecided": True,
    "from": "2026-01-01T00:00:00Z",
    "reason": "currency",
}


async def quarantined(amqp_url: str, count: int) -> None:
    """Publish what the release before has put into quarantine though this one can read it, as it did."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        exchange = await (await connection.channel()).get_exchange("intake")
        for number in range(count):
            name = f"Q{number}"
            hook = IntakeMessage(
                type=intake.HOOK_QUARANTINED,
                event_id=f"e-{name}",
                delivery_id=new_id(),
                source="sbermarket",
                event="order.created",
                body_form="envelope",
                body=json.dumps(hook_body(order=name)).encode(),
                received_at=datetime.now(UTC),
                replica="gw-0",
                number=order_number("sbermarket", name),
                external_id=name,
                reason="currency:payload.currency",
                status=200,
            )
            await exchange.publish(aio_pika.Message(hook.encode()), routing_key=hook.type)


async def undecided(gateway: Gateway) -> list[str]:
    """The ids of what waits for a decision."""
    ids: list[str] = []
    cursor = ""
    while True:
        page = await gateway.get(f"/admin/v1/deliveries?limit=200&undecided=true&outcome=quarantined{cursor}")
        ids += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            return ids
        cursor = f"&cursor={page['next_cursor']}"


async def test_many_are_replayed_as_planned_and_what_others_decided_is_left_alone(start: Start, amqp_url: str) -> None:
    async with start() as one, start("gw-2") as other, watched(amqp_url, topology.ORCHESTRATOR_INTAKE) as arrived:
        await quarantined(amqp_url, MANY)

        async def all_there() -> list[str]:
            ids = await undecided(one)
            return ids if len(ids) == MANY else []

        ids = await eventually(all_there, what="all in quarantine")
        status, planned = await one.change(
            "/admin/v1/deliveries/replay", {**WHY, "filter": FILTER, "limit": MANY, "dry_run": True}
        )
        assert (status, planned["matched"], planned["more"]) == (200, MANY, False)
        assert Counter(item["outcome"] for item in planned["items"]) == {"replayed": MANY}
        assert len(await undecided(one)) == MANY

        fifth, half = MANY // 5, MANY // 2
        dismissed, sent, mended = ids[:fifth], ids[fifth : 2 * fifth], ids[2 * fifth : half]
        _, done = await other.change("/admin/v1/deliveries/dismiss", {**WHY, "ids": dismissed})
        assert Counter(item["outcome"] for item in done["items"]) == {"dismissed": fifth}
        await other.change("/admin/v1/deliveries/replay", {**WHY, "ids": sent})
        for delivery in mended:
            body = {**WHY, "body": hook_body(order=delivery)}
            assert (await other.change(f"/admin/v1/deliveries/{delivery}/replay", body))[0] == 200

        applied = {**WHY, "plan": planned["plan"]}

        async def apply(gateway: Gateway) -> Any:
            """The second waits for the first; where that takes longer than a statement may, it is told to ask again."""

            async def answered() -> Any:
                status, answer = await gateway.change("/admin/v1/deliveries/replay", applied)
                return answer if status == 200 else None

            return await eventually(answered, within=240, what="the plan's answer")

        answers = await asyncio.gather(apply(one), apply(other))
        outcomes = {item["id"]: item["outcome"] for item in answers[0]["items"]}
        assert outcomes == dict.fromkeys(ids[:half], "changed_since") | dict.fromkeys(ids[half:], "replayed")
        assert answers[0]["items"] == answers[1]["items"]
        hooks = [IntakeMessage.from_envelope(event) for event in await arrived(MANY - fifth)]
        origins = Counter((hook.reason or "").removeprefix("replay:") for hook in hooks)
        assert origins == Counter(ids[fifth:])
        assert await undecided(other) == []
        assert await audited(one) == {"delivery.dismiss": fifth, "delivery.replay": MANY - fifth}


async def audited(gateway: Gateway) -> Counter[str]:
    """How often each action stands in the audit log."""
    actions: Counter[str] = Counter()
    cursor = ""
    while True:
        page = await gateway.get(f"/admin/v1/audit?limit=200{cursor}")
        actions.update(item["action"] for item in page["items"])
        if page["next_cursor"] is None:
            return actions
        cursor = f"&cursor={page['next_cursor']}"


async def test_each_delivery_of_a_bulk_decision_is_judged_alone(start: Start) -> None:
    async with start() as gateway:
        await gateway.send(hook_body(order="H1"))
        await gateway.send(hook_body(order="H2", positions="none"))
        await gateway.send(hook_body(order="H3", positions="none"))
        good, broken, decided = (item["id"] for item in await gateway.deliveries(3))
        await gateway.change(f"/admin/v1/deliveries/{decided}/dismiss", WHY)
        absent = new_id()
        status, done = await gateway.change(
            "/admin/v1/deliveries/replay", {**WHY, "ids": [good, broken, decided, absent]}
        )
        assert (status, [(item["outcome"], item["code"]) for item in done["items"]]) == (
            200,
            [("replayed", None), ("refused", "unprocessable"), ("refused", "conflict"), ("not_found", "not_found")],
        )
        sent, *others = done["items"]
        assert [item["delivery_id"] for item in others] == [None] * 3

        async def recorded() -> Any:
            return await gateway.get(f"/admin/v1/deliveries/{sent['delivery_id']}")

        again = await eventually(recorded, what="the delivery that it was sent as")
        assert (again["replay_of"], again["number"], again["event"]) == (good, sent["number"], sent["event"])
        status, done = await gateway.change("/admin/v1/deliveries/dismiss", {**WHY, "ids": [good, broken, decided]})
        assert [item["outcome"] for item in done["items"]] == ["refused", "dismissed", "refused"]
        found = [(await gateway.get(f"/admin/v1/deliveries/{name}"))["decision"] for name in (good, broken, decided)]
        assert [*found, again["decision"]] == ["replayed", "dismissed", "dismissed", None]


async def test_a_bulk_decision_takes_what_the_list_takes_and_nothing_else(start: Start) -> None:
    async with start() as gateway:
        await gateway.send(hook_body(order="H1", positions="none", customer={"name": "Анна", "phone": "89161234567"}))
        await gateway.deliveries(1)
        for wanted, outcomes in (
            ({"q": "916 123-45-67"}, ["dismissed"]),
            ({"q": "Мария"}, []),
            ({"external_id": "H1", "event": "order.created"}, ["dismissed"]),
            ({"order": "H1", "reason": "not_a_list"}, ["dismissed"]),
            ({"outcome": "confirmed"}, []),
        ):
            body: dict[str, Any] = {**WHY, "filter": wanted, "dry_run": True}
            _, done = await gateway.change("/admin/v1/deliveries/dismiss", body)
            assert (wanted, [item["outcome"] for item in done["items"]]) == (wanted, outcomes)
        for body in ({}, {"filter": {}}, {"filter": {"colour": "red"}}, {"ids": ["x"]}):
            assert (await gateway.change("/admin/v1/deliveries/dismiss", {**WHY, **body}))[0] == 422
        assert (await gateway.change("/admin/v1/deliveries/dismiss", {**WHY, "filter": {"q": " "}}))[0] == 422
        async with gateway.session.post(
            gateway.url + "/admin/v1/deliveries/replay", json={**WHY, "ids": [new_id()]}, headers=bearer("viewer")
        ) as answer:
            assert answer.status == 403
