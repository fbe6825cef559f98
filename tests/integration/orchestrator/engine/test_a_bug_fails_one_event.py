"""A bug in a handler fails the one event that it strikes, after all its attempts; the events around it take effect, and retry ends it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from common.contracts.envelope import Envelope
from common.contracts.refunds import RefundStateChangedV1
from common.ids import new_id
from orchestrator.engine.model import TIMER, Claim, Outcome, WorkflowEvent
from tests.integration.orchestrator.factories import all_taken
from tests.support.servers import eventually

PRIVATE = "Anna Karenina lives here"
HANDLERS = {
    "order_life": "OrderLife",
    "update_transactions": "UpdateTransactions",
    "refund_request": "FollowRefund",
    "order_document": "IssueDocument",
}


TIMED = WorkflowEvent(type=TIMER, event_id="", attributes={}, payload=b"", received_at=datetime.now(UTC))
"""What a claim without events is carried out for."""


class Bug:
    """A mistake in one handler's code, which strikes some events until it is mended."""

    def __init__(self, strikes: Callable[[WorkflowEvent], bool]) -> None:
        self.strikes = strikes
        self.mended = False

    def into(self, handler: type[Any]) -> type[Any]:
        """Return the handler with the mistake in it."""
        bug = self

        class Mistaken(handler):  # type: ignore[misc]  # of any handler's class
            def run(self, claim: Claim, batch: Any) -> Outcome:
                if not bug.mended and any(map(bug.strikes, claim.events or (TIMED,))):
                    raise RuntimeError(PRIVATE)
                return super().run(claim, batch)  # type: ignore[no-any-return]  # of any handler

        return Mistaken


@pytest.fixture
def bug_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bug]:
    """A function that puts a bug into the handler of a kind, before the orchestrator is put together."""

    def put(kind: str, strikes: Callable[[WorkflowEvent], bool]) -> Bug:
        bug, name = Bug(strikes), f"orchestrator.app.{HANDLERS[kind]}"
        handler = getattr(__import__("orchestrator.app").app, HANDLERS[kind])
        monkeypatch.setattr(name, bug.into(handler))
        return bug

    return put


async def events_of(api: Any, number: str, kind: str, wanted: list[str]) -> int:
    """Wait until the events of an order's workflow of a kind are in these states; return the workflow's id."""

    async def there() -> int:
        found = await api.all(f"/admin/v1/workflows?order_number={number}&kind={kind}")
        assert len(found) == 1
        shown = await api.get(f"/admin/v1/workflows/{found[0]['id']}")
        assert [event["state_name"] for event in shown["events"]] == wanted
        return int(shown["id"])

    return await eventually(there, what=f"{kind}: {wanted}")


async def mended(api: Any, bug: Bug, number: str, kind: str, wanted: list[str]) -> dict[str, Any]:
    """Check what is said of the failed event, mend the bug, retry, and wait for the end; return the workflow as it was."""
    workflow = await events_of(api, number, kind, wanted)
    (crashed,) = await api.all("/admin/v1/workflows?state=crashed")
    assert (crashed["id"], crashed["kind"], crashed["failed_events"]) == (workflow, kind, 1)
    shown = await api.get(f"/admin/v1/workflows/{workflow}")
    (failed,) = [event for event in shown["events"] if event["state_name"] == "failed"]
    said = failed["failure"]
    assert (said["code"], said["attempts"], "RuntimeError" in said["error"]) == ("unexpected_error", 5, True)
    assert PRIVATE not in str(shown)
    bug.mended = True
    path, body = f"/admin/v1/workflows/{workflow}/retry", {"reason": "the bug is mended"}
    _, rehearsed = await api.call("POST", path, {**body, "dry_run": True})
    status, retried = await api.call("POST", path, body)
    assert (status, retried["notices"]) == (200, rehearsed["notices"])
    await events_of(api, number, kind, ["done"] * len(wanted))
    assert await api.all("/admin/v1/workflows?state=crashed") == []
    if kind == "order_life":  # of which a rehearsal knows what follows
        assert f"alerts.problem.resolved.v1 of {number}: who was told of it" in rehearsed["notices"]
    return dict(shown)


async def delivered_order(api: Any, gateway: Any, database: Any, name: str) -> str:
    """An order that was paid by card and delivered; its number."""
    await gateway.send(
        gateway.hook(name, "order.created", minute=1, positions=[gateway.position("a", 3)], payment={"id": "pay-1"}),
        gateway.hook(name, "order.paid", minute=2),
        gateway.hook(name, "order.delivered", minute=3),
    )
    await all_taken(database, 3)
    return str(gateway.number(name))


async def answered(gateway: Any, number: str, key: str, state: int, name: str, *, version: int) -> None:
    """The refunds service says what became of a refund."""
    message = RefundStateChangedV1(
        refund_id="r", order_number=number, payment_id="pay-1", business_key=key, state=state, state_name=name, version=version,
        attempt=1, amount=100, currency="RUB", reason="r", occurred_at=datetime.now(UTC),
    )  # fmt: skip
    envelope = Envelope.of(
        message, event_id=new_id(), source="/refunds", subject=number, time=datetime.now(UTC), traceparent=None
    )
    await gateway.broker.publisher.publish(envelope)


async def test_a_bug_in_the_life_of_orders_fails_one_hook(
    start: Any, gateway: Any, database: Any, bug_in: Callable[..., Bug]
) -> None:
    bug = bug_in("order_life", lambda event: event.type == "order.changed" and b'"quantity": 3' in event.payload)
    api = await start()
    number = gateway.number("L")
    await gateway.send(
        gateway.hook("L", "order.created", minute=1, positions=[gateway.position("a", 2)]),
        gateway.hook("L", "order.changed", minute=2, positions=[gateway.position("a", 3)]),
        gateway.hook("L", "order.changed", minute=3, positions=[gateway.position("b", 4)]),
        gateway.hook("L", "order.paid", minute=4),
    )
    await events_of(api, number, "order_life", ["done", "failed", "done", "done"])
    order = await api.order(number)
    assert (order["status"], [item["id"] for item in order["positions"]]) == ("paid", ["b"])
    await mended(api, bug, number, "order_life", ["done", "failed", "done", "done"])
    assert [item["id"] for item in (await api.order(number))["positions"]] == ["b"]


async def test_a_bug_in_the_sum_to_pay_fails_one_event(
    start: Any, gateway: Any, database: Any, bug_in: Callable[..., Bug]
) -> None:
    bug = bug_in("update_transactions", lambda event: event.type == "feedback.changed")
    api = await start()
    number = await delivered_order(api, gateway, database, "U")
    await events_of(api, number, "update_transactions", ["done"])
    status, _ = await api.call("POST", f"/orders/v1/orders/{number}/feedback-changed", {}, role="internal")
    assert status in {200, 202}
    await events_of(api, number, "update_transactions", ["done", "failed"])
    await gateway.send(gateway.hook("U", "order.paid", minute=5, positions=[gateway.position("a", 2)]))
    await events_of(api, number, "update_transactions", ["done", "failed", "done"])
    sums = await api.get(f"/admin/v1/orders/{number}/transactions")
    assert sums["sum_to_pay"] == 17000
    await mended(api, bug, number, "update_transactions", ["done", "failed", "done"])


async def test_a_bug_in_following_a_refund_fails_one_event(
    start: Any, gateway: Any, database: Any, bug_in: Callable[..., Bug]
) -> None:
    bug = bug_in("refund_request", lambda event: event.attributes.get("state_name") == "ERROR")
    api = await start()
    number = await delivered_order(api, gateway, database, "R")
    status, asked = await api.call("POST", f"/admin/v1/orders/{number}/refund", {"reason": "sour", "amount": 100})
    assert status == 202, asked
    for version, (state, name) in enumerate([(7, "ERROR"), (5, "SUCCESS")], 2):
        await answered(gateway, number, asked["business_key"], state, name, version=version)
        await events_of(api, number, "refund_request", ["done", "failed", "done"][:version])
    kinds = [item["kind"] for item in await api.all(f"/admin/v1/orders/{number}/timeline")]
    assert ("refund_request.done" in kinds, "refund_request.failed" in kinds) == (True, False)
    await mended(api, bug, number, "refund_request", ["done", "failed", "done"])
    (workflow,) = await api.all(f"/admin/v1/workflows?order_number={number}&kind=refund_request")
    assert workflow["state_name"] == "finished"


async def test_a_bug_in_issuing_a_document_fails_one_event(
    start: Any, gateway: Any, database: Any, bug_in: Callable[..., Bug]
) -> None:
    bug = bug_in("order_document", lambda event: event.attributes.get("reason") == "the buggy one")
    api = await start()
    number = await delivered_order(api, gateway, database, "D")
    await events_of(api, number, "order_document", ["done"])
    for reason in ("the buggy one", "a good one"):
        path = f"/admin/v1/orders/{number}/document/reissue"
        assert (await api.call("POST", path, {"reason": reason}))[0] == 202
    await events_of(api, number, "order_document", ["done", "failed", "done"])

    async def reasons() -> list[str]:
        found = await api.all(f"/admin/v1/orders/{number}/document/versions")
        return sorted(item["reason"] for item in found)

    assert await reasons() == ["a good one", "the order was closed"]
    await mended(api, bug, number, "order_document", ["done", "failed", "done"])
    assert await reasons() == ["a good one", "the buggy one", "the order was closed"]


@pytest.fixture
async def timer_failed(
    start: Any, gateway: Any, database: Any, bug_in: Callable[..., Bug]
) -> tuple[Any, Bug, str, Any]:
    """A refund that nobody answers: the timer which looks after it has failed. The interface, the bug, the order, the refund."""
    bug = bug_in("refund_request", lambda event: event.type == TIMER)
    api = await start(refund_answer_within=0.1)
    number = await delivered_order(api, gateway, database, "T")
    status, asked = await api.call("POST", f"/admin/v1/orders/{number}/refund", {"reason": "sour", "amount": 100})
    assert status == 202, asked
    await events_of(api, number, "refund_request", ["done", "failed"])
    return api, bug, number, asked


async def unanswered(api: Any, number: str) -> bool:
    """Whether a person was called because nobody answers."""
    kinds = [item["kind"] for item in await api.all(f"/admin/v1/orders/{number}/timeline")]
    return "refund_request.unanswered" in kinds


async def test_a_timer_that_fails_is_shown_and_retried_as_an_event(timer_failed: tuple[Any, Bug, str, Any]) -> None:
    api, bug, number, _ = timer_failed
    assert not await unanswered(api, number)
    shown = await mended(api, bug, number, "refund_request", ["done", "failed"])
    assert [event["type"] for event in shown["events"]] == ["refund.requested", TIMER]
    assert await unanswered(api, number)


async def test_an_event_takes_effect_behind_a_failed_timer_and_takes_its_place(
    timer_failed: tuple[Any, Bug, str, Any], gateway: Any
) -> None:
    api, _, number, asked = timer_failed
    await answered(gateway, number, asked["business_key"], 5, "SUCCESS", version=2)
    await events_of(api, number, "refund_request", ["done", "superseded", "done"])

    async def finished() -> bool:
        (workflow,) = await api.all(f"/admin/v1/workflows?order_number={number}&kind=refund_request")
        return (workflow["state_name"], workflow["failed_events"], workflow["error"]) == ("finished", 0, None)

    assert await eventually(finished)
    assert await api.all("/admin/v1/workflows?state=crashed") == []


async def test_a_timer_that_is_skipped_is_not_tried_again(
    timer_failed: tuple[Any, Bug, str, Any], gateway: Any
) -> None:
    api, bug, number, asked = timer_failed
    workflow = await events_of(api, number, "refund_request", ["done", "failed"])
    body = {"reason": "seen by a person"}
    assert (await api.call("POST", f"/admin/v1/workflow-events/{workflow}-2/mend", {**body, "payload": {}}))[0] == 409
    assert (await api.call("POST", f"/admin/v1/workflow-events/{workflow}-2/skip", body))[0] == 200
    bug.mended = True  # so that nothing but the skip keeps it from being tried
    await answered(gateway, number, asked["business_key"], 7, "ERROR", version=2)
    await events_of(api, number, "refund_request", ["done", "skipped", "done"])
    assert not await unanswered(api, number)
    assert await api.all("/admin/v1/workflows?state=crashed") == []


async def test_another_hook_of_the_same_second_does_not_end_what_a_bug_failed(
    start: Any, gateway: Any, database: Any, bug_in: Callable[..., Bug]
) -> None:
    bug = bug_in("order_life", lambda event: b"ring once" in event.payload)
    api = await start()
    goods = [gateway.position("a")]
    number = gateway.number("X")
    await gateway.send(gateway.hook("X", "order.created", minute=1, positions=goods))
    await gateway.send(gateway.hook("X", "order.changed", minute=2, positions=goods, comment="ring once"))
    await events_of(api, number, "order_life", ["done", "failed"])
    await gateway.send(gateway.hook("X", "order.changed", minute=2, positions=goods, shipmentMethod="by_courier"))
    workflow = await events_of(api, number, "order_life", ["done", "failed", "done"])
    bug.mended = True
    assert (await api.call("POST", f"/admin/v1/workflows/{workflow}/retry", {"reason": "the bug is mended"}))[0] == 200
    await events_of(api, number, "order_life", ["done", "done", "done"])
    order = await api.order(number)
    assert (order["comment"], order["shipment_method"]) == ("ring once", "by_courier")
