"""Every change at the orchestrator: the messages that its rehearsal names are the ones that the notifier gets once it is carried out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest

from common.contracts.envelope import Envelope
from common.contracts.intake import IntakeMessage
from common.contracts.notices import notices_of, refund_notice
from tests.support.servers import eventually

WHY = {"reason": "the shop called"}
OVER = "alerts.problem.resolved.v1 of {}: who was told of it"
CRASHED = "orders.workflow.crashed.v1 of {}: on call"
QUEUES = ("notifier.orders", "notifier.alerts")
TAKEN = "SELECT count(*) FROM workflow_event WHERE attributes->>'delivery_id' = ANY($1::text[])"
WAITING = """
SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM workflow_ready WHERE ready_at < clock_timestamp() + interval '2 seconds')
"""


class People:
    """What people are told, beside what changes say."""

    def __init__(self, api: Any, gateway: Any, database: Any, listener: Any) -> None:
        self.api, self.gateway, self.database, self.listener = api, gateway, database, listener

    async def sent(self, *hooks: IntakeMessage) -> None:
        """Have hooks carried out, and what is told of them forgotten."""
        await self.gateway.send(*hooks)
        names = [hook.delivery_id for hook in hooks]

        async def taken() -> bool:
            return bool(await self.database.fetchval(TAKEN, names) == len(names))

        await eventually(taken, what="hooks taken in")
        await self.told()

    async def told(self, *, least: int = 0) -> Counter[str]:
        """What the notifier was sent since it was asked last: so much at least, and nothing is left to be carried out."""
        found: list[str] = []

        async def quiet() -> bool:
            waits = await self.database.fetchval(WAITING)
            events: list[Envelope] = [event for queue in QUEUES for event in await self.listener.take(queue)]
            found.extend(notices_of([(event.type, event.encode()) for event in events]))
            return waits == 0 and len(found) >= least

        await eventually(quiet, what="nothing waits")
        return Counter(found)

    async def change(self, path: str, *, method: str = "POST", role: str = "operator", **body: Any) -> list[str]:
        """Rehearse a change and carry it out; return what both have named and people were told."""
        asked = {**WHY, **body}
        status, preview = await self.api.call(method, f"/admin/v1/{path}", {**asked, "dry_run": True}, role=role)
        assert status in (200, 202), preview
        assert await self.told() == Counter(), "a rehearsal tells nobody"
        plan = {"plan": preview["plan"]} if preview.get("plan") else {}
        status, done = await self.api.call(method, f"/admin/v1/{path}", {**asked, **plan}, role=role)
        assert status in (200, 202), done
        named = notices(preview)
        assert notices(done) == named
        assert await self.told(least=len(named)) == Counter(named), path
        return named

    async def order(self, name: str, *events: str, **more: Any) -> str:
        """An order that has come so far; its number."""
        goods = [self.gateway.position("a", 2), self.gateway.position("b", 1)]
        created = self.gateway.hook(name, "order.created", minute=1, positions=goods, **more)
        later = [self.gateway.hook(name, event, minute=minute) for minute, event in enumerate(events, 2)]
        await self.sent(created, *later)
        number: str = self.gateway.number(name)
        return number

    async def version(self, number: str) -> int:
        """The order's version."""
        return int((await self.api.order(number))["version"])

    async def life(self, number: str) -> int:
        """The id of its workflow."""
        (found,) = await self.api.all(f"/admin/v1/workflows?order_number={number}&kind=order_life")
        return int(found["id"])


def notices(answer: Any) -> list[str]:
    """What an answer names, or its items."""
    return answer["notices"] if "notices" in answer else [line for item in answer["items"] for line in item["notices"]]


def order_event(what: str, number: str, whom: str = "pickers and store") -> str:
    """The notice of an order's event."""
    return f"orders.order.{what}.v1 of {number}: {whom}"


@pytest.fixture
async def people(start: Any, gateway: Any, database: Any, listener: Any) -> People:
    """A running orchestrator that does not wait long for a creation."""
    return People(await start(parking_limit=0.2), gateway, database, listener)


async def test_orders_changed_by_hand_tell_what_was_named(people: People) -> None:
    paid = await people.order("P", "order.paid", payment={"method": "card", "id": "pay-1"})
    assert await people.change(f"orders/{paid}/refund", amount=100) == [refund_notice(paid)]
    assert await people.change(f"orders/{paid}/document/reissue") == []
    assert await people.change(f"orders/{paid}/recalculate") == []
    assert await people.change("orders/recalculate", ids=[paid]) == []
    cancelled = await people.change(f"orders/{paid}/cancel", expected_version=await people.version(paid))
    assert cancelled == [order_event("cancelled", paid), refund_notice(paid)]

    taken = await people.order("T", "order.paid", "order.received")
    at: dict[str, Any] = {"expected_version": await people.version(taken)}
    assert await people.change(f"orders/{taken}/correct", comment="ring twice", **at) == [order_event("changed", taken)]
    at = {"expected_version": await people.version(taken)}
    assert await people.change(f"orders/{taken}/deliver", **at) == [order_event("delivered", taken, "nobody")]

    flag: dict[str, Any] = {"enabled": True, "share": 5000, "role": "admin"}
    assert await people.change("flags/tips_service_shadow", method="PUT", **flag) == []
    assert await people.change("erasures", role="admin", order_number=taken) == []


async def test_workflows_that_go_on_tell_what_was_named(people: People, gateway: Any) -> None:
    number = await people.order("W")
    workflow = await people.life(number)
    for stop, resume in (
        ("workflows/stop", "workflows/resume"),
        (f"workflows/{workflow}/stop", f"workflows/{workflow}/resume"),
    ):
        which: dict[str, Any] = {} if str(workflow) in stop else {"ids": [workflow]}
        assert await people.change(stop, **which) == [f"orders.workflow.stopped.v1 of {number}: on call"]
        minute, quantity = (5, 3) if which else (6, 4)
        positions = [gateway.position("a", quantity)]
        await people.sent(gateway.hook("W", "order.changed", minute=minute, positions=positions))
        assert await people.change(resume, **which) == [OVER.format(number), order_event("changed", number)]

    # What came late makes untrue what was told.
    await people.change(f"workflows/{workflow}/stop")
    await people.sent(gateway.hook("W", "order.cancelled", minute=4))
    late = await people.change(f"workflows/{workflow}/resume")
    assert {OVER.format(number), order_event("cancelled", number), order_event("corrected", number)} < set(late)


async def test_ways_past_a_failed_event_tell_what_was_named(people: People, gateway: Any) -> None:
    bad = [{"id": "a", "quantity": "a few"}]
    number = await people.order("F")
    workflow = await people.life(number)
    await people.sent(
        gateway.hook("F", "order.changed", minute=3, positions=bad),
        gateway.hook("F", "order.changed", minute=4, positions=bad),
        gateway.hook("F", "order.changed", minute=5, positions=bad),
    )
    over, crashed = OVER.format(number), CRASHED.format(number)
    assert await people.change("workflows/retry", ids=[workflow]) == [crashed, crashed, crashed]
    good = {"originalOrderId": "F", "positions": [gateway.position("a", 7)]}
    assert await people.change(f"workflow-events/{workflow}-2/mend", payload=good) == [order_event("changed", number)]
    assert await people.change("workflow-events/skip", ids=[f"{workflow}-3"]) == []
    assert await people.change(f"workflow-events/{workflow}-4/skip") == [over]
    assert await people.change(f"workflow-events/{workflow}-1/reprocess") == []


async def test_what_never_comes_and_what_nobody_could_read_tell_what_was_named(people: People, gateway: Any) -> None:
    await gateway.send(gateway.hook("NEVER", "order.cancelled", minute=1))
    waits = people.gateway.number("NEVER")

    async def raised() -> bool:
        return [bool(item["alerted_at"]) for item in await people.api.all("/admin/v1/parked-orders")] == [True]

    await eventually(raised, what="somebody is told that it waits")
    await people.told()
    assert await people.change("parked-orders/give-up", ids=[waits]) == [OVER.format(waits)]

    hook = gateway.hook("L", "order.created", positions=[gateway.position("a", 1)])
    good = orjson.loads(hook.to_envelope().encode())
    bad = {name: held for name, held in good.items() if name != "externalid"}
    letters: list[Any] = []
    for name in ("one", "two"):
        await gateway.broker.publisher.publish(Envelope.model_validate({**bad, "id": name}))

    async def dead() -> bool:
        letters[:] = await people.api.all("/admin/v1/dead-letters?open=true")
        return len(letters) == 2

    await eventually(dead, what="two dead letters")
    await people.told()
    mended, other = letters
    created = order_event("created", hook.number or "")
    body = {**good, "id": mended["event_id"]}
    assert await people.change(f"dead-letters/{mended['id']}/mend", body=body) == [created]
    assert await people.change("dead-letters/dismiss", ids=[other["id"]]) == [OVER.format(hook.number), OVER_NO_ORDER]


OVER_NO_ORDER = "alerts.problem.resolved.v1: who was told of it"
