"""Mending an event says what the new body changes: before, in the answer and in the record the same, as the messages say it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.integration.orchestrator.conftest import Api, Gateway, Listener, Start
from tests.integration.orchestrator.factories import all_taken
from tests.support.servers import eventually

ANNA = {"name": "Анна Смирнова", "phone": "+7 916 123-45-67"}
MILK, BREAD = {"id": "a", "name": "Milk", "price": "85.00"}, {"id": "b", "name": "Bread", "price": "40.00"}
UNREADABLE = [{"id": "a", "quantity": "a few"}]
MENDED: dict[str, Any] = {
    "originalOrderId": "H1",
    "positions": [{**BREAD, "quantity": 3}],
    "customer": {"phone": "+7 495 000-00-00"},
    "comment": "Позвоните Смирновой",
    "deliveryWindow": "вечером",
    "replacementPolicy": "спросить Смирнову 8 916 123-45-67",
}
CLOSED = "The change came after the order had been closed; it was not applied, a person was called"


class Mending:
    """An order, one of whose events failed."""

    def __init__(self, api: Api, gateway: Gateway, database: Any, listener: Listener) -> None:
        self.api, self.gateway, self.database, self.listener = api, gateway, database, listener
        self.number, self.hooks = gateway.number("H1"), 0

    async def has(self, *events: tuple[str, int, Any]) -> str:
        """Have these hooks of the order carried out, each at its minute with its positions; return the id of the one that failed."""
        bodies: list[dict[str, Any]] = [{} if goods is None else {"positions": goods} for _, _, goods in events]
        bodies[0] |= {"customer": ANNA}
        hooks = [
            self.gateway.hook("H1", event, minute=minute, **body)
            for (event, minute, _), body in zip(events, bodies, strict=True)
        ]
        await self.gateway.send(*hooks)
        self.hooks = len(hooks)
        await all_taken(self.database, self.hooks)
        (failed,) = await self.api.all("/admin/v1/workflow-events?state=failed")
        return str(failed["id"])

    async def order(self) -> Any:
        """The order; but for what a job derives of its workflows."""
        return {name: held for name, held in (await self.api.order(self.number)).items() if name != "aggregate_state"}

    async def mend(self, event: str, **body: Any) -> Any:
        """Mend the event; return the answer."""
        path = f"/admin/v1/workflow-events/{event}/mend"
        status, answer = await self.api.call("POST", path, {"reason": "read by a person", **body}, role="operator")
        assert status == 200, answer
        return answer

    async def rehearsed_and_done(self, event: str, payload: Any) -> Any:
        """Rehearse it, which changes nothing, and do it; return what both say it does."""
        before = await self.order()
        planned = await self.mend(event, payload=payload, dry_run=True)
        assert await self.order() == before
        (failed,) = await self.api.all("/admin/v1/workflow-events?state=failed")
        assert failed["id"] == event
        done = await self.mend(event, payload=payload)
        assert (done["effect"], done["notices"]) == (planned["effect"], planned["notices"])
        await all_taken(self.database, self.hooks)
        return done["effect"]

    async def recorded(self) -> Any:
        """What the audit log says that mending changed."""
        (record,) = (await self.api.get("/admin/v1/audit?action=workflow_event.mend", role="admin"))["items"]
        return record["after"]["changes"]

    async def told(self, kind: str) -> Any:
        """The data of the last message of a type that the notifier gets."""
        found: list[Any] = []

        async def came() -> bool:
            for queue in ("notifier.orders", "notifier.alerts"):
                found.extend(event.data for event in await self.listener.take(queue) if event.type == kind)
            return bool(found)

        await eventually(came, what=kind)
        return found[-1]


@pytest.fixture
async def mending(start: Start, gateway: Gateway, database: Any, listener: Listener) -> Mending:
    """A running orchestrator."""
    return Mending(await start(), gateway, database, listener)


def goods(lines: Any) -> list[tuple[str, str, int]]:
    """Names, pieces and prices."""
    return [(line["name"], line["quantity"], line["price"]) for line in lines]


@pytest.mark.parametrize("ended", ["order.delivered", "order.cancelled"])
async def test_mending_an_event_of_a_closed_order_says_what_it_would_have_changed(mending: Mending, ended: str) -> None:
    failed = await mending.has(
        ("order.created", 1, [{**MILK, "quantity": 2}]), (ended, 2, None), ("order.changed", 3, UNREADABLE)
    )
    effect = await mending.rehearsed_and_done(failed, MENDED)
    difference = effect["difference"]
    assert (effect["summary"], effect["currency"], difference["changed"]) == (CLOSED, "RUB", [])
    assert (goods(difference["added"]), goods(difference["removed"])) == ([("Bread", "3", 4000)], [("Milk", "2", 8500)])
    assert {name: now for name, _, now in difference["fields"]} == {
        "comment": "Позвоните С***",
        "customer.phone": "***00",
        "delivery_window": "вечером",
        "replacement_policy": "спросить С*** 8 916 123-45-67",
        "total_price": "12000",
    }
    order = await mending.order()
    assert (goods(order["positions"]), order["comment"]) == ([("Milk", "2", 8500)], None)
    recorded = await mending.recorded()
    assert recorded["added"] == "b: 3 × 40.00"
    raised = await mending.told("alerts.problem.raised.v1")
    assert raised["details"] == {
        **raised["details"],
        **{
            key: text
            for key, text in recorded.items()
            if key not in {"summary", "delivery_window", "replacement_policy"}
        },
    }
    assert "Смирнов" not in orjson.dumps([effect, recorded]).decode()
    kept = orjson.dumps(recorded).decode()
    assert not any(secret in kept for secret in ("4950000000", "9161234567", "916 123", "вечером"))


async def test_mending_an_event_of_an_open_order_says_what_pickers_are_told(mending: Mending) -> None:
    failed = await mending.has(("order.created", 1, [{**MILK, "quantity": 2}]), ("order.changed", 3, UNREADABLE))
    effect = await mending.rehearsed_and_done(failed, MENDED)
    assert (effect["summary"], goods(effect["difference"]["added"])) == (
        "The order was changed",
        [("Bread", "3", 4000)],
    )
    assert effect["difference"] == (await mending.told("orders.order.changed.v1"))["difference"]
    kept = await mending.recorded()
    said = {name: kept[name] for name in ("comment", "delivery_window", "replacement_policy")}
    assert set(said.values()) == {"changed"}, "no customer's words are kept for ever"


async def test_a_mended_event_that_comes_late_says_what_the_order_comes_out_with(mending: Mending) -> None:
    failed = await mending.has(
        ("order.created", 1, [{**MILK, "quantity": 2}]),
        ("order.changed", 3, UNREADABLE),
        ("order.changed", 5, [{**MILK, "quantity": 9}]),
    )
    payload = {"originalOrderId": "H1", "positions": [{**BREAD, "quantity": 3}], "comment": "у двери"}
    effect = await mending.rehearsed_and_done(failed, payload)
    assert effect["difference"] == {
        "added": [], "removed": [], "changed": [], "fields": [["comment", None, "у двери"]],
    }  # fmt: skip
    order = await mending.order()
    assert (goods(order["positions"]), order["comment"]) == ([("Milk", "9", 8500)], "у двери")


async def test_a_mended_creation_says_which_goods_the_order_begins_with(mending: Mending) -> None:
    failed = await mending.has(("order.created", 1, UNREADABLE))
    planned = await mending.mend(failed, payload=MENDED, dry_run=True)
    assert planned["effect"]["summary"] == "The order was created"
    assert goods(planned["effect"]["difference"]["added"]) == [("Bread", "3", 4000)]


async def test_what_a_mended_event_does_is_told_of_a_stopped_workflow_too(mending: Mending) -> None:
    failed = await mending.has(("order.created", 1, [{**MILK, "quantity": 2}]), ("order.changed", 3, UNREADABLE))
    workflow = failed.partition("-")[0]
    stopped, _ = await mending.api.call("POST", f"/admin/v1/workflows/{workflow}/stop", {"reason": "wait"})
    assert stopped == 200
    planned = await mending.mend(failed, payload=MENDED, dry_run=True)
    assert (planned["notices"], goods(planned["effect"]["difference"]["removed"])) == ([], [("Milk", "2", 8500)])
