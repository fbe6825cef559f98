"""An event that cannot be carried out fails alone, and everything leads past it over HTTP: retry, skip, mend, a good one in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from orchestrator.engine.model import WorkflowEvent
from orchestrator.orders.hooks import UnreadableHook, read_facts
from orchestrator.orders.model import OrderFact
from tests.integration.orchestrator.factories import all_taken
from tests.support.servers import eventually

UNREADABLE = [{"id": "a", "quantity": "a few"}]
WORKFLOW = "/admin/v1/workflows"
EVENT = "/admin/v1/workflow-events"


async def life_of(api: Any, number: str) -> Any:
    """The order's own workflow, with its events and what people did to it."""
    (found,) = await api.all(f"{WORKFLOW}?order_number={number}&kind=order_life")
    return await api.get(f"{WORKFLOW}/{found['id']}")


def states(workflow: Any) -> list[tuple[int, str, str]]:
    """Sequence, type and state of a workflow's events."""
    return [(item["seq"], item["type"].removeprefix("order."), item["state_name"]) for item in workflow["events"]]


async def alerts(listener: Any, count: int, said: list[str] | None = None) -> list[tuple[str, str]]:
    """Take so many crashes and ends of crashes that were published: which event, or which workflow. Exactly so many come.

    ``said`` gets what the ends say.
    """
    found: list[tuple[str, str]] = []

    async def enough() -> bool:
        orders, over = await listener.take("notifier.orders"), await listener.take("notifier.alerts")
        found.extend(("crashed", event.data["event"]) for event in orders if event.type == "orders.workflow.crashed.v1")
        found.extend(
            ("over", event.data["fingerprint"]) for event in over if event.type == "alerts.problem.resolved.v1"
        )
        if said is not None:
            said.extend(event.data["summary"] for event in over if event.type == "alerts.problem.resolved.v1")
        return len(found) >= count

    await eventually(enough, what=f"{count} crashes and ends")
    assert len(found) == count, found
    return sorted(found)


async def quantity(api: Any, number: str) -> str:
    """How much of the first position the order holds."""
    return str((await api.order(number))["positions"][0]["quantity"])


@pytest.fixture
async def poisoned(start: Any, gateway: Any, database: Any) -> tuple[Any, str]:
    """An order whose unreadable change was claimed together with the good events around it; the interface, and its number."""
    hooks = [
        gateway.hook("X", "order.created", minute=1, positions=[gateway.position("a", 2)]),
        gateway.hook("X", "order.changed", minute=2, positions=UNREADABLE),
        gateway.hook("X", "order.changed", minute=3, positions=[gateway.position("a", 4)]),
        gateway.hook("X", "order.paid", minute=4),
    ]
    await gateway.send(*hooks)
    api = await start()
    await all_taken(database, 4)
    return api, gateway.number("X")


async def test_good_events_before_and_after_an_unreadable_one_take_effect(
    poisoned: tuple[Any, str], listener: Any
) -> None:
    api, number = poisoned
    workflow = await life_of(api, number)
    name = f"{workflow['id']}-2"
    assert states(workflow) == [
        (1, "created", "done"),
        (2, "changed", "failed"),
        (3, "changed", "done"),
        (4, "paid", "done"),
    ]
    failure = workflow["events"][1]["failure"]
    assert (failure["code"], failure["attempts"], failure["ended_at"]) == ("unreadable_hook", 1, None)
    assert "a few" not in str(workflow)
    order = await api.order(number)
    assert (order["status"], order["positions"][0]["quantity"]) == ("paid", "4")
    assert (workflow["state"], workflow["state_name"], workflow["failed_events"], workflow["pending"]) == (
        4,
        "crashed",
        1,
        0,
    )

    async def derived() -> bool:
        assert (await api.order(number))["aggregate_state"] == "crashed"
        return True

    await eventually(derived)
    assert [item["number"] for item in await api.all("/admin/v1/orders?aggregate_state=crashed")] == [number]
    for state in ("crashed", "4"):
        assert [item["id"] for item in await api.all(f"{WORKFLOW}?state={state}")] == [workflow["id"]]
    assert workflow["id"] not in {item["id"] for item in await api.all(f"{WORKFLOW}?state=running")}
    assert [item["id"] for item in await api.all(f"{EVENT}?state=failed")] == [name]
    crashes: list[tuple[str, str, str]] = []

    async def told() -> bool:
        found = [
            event.data for event in await listener.take("notifier.orders") if event.type == "orders.workflow.crashed.v1"
        ]
        crashes.extend((crash["event"], crash["event_type"], crash["code"]) for crash in found)
        return bool(crashes)

    await eventually(told, what="a crash")
    assert crashes == [(name, "order.changed", "unreadable_hook")]


async def test_events_go_on_being_carried_out_and_the_failed_one_stays_out_of_the_fold(
    poisoned: tuple[Any, str], gateway: Any, database: Any
) -> None:
    api, number = poisoned
    late = gateway.hook("X", "order.changed", minute=2.5, positions=[gateway.position("a", 3)])
    await gateway.send(late, gateway.hook("X", "order.received", minute=9))
    await all_taken(database, 6)
    order = await api.order(number)
    assert (order["status"], order["positions"][0]["quantity"]) == ("received", "4")
    assert [state for _, _, state in states(await life_of(api, number))] == [
        "done",
        "failed",
        "done",
        "done",
        "done",
        "done",
    ]


async def test_a_skipped_event_never_takes_effect_and_its_incident_ends(
    poisoned: tuple[Any, str], gateway: Any, database: Any, listener: Any
) -> None:
    api, number = poisoned
    workflow = (await life_of(api, number))["id"]
    await alerts(listener, 1)
    path = f"{EVENT}/{workflow}-2/skip"
    assert (await api.call("POST", path, {"reason": "no customer wants it"}, role="viewer"))[0] == 403
    status, preview = await api.call("POST", path, {"reason": "a look first", "dry_run": True}, role="operator")
    assert (status, preview["event"]["state_name"], preview["workflow"]["state_name"]) == (200, "skipped", "running")
    crashed = await life_of(api, number)
    assert (crashed["state_name"], crashed["runbook"]) == ("crashed", "orchestrator-workflows-crashed")
    assert crashed["refusals"] == {"resume": "only a stopped one can be resumed"}
    [listed] = await api.all(f"/admin/v1/workflows?order_number={number}&state=crashed")
    assert listed["refusals"] == crashed["refusals"]
    key = {"Idempotency-Key": "skip-1"}
    first = await api.call("POST", path, {"reason": "no customer wants it"}, role="operator", headers=key)
    assert await api.call("POST", path, {"reason": "no customer wants it"}, role="operator", headers=key) == first
    event = first[1]["event"]
    assert (event["state"], event["failure"]["ended_by"], event["failure"]["ended_why"]) == (
        4,
        "operator",
        "no customer wants it",
    )
    again = await api.call("POST", path, {"reason": "once more"})
    assert (again[0], again[1]["code"], "skipped by operator" in again[1]["detail"]) == (409, "conflict", True)
    await all_taken(database, 4)
    ends: list[str] = []
    await alerts(listener, 1, ends)
    assert ends == ["operator skipped what had failed"]
    detail = await life_of(api, number)
    assert (detail["state_name"], detail["failed_events"], detail["error"]) == ("running", 0, None)
    assert (sorted(detail["refusals"]), detail["runbook"]) == (["resume", "retry"], None)
    assert [(act["action"], act["actor"], act["reason"]) for act in detail["acts"]] == [
        ("workflow_event.skip", "operator", "no customer wants it")
    ]
    story = await api.all(f"/admin/v1/orders/{number}/timeline")
    assert [(item["kind"], item["actor"]) for item in story if "skip" in item["kind"]] == [
        ("workflow_event.skip", "operator")
    ]
    await gateway.send(gateway.hook("X", "order.changed", minute=1.5, positions=[gateway.position("a", 9)]))
    await all_taken(database, 5)
    assert await quantity(api, number) == "4"


async def test_a_mended_event_takes_effect_at_its_own_place_and_time(
    start: Any, gateway: Any, database: Any, listener: Any
) -> None:
    api = await start()
    number = gateway.number("M")
    await gateway.send(
        gateway.hook("M", "order.created", minute=1, positions=UNREADABLE),
        gateway.hook("M", "order.changed", minute=5, positions=[gateway.position("a", 4)]),
        gateway.hook("M", "order.paid", minute=6),
    )
    await all_taken(database, 3)
    assert (await api.call("GET", f"/orders/v1/orders/{number}"))[0] == 404
    workflow = await life_of(api, number)
    assert states(workflow) == [(1, "created", "failed"), (2, "changed", "done"), (3, "paid", "done")]
    path = f"{EVENT}/{workflow['id']}-1/mend"
    wrong: list[dict[str, Any]] = [
        {"payload": {"originalOrderId": "M", "positions": UNREADABLE}},
        {"payload": {"originalOrderId": "SOMEBODY", "positions": [gateway.position("a")]}},
        {},
    ]
    for body in wrong:
        status, problem = await api.call("POST", path, {"reason": "mended by hand", **body})
        assert (status, problem["status"]) == (422, 422), body
    payload = {"originalOrderId": "M", "storeID": "17", "positions": [gateway.position("a", 2)]}
    status, answer = await api.call("POST", path, {"reason": "mended by hand", "payload": payload}, role="operator")
    assert (status, answer["event"]["state_name"], answer["appended"]["id"]) == (200, "mended", f"{workflow['id']}-4")
    assert answer["event"]["failure"]["replaced_by"] == f"{workflow['id']}-4"
    await all_taken(database, 3)
    order = await api.order(number)
    assert (order["status"], order["store_id"], order["positions"][0]["quantity"]) == ("paid", "17", "4")
    detail = await life_of(api, number)
    assert (detail["state_name"], [state for _, _, state in states(detail)]) == (
        "running",
        ["mended", "done", "done", "done"],
    )
    assert "a few" not in str(detail)
    assert [act["action"] for act in detail["acts"]] == ["workflow_event.mend"]
    found = await alerts(listener, 2)
    assert found == [("crashed", f"{workflow['id']}-1"), ("over", f"workflow:{workflow['id']}")]


async def test_a_retried_event_fails_again_as_the_same_event_and_may_then_be_skipped(
    poisoned: tuple[Any, str], database: Any, listener: Any
) -> None:
    api, number = poisoned
    workflow = (await life_of(api, number))["id"]
    for act in ("retry", "stop", "resume"):
        status, answer = await api.call("POST", f"{WORKFLOW}/{workflow}/{act}", {"reason": "let us see"})
        assert (status, answer["before"]["state_name"]) == (200, "stopped" if act == "resume" else "crashed"), act
        await all_taken(database, 4)
    detail = await life_of(api, number)
    assert (states(detail)[1], detail["events"][1]["failure"]["attempts"]) == ((2, "changed", "failed"), 3)
    assert await alerts(listener, 3) == [("crashed", f"{workflow}-2")] * 3  # no retry got past it, so nothing is over
    assert (await api.call("POST", f"{EVENT}/{workflow}-2/reprocess", {"reason": "wrong one"}))[0] == 409
    assert (await api.call("POST", f"{EVENT}/{workflow}-2/skip", {"reason": "enough"}))[0] == 200
    assert await alerts(listener, 1) == [("over", f"workflow:{workflow}")]
    for event in (f"{workflow}-1", f"{workflow}-9", "nonsense"):
        status, problem = await api.call("POST", f"{EVENT}/{event}/skip", {"reason": "wrong one"})
        assert status == (409 if event.endswith("-1") else 404), problem


async def test_what_crashes_again_says_once_after_whose_retry(
    poisoned: tuple[Any, str], database: Any, listener: Any
) -> None:
    api, number = poisoned
    workflow = (await life_of(api, number))["id"]
    status, answer = await api.call("POST", f"{WORKFLOW}/{workflow}/retry", {"reason": "let us see"})
    assert status == 200, answer
    await all_taken(database, 4)
    crashes: list[Any] = []

    async def both() -> bool:
        found = await listener.take("notifier.orders")
        crashes.extend(event.data for event in found if event.type == "orders.workflow.crashed.v1")
        return len(crashes) == 2

    await eventually(both, what="two crashes")
    row = await database.fetchrow("SELECT actor, at FROM audit_log WHERE action = 'workflow.retry'")
    assert [crash["retried_by"] for crash in crashes] == [None, row["actor"]]
    assert datetime.fromisoformat(crashes[1]["retried_at"]) == row["at"]
    line = await database.fetchrow(
        "SELECT count(*) OVER () AS lines, summary, details FROM timeline WHERE kind = 'workflow.crashed_again'"
    )
    said = f"The workflow crashed again after the retry of {row['actor']}"
    assert (line["lines"], line["summary"]) == (1, said)
    assert line["details"]["error"] == crashes[1]["error"]


@pytest.mark.parametrize("again", ["repeated", "replayed"])
async def test_a_good_hook_in_the_place_of_the_failed_one_supersedes_it(
    poisoned: tuple[Any, str], gateway: Any, database: Any, listener: Any, again: str
) -> None:
    api, number = poisoned
    workflow = await life_of(api, number)
    minute = 2.0 if again == "repeated" else 2.25
    good = gateway.hook("X", "order.changed", minute=minute, positions=[gateway.position("a", 3)])
    if again == "replayed":
        good = replace(good, reason=f"replay:{workflow['events'][1]['attributes']['delivery_id']}")
    await gateway.send(good)
    await all_taken(database, 5)
    detail = await life_of(api, number)
    assert [state for _, _, state in states(detail)] == ["done", "superseded", "done", "done", "done"]
    assert detail["events"][1]["failure"]["replaced_by"] == f"{workflow['id']}-5"
    assert (detail["state_name"], await quantity(api, number)) == ("running", "4")
    found = await alerts(listener, 2)
    assert found == [("crashed", f"{workflow['id']}-2"), ("over", f"workflow:{workflow['id']}")]


async def test_another_hook_of_the_same_type_supersedes_nothing(
    poisoned: tuple[Any, str], gateway: Any, database: Any
) -> None:
    api, number = poisoned
    await gateway.send(gateway.hook("X", "order.changed", minute=2.25, positions=[gateway.position("a", 3)]))
    await all_taken(database, 5)
    assert (await life_of(api, number))["failed_events"] == 1


async def test_a_good_created_supersedes_an_unreadable_one_whatever_its_time(
    start: Any, gateway: Any, database: Any
) -> None:
    api = await start()
    number = gateway.number("C")
    await gateway.send(gateway.hook("C", "order.created", minute=1, positions=UNREADABLE))
    await all_taken(database, 1)
    assert (await life_of(api, number))["state_name"] == "crashed"
    await gateway.send(gateway.hook("C", "order.created", minute=2, positions=[gateway.position("a", 2)]))
    await all_taken(database, 2)
    assert (await life_of(api, number))["state_name"] == "running"
    assert (await api.order(number))["aggregate_state"] == "in_progress"


async def test_an_order_that_ended_before_its_failed_event_was_skipped_is_finished_then(
    poisoned: tuple[Any, str], gateway: Any, database: Any
) -> None:
    api, number = poisoned
    await gateway.send(gateway.hook("X", "order.delivered", minute=9))
    await all_taken(database, 5)
    workflow = await life_of(api, number)
    assert (workflow["state_name"], (await api.order(number))["status"]) == ("crashed", "delivered")
    assert (await api.call("POST", f"{EVENT}/{workflow['id']}-2/skip", {"reason": "it was delivered"}))[0] == 200
    await all_taken(database, 5)
    assert (await life_of(api, number))["state_name"] == "finished"

    async def derived() -> bool:
        assert (await api.order(number))["aggregate_state"] == "finished"
        return True

    await eventually(derived)


async def test_of_people_who_skip_and_mend_one_event_at_once_one_is_heard(
    poisoned: tuple[Any, str], gateway: Any, database: Any, listener: Any
) -> None:
    api, number = poisoned
    workflow = (await life_of(api, number))["id"]
    await alerts(listener, 1)
    payload = {"positions": [gateway.position("a", 3)]}
    calls = [("skip", {}), ("mend", {"payload": payload}), ("skip", {}), ("mend", {"payload": payload})]
    answers = await asyncio.gather(
        *(api.call("POST", f"{EVENT}/{workflow}-2/{act}", {"reason": "me first", **body}) for act, body in calls)
    )
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409]
    await all_taken(database, 4)
    await alerts(listener, 1)
    detail = await life_of(api, number)
    assert (len(detail["acts"]), detail["failed_events"], len(detail["events"]) - 4) == (
        1, 0, int(detail["acts"][0]["action"] == "workflow_event.mend"),
    )  # fmt: skip
    assert await quantity(api, number) == "4"


@pytest.mark.parametrize("parked", [True, False])
async def test_what_a_stricter_release_cannot_read_again_harms_no_good_event(
    start: Any, gateway: Any, database: Any, monkeypatch: pytest.MonkeyPatch, parked: bool
) -> None:
    """A parked event fails itself; one that took effect stays, and the late event that asks for it again fails."""

    def stricter(events: Sequence[WorkflowEvent], currency: str | None = None) -> list[OrderFact | UnreadableHook]:
        facts = read_facts(events, currency)
        return [
            UnreadableHook("stricter") if event.seq == 1 else fact for event, fact in zip(events, facts, strict=True)
        ]

    api = await start()
    number = gateway.number("S")
    created = gateway.hook("S", "order.created", minute=1, positions=[gateway.position("a", 2)])
    changed = gateway.hook("S", "order.changed", minute=3, positions=[gateway.position("a", 3)])
    late = gateway.hook("S", "order.changed", minute=2, positions=[gateway.position("a", 4)])
    first, *others = [changed, created, late] if parked else [created, changed, late]
    await gateway.send(first)
    await all_taken(database, 1)
    monkeypatch.setattr("orchestrator.orders.life.read_facts", stricter)
    for taken, hook in enumerate(others, 2):
        await gateway.send(hook)
        await all_taken(database, taken)
    failed = ["failed", "done", "done"] if parked else ["done", "done", "failed"]
    workflow = await life_of(api, number)
    assert [state for _, _, state in states(workflow)] == failed
    code = workflow["events"][failed.index("failed")]["failure"]["code"]
    assert (code, await quantity(api, number)) == (("unreadable_hook", "4") if parked else ("history_unreadable", "3"))
