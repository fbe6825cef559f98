"""Every change that people make, as a table: what it is done to, what is filled in, and how its effect is seen."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.case import Case, Fields, Proof
from tests.e2e.trouble import CUSTOMER, GATEWAY, NOTIFIER, ORCHESTRATOR, REFUNDS, Trouble
from tests.support.servers import eventually
from tests.support.suite_client import POSITIONS


def _one(service: str, path: str, holds: Callable[[Mapping[str, Any]], bool]) -> Proof:
    """The thing itself is as it should be."""

    async def look(trouble: Trouble, name: str, _: Mapping[str, Any]) -> bool:
        return holds(await trouble.client.get(service, path.format(name)))

    return look


def _gone(path: str, key: str) -> Proof:
    """A list of the orchestrator does not have it any more."""

    async def look(trouble: Trouble, name: str, _: Mapping[str, Any]) -> bool:
        page = await trouble.client.get(ORCHESTRATOR, path, limit=200)
        return name not in [str(item[key]) for item in page["items"]]

    return look


def _events(**states: int) -> Proof:
    """So many events of the workflow are in these states."""

    async def look(trouble: Trouble, name: str, _: Mapping[str, Any]) -> bool:
        page = await trouble.client.get(ORCHESTRATOR, "/admin/v1/workflow-events", workflow_id=name.partition("-")[0])
        return Counter(item["state_name"] for item in page["items"]) == Counter(states)

    return look


def _difference(field: str) -> Proof:
    return _one(REFUNDS, "/admin/v1/differences/{}", lambda found: found[field] is not None)


def _ticket(**fields: str) -> Proof:
    return _one(NOTIFIER, "/admin/v1/tickets/{}", lambda found: fields.items() <= found.items())


def _letter(service: str, state: str) -> Proof:
    """What cannot be read is given up again, as another letter; this one is decided."""
    return _one(service, "/admin/v1/dead-letters/{}", lambda found: found["state"] == state)


async def _decided(trouble: Trouble, name: str, _: Mapping[str, Any]) -> bool:
    page = await trouble.client.get(GATEWAY, "/admin/v1/deliveries", undecided="true", limit=200)
    return name not in [item["id"] for item in page["items"]]


def _own_test(order: Mapping[str, Any]) -> bool:
    return (order["state"], order["outcome"]) == ("closed", "own_test")


async def _refunded(trouble: Trouble, name: str, _: Mapping[str, Any]) -> bool:
    page = await trouble.client.get(REFUNDS, "/admin/v1/refunds", order=name)
    return [(item["amount"], item["state_name"]) for item in page["items"]] == [(8500, "SUCCESS")]


async def _reissued(trouble: Trouble, name: str, _: Mapping[str, Any]) -> bool:
    return await trouble.operator.document(name) == 2


async def _entered(trouble: Trouble, _: str, said: Mapping[str, Any]) -> bool:
    order = await trouble.client.get(ORCHESTRATOR, "/admin/v1/orders", q=said["number"])
    return [item["status"] for item in order["items"]] == ["created"]


async def _lifted(trouble: Trouble, _: str, said: Mapping[str, Any]) -> bool:
    page = await trouble.client.get(GATEWAY, "/admin/v1/order-limits", limit=200)
    return said["id"] not in [item["id"] for item in page["items"]]


async def _retried(trouble: Trouble, _: str, said: Mapping[str, Any]) -> bool:
    """The orchestrator names the person, once."""
    page = await trouble.client.get(ORCHESTRATOR, "/admin/v1/audit", target=f"workflow:{said['target']}", limit=50)
    return [(item["action"], item["actor"] != "notifier") for item in page["items"]] == [("workflow.retry", True)]


async def _told(trouble: Trouble, _: str, said: Mapping[str, Any]) -> bool:
    texts = [str(entry["request"].get("text", "")) for entry in await trouble.client.chat_log("telegram")]
    return any("can you read this?" in text for text in texts)


def _in(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).replace(microsecond=0).isoformat()


async def _good_change(trouble: Trouble, event: str) -> Fields:
    page = await trouble.client.get(ORCHESTRATOR, "/admin/v1/workflow-events", workflow_id=event.partition("-")[0])
    return {"payload": {"originalOrderId": page["items"][0]["attributes"]["external_id"], "positions": POSITIONS}}


async def _basket(trouble: Trouble, _: str) -> Fields:
    return {"body": trouble.basket()}


async def _phone(trouble: Trouble, _: str) -> Fields:
    return {"id": await trouble.banned_phone()}


async def _other_ticket(trouble: Trouble, _: str) -> Fields:
    return {"ticket": await trouble.ticket()}


async def _event(trouble: Trouble, _: str) -> Fields:
    payload = {"originalOrderId": f"entered-{secrets.token_hex(4)}", "positions": POSITIONS, "customer": CUSTOMER}
    return {"source": "sbermarket", "event_type": "order.created", "payload": payload}


async def _duty_of_another(trouble: Trouble, _: str) -> Fields:
    now = (await trouble.client.get(NOTIFIER, "/admin/v1/on-call"))["on_duty"]["id"]
    return {"person": "anna" if now == "oleg" else "oleg", "starts_at": _in(-0.1), "ends_at": _in(1)}


async def _an_order(trouble: Trouble, _: str) -> Fields:
    number = await trouble.order()

    async def told() -> bool:
        page = await trouble.client.get(NOTIFIER, "/admin/v1/notifications", order=number, limit=200)
        ended = {item["kind"] for item in page["items"] if item["state"] in ("sent", "not_told")}
        recorded = await trouble.client.get(GATEWAY, "/admin/v1/deliveries", number=number)
        return ended == {"order.created", "order.paid"} and len(recorded["items"]) > 1

    await eventually(told, what="an order of which everybody was told and each hook is recorded")
    return {"order_number": number}


async def _hook(trouble: Trouble, name: str) -> Fields:
    kept = await trouble.client.get(GATEWAY, f"/admin/v1/deliveries/{name}", role="operator")
    payload = {"originalOrderId": kept["external_id"], "positions": POSITIONS}
    return {"body": {"event_type": "order.created", "timestamp": _in(0), "payload": payload}}


async def _created(trouble: Trouble, _: str) -> Fields:
    now = _in(0)
    order = {
        "number": await trouble.order(),
        "source": "sbermarket",
        "external_id": "x",
        "version": 1,
        "status": "created",
    }
    whole = {**order, "closed_for_changes": False, "shipped": False, "updated_at": now}
    return {"patch": {"order": whole, "notify": False, "occurred_at": now}}


async def _entry(trouble: Trouble, _: str) -> Fields:
    line = {"service": "support", "kind": "note", "actor": "anna", "summary": "she called", "occurred_at": _in(0)}
    return {"patch": {"order_number": await trouble.order(), **line}}


async def _wanted(trouble: Trouble, _: str) -> Fields:
    number = await trouble.order()
    order = await trouble.client.get(ORCHESTRATOR, f"/orders/v1/orders/{number}", role="internal")
    refund = {"amount": 100, "currency": "RUB", "reason": "for a test", "business_key": f"{number}:mended"}
    return {"patch": {"order_number": number, "payment_id": order["payment"]["id"], **refund}}


async def _problem(_: Trouble, __: str) -> Fields:
    problem = {"kind": "mended", "severity": "info", "summary": "a letter was mended", "service": "tips"}
    return {"patch": {**problem, "fingerprint": f"mended:{secrets.token_hex(4)}", "occurred_at": _in(0)}}


_READABLE = {GATEWAY: _created, ORCHESTRATOR: _entry, REFUNDS: _wanted, NOTIFIER: _problem}
"""What makes the letter of a service readable."""


async def _silence(_: Trouble, __: str) -> Fields:
    return {"match": {"alert": [f"Silent{secrets.token_hex(4)}"]}, "ends_at": _in(1)}


async def _flag(_: Trouble) -> str:
    return "tips_service_shadow"


async def _kind(_: Trouble) -> str:
    return "dead_letter"


async def _defect_match(_: Trouble, __: str) -> Fields:
    return {"match": {"alert": [f"Defect{secrets.token_hex(4)}"]}, "development_ticket": "DEV-2"}


def _of_orders() -> Iterator[Case]:
    order: dict[str, Any] = {"make": Trouble.order}
    event, moment = {"event_id"}, {"workflow.updated_at"}
    yield Case(act="order recalculate", **order, seen="paid", repeatable=True)
    yield Case(
        act="order refund",
        **order,
        fields={"amount": 8500},
        known_later={"business_key"},
        seen="SUCCESS",
        proof=_refunded,
    )
    yield Case(act="order reissue", **order, seen="issued", proof=_reissued)
    yield Case(act="order cancel", **order, known_later=event, seen="cancelled")
    yield Case(act="order deliver", **order, known_later=event, seen="delivered")
    yield Case(
        act="order correct",
        make=Trouble.new_order,
        fields={"comment": "to the back door"},
        known_later=event,
        seen="created",
        proof=_one(ORCHESTRATOR, "/orders/v1/orders/{}", lambda order: order["comment"] == "to the back door"),
    )
    yield Case(act="order enter-event", fields=_event, known_later={"delivery_id"}, seen="done", proof=_entered)
    yield Case(
        act="parked give-up",
        make=Trouble.parked,
        seen="given_up",
        proof=_gone("/admin/v1/parked-orders", "order_number"),
    )
    yield Case(act="workflow stop", make=Trouble.running, known_later=moment, seen="stopped")
    yield Case(act="workflow resume", make=Trouble.stopped, known_later=moment, seen="waiting")
    yield Case(act="workflow retry", make=Trouble.crashed, known_later=moment, seen="crashed")
    appended = {"appended.recorded_at", *moment}
    yield Case(act="event reprocess", make=Trouble.done_event, known_later=appended, seen="done", proof=_events(done=2))
    yield Case(act="event skip", make=Trouble.failed_event, seen="skipped", proof=_events(done=1, skipped=1))
    yield Case(
        act="event mend",
        make=Trouble.failed_event,
        fields=_good_change,
        known_later={"event.failure.ended_at", *appended},
        seen="done",
        proof=_events(done=2, mended=1),
    )
    yield Case(
        act="flag set",
        make=_flag,
        fields={"enabled": True, "share": 5000},
        known_later={"updated_at"},
        role="admin",
        seen="switched_on",
        proof=_one(ORCHESTRATOR, "/admin/v1/flags/{}", lambda flag: (flag["enabled"], flag["share"]) == (True, 5000)),
    )


def _of_money() -> Iterator[Case]:
    failed: dict[str, Any] = {"make": Trouble.failed_refund}
    since = {"refund.state_since"}
    yield Case(act="refund restart", **failed, known_later=since, seen="ERROR")  # Trust declines it once more
    yield Case(act="refund check", **failed, seen="ERROR", repeatable=True)
    yield Case(act="refund close", **failed, fields={"settled": "outside"}, known_later=since, seen="CLOSED")
    strange: dict[str, Any] = {"make": Trouble.strange_refund}
    adopted = {
        "refund.id",
        "refund.business_key",
        "refund.created_at",
        "refund.state_since",
        "difference.adopted_as",
        "difference.over_at",
    }
    yield Case(
        act="difference adopt",
        **strange,
        fields=_an_order,
        known_later=adopted,
        seen="adopted",
        proof=_difference("adopted_as"),
    )
    yield Case(
        act="difference acknowledge",
        **strange,
        known_later={"difference.acknowledged_at"},
        seen="acknowledged",
        proof=_difference("acknowledged_by"),
    )


def _of_intake() -> Iterator[Case]:
    basket: dict[str, Any] = {"make": Trouble.endangered}
    yield Case(act="intake replay", make=Trouble.delivery, known_later={"detail", "delivery_id"}, seen="done")
    yield Case(act="intake dismiss", make=Trouble.quarantined, seen="dismissed", proof=_decided)
    yield Case(
        act="intake mend",
        make=Trouble.quarantined,
        fields=_hook,
        known_later={"delivery_id"},
        seen="done",
        proof=_entered,
    )
    yield Case(act="endangered mend", **basket, fields=_basket, seen="mended")
    own_test = _one(GATEWAY, "/admin/v1/endangered-orders/{}", _own_test)
    yield Case(act="endangered own-test", **basket, seen="closed", proof=own_test)
    yield Case(act="endangered resubmit", make=Trouble.resubmittable, seen="resubmitted")
    report = {"cause": "a basket in words", "remedy": "we called her back"}
    yield Case(act="endangered report", **basket, fields=report, known_later={"detail"}, seen="reported")
    yield Case(act="endangered close", **basket, seen="closed")
    yield Case(act="endangered call", **basket, fields={"reached": True}, known_later={"called_at"}, seen="called")
    yield Case(act="limits lift", fields=_phone, seen="lifted", proof=_lifted)


def _of_people() -> Iterator[Case]:
    alert: dict[str, Any] = {"make": Trouble.incident}
    ticket: dict[str, Any] = {"make": Trouble.ticket}
    yield Case(act="incident ack", **alert, seen="acknowledged")
    yield Case(act="incident resolve", **alert, seen="resolved")
    yield Case(act="incident comment", **alert, seen="commented")
    yield Case(
        act="incident recipe",
        make=Trouble.crash_told,
        fields={"name": "retry_workflow"},
        known_later={"would"},
        seen="crashed_again",
        proof=_retried,
    )
    request = {"summary": "The customer waits", "text": "since noon"}
    yield Case(act="ticket open", fields=request, known_later={"id", "key"}, seen="opened")
    yield Case(act="ticket comment", **ticket, fields={"text": "called her"}, known_later={"id"}, seen="commented")
    anna = {"assignee": "anna"}
    yield Case(act="ticket assign", **ticket, fields=anna, seen="assigned", proof=_ticket(**anna))
    yield Case(act="ticket summon", **ticket, known_later={"incident_id"}, seen="summoned")
    yield Case(act="ticket close", **ticket, seen="closed", proof=_ticket(state="closed"))
    yield Case(act="ticket link", **ticket, fields=_other_ticket, seen="linked")
    cause = {"summary": "Mend the cause"}
    yield Case(act="ticket development-ticket", **ticket, fields=cause, known_later={"id"}, seen="linked")
    yield Case(act="silence add", fields=_silence, known_later={"id"}, seen="silenced")
    yield Case(act="silence end", make=Trouble.silence, known_later={"after"}, seen="ended")
    yield Case(act="duty override", fields=_duty_of_another, known_later={"id"}, seen="in_the_roster")
    yield Case(act="duty undo", make=Trouble.override, seen="taken_back")
    yield Case(act="duty confirm", seen="confirmed")
    yield Case(act="alert-sender give-up", make=Trouble.alert_sender, seen="given_up")
    test = {"destination": "pickers-42", "text": "can you read this?"}
    yield Case(act="message test", fields=test, known_later={"notice_id"}, seen="sent", proof=_told)
    text = {"text": "Call the shop."}
    yield Case(act="instruction set", make=_kind, fields=text, known_later={"after.updated_at"}, seen="in_force")
    made = {"defect.id", "defect.created_at"}
    yield Case(act="known-defect add", fields=_defect_match, known_later=made, seen="known")
    yield Case(act="known-defect end", make=Trouble.known_defect, known_later={"defect.ended_at"}, seen="ended")


def _of_every_service() -> Iterator[Case]:
    for service in (GATEWAY, ORCHESTRATOR, REFUNDS, NOTIFIER):

        async def make(trouble: Trouble, service: str = service) -> str:
            return await trouble.dead_letter(service)

        letter: dict[str, Any] = {"service": service, "make": make}
        yield Case(
            act="dead-letter replay",
            **letter,
            of_the_first={"notices", "notices.0"},  # dead again, it keeps the problem open that the last one would end
            seen="dead_again",
            proof=_letter(service, "replayed"),
        )
        yield Case(act="dead-letter dismiss", **letter, seen="dismissed", proof=_letter(service, "dismissed"))
        mended: dict[str, Any] = {"fields": _READABLE[service], "seen": "handled", "proof": _letter(service, "mended")}
        yield Case(act="dead-letter mend", **letter, **mended)
        coming = {"by_kind.notices", "places"} if service == "notifier" else set()  # its order may have news meanwhile
        yield Case(
            act="customer erase", service=service, fields=_an_order, role="admin", seen="erased", known_later=coming
        )


CHANGES = (*_of_orders(), *_of_money(), *_of_intake(), *_of_people(), *_of_every_service())
