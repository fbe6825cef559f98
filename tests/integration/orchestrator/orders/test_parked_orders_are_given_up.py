"""Orders whose ``created`` will never come: a person gives them up, audited; the incident ends and retention may have their events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from common.postgres import Database
from common.telemetry.metrics import new_registry
from orchestrator.engine.retention import Retention
from orchestrator.metrics import OrchestratorMetrics
from tests.integration.orchestrator.factories import all_taken
from tests.support.clocks import ManualClock
from tests.support.servers import eventually

GIVE_UP = "/admin/v1/parked-orders/give-up"
WHY = {"reason": "it is from before we went live"}


async def pruned(pool: Database) -> int:
    """How many events retention deletes once all that is there is old."""
    day = timedelta(days=1)
    retention = Retention(
        database=pool,
        keep_events=day,
        keep_timeline=400 * day,
        clock=ManualClock(datetime.now(UTC) + 2 * day),
        metrics=OrchestratorMetrics(new_registry()),
    )
    return (await retention()).events


async def waiting(api: Any, query: str = "") -> list[str]:
    """The orders that wait for their ``created``."""
    return [item["order_number"] for item in await api.all(f"/admin/v1/parked-orders{query}")]


async def test_an_order_from_before_go_live_is_given_up_and_its_incident_and_events_end(
    start: Any, gateway: Any, database: Any, listener: Any, pool: Database
) -> None:
    api = await start(parking_limit=0.2)
    number = gateway.number("BEFORE")
    await gateway.send(gateway.hook("BEFORE", "order.cancelled", minute=1))
    raised = (await listener.gather("notifier.alerts", 1))[0]
    assert (await waiting(api), await pruned(pool)) == ([number], 0)
    asked = (f"?order_number={number}", f"?order_number={gateway.number('OTHER')}")
    assert [await waiting(api, query) for query in asked] == [[number], []]
    body = {**WHY, "filter": {"hook": "order.cancelled"}}
    assert (await api.call("POST", GIVE_UP, body, role="viewer"))[0] == 403
    status, plan = await api.call("POST", GIVE_UP, {**body, "dry_run": True}, role="operator")
    assert (status, [item["id"] for item in plan["items"]], await waiting(api)) == (200, [number], [number])
    status, done = await api.call("POST", GIVE_UP, {**WHY, "plan": plan["plan"]}, role="operator")
    assert (status, [item["outcome"] for item in done["items"]]) == (200, ["given_up"])
    resolved = (await listener.gather("notifier.alerts", 1))[0]
    assert (resolved.type, resolved.data["fingerprint"]) == ("alerts.problem.resolved.v1", raised.data["fingerprint"])
    assert await waiting(api) == []
    (record,) = await api.all("/admin/v1/audit?action=parked_order.give_up")
    assert (record["target"], record["actor"], record["reason"]) == (f"order:{number}", "operator", WHY["reason"])
    (line,) = [
        item for item in await api.all(f"/admin/v1/orders/{number}/timeline") if item["kind"] == "parked_order.given_up"
    ]
    assert (line["actor"], line["details"]["reason"]) == ("operator", WHY["reason"])
    (workflow,) = await api.all(f"/admin/v1/workflows?order_number={number}")
    assert workflow["state_name"] == "finished"
    status, again = await api.call("POST", GIVE_UP, {**WHY, "ids": [number]}, role="operator")
    assert [item["outcome"] for item in again["items"]] == ["not_found"]
    assert (
        await eventually(lambda: pruned(pool), what="its event forgotten") == 1
    )  # passed over while somebody holds it

    # What comes later is parked anew and told anew, and a `created` after all makes an order of what is still kept.
    await gateway.send(gateway.hook("BEFORE", "order.received", minute=2))
    assert (await listener.gather("notifier.alerts", 1))[0].type == raised.type
    assert await waiting(api) == [number]
    await gateway.send(gateway.hook("BEFORE", "order.created", minute=0, positions=[gateway.position("a")]))
    assert (await listener.gather("notifier.alerts", 1))[0].type == resolved.type
    assert (await api.order(number))["status"] == "received"


async def test_an_order_comes_to_life_whose_created_comes_after_it_was_given_up(
    start: Any, gateway: Any, database: Any
) -> None:
    api = await start()
    number = gateway.number("LATE")
    await gateway.send(gateway.hook("LATE", "order.paid", minute=2, positions=[gateway.position("a", 3)]))
    await all_taken(database, 1)
    status, done = await api.call("POST", GIVE_UP, {**WHY, "ids": [number]}, role="operator")
    assert (status, done["items"][0]["outcome"]) == (200, "given_up")
    await gateway.send(gateway.hook("LATE", "order.created", minute=1, positions=[gateway.position("a", 2)]))
    await all_taken(database, 2)
    order = await api.order(number)
    assert (order["status"], order["positions"][0]["quantity"]) == ("paid", "3")


async def test_an_order_is_not_given_up_while_its_created_is_there_and_cannot_be_read(
    start: Any, gateway: Any, database: Any
) -> None:
    api = await start()
    number = gateway.number("BAD")
    await gateway.send(
        gateway.hook("BAD", "order.created", minute=1, positions=[{"id": "a", "quantity": "a few"}]),
        gateway.hook("BAD", "order.paid", minute=2),
    )
    await all_taken(database, 2)
    status, refused = await api.call("POST", GIVE_UP, {**WHY, "ids": [number]}, role="operator")
    assert (status, refused["items"][0]["outcome"], refused["items"][0]["code"]) == (200, "refused", "conflict")
    (workflow,) = await api.all(f"/admin/v1/workflows?order_number={number}")
    skip = f"/admin/v1/workflow-events/{workflow['id']}-1/skip"
    assert (await api.call("POST", skip, WHY, role="operator"))[0] == 200
    await all_taken(database, 2)

    async def given_up() -> bool:
        _, done = await api.call("POST", GIVE_UP, {**WHY, "ids": [number]}, role="operator")
        assert done["items"][0]["outcome"] == "given_up", done
        return True

    assert await eventually(given_up)
    assert await waiting(api) == []
