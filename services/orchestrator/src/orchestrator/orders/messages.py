"""Encodes what an order's life produces: messages for other services, lines of its timeline, events for its other workflows.

Order events are written as plain dictionaries and encoded once: this is the hot path, and validating each position of each event as a
model costs more than everything else in it. A test holds them against the models of ``common.contracts``, field by field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from common.contracts import alerts, orders
from common.ids import derived_id
from common.money import to_decimal_string
from common.reading import Line
from common.telemetry import mask_names, scrub_text
from orchestrator.engine.messages import SOURCE, encode_message, problem_over
from orchestrator.engine.model import SERVICE, Encoded, TimelineEntry, timeline_entry
from orchestrator.orders.decisions import Announcement
from orchestrator.orders.fold import TOTALS, Step
from orchestrator.orders.masks import masked, masked_address, masked_contact
from orchestrator.orders.model import Difference, HookType, Incident, IncidentKind, OrderFact, OrderState
from orchestrator.orders.store import encode_difference, encode_line, number_text
from orchestrator.orders.transitions import Act

_TYPES: Mapping[HookType, str] = {
    HookType.CREATED: orders.OrderCreatedV1.TYPE,
    HookType.CHANGED: orders.OrderChangedV1.TYPE,
    HookType.PAID: orders.OrderPaidV1.TYPE,
    HookType.RECEIVED: orders.OrderReceivedV1.TYPE,
    HookType.DELIVERED: orders.OrderDeliveredV1.TYPE,
    HookType.CANCELLED: orders.OrderCancelledV1.TYPE,
    HookType.CORRECTED: orders.OrderChangedV1.TYPE,
}
_WITH_DIFFERENCE = frozenset({HookType.CHANGED, HookType.PAID, HookType.CORRECTED})

_PROBLEMS: Mapping[IncidentKind, str] = {
    IncidentKind.CREATED_DIFFERS: "The order came again with another content; the first content was kept",
    IncidentKind.CHANGED_AFTER_CLOSING: "The order was changed after it had been closed for changes; the change was not applied",
    IncidentKind.RECEIVED_AFTER_CANCELLING: "The order was handed to a courier after it had been cancelled",
    IncidentKind.DELIVERED_AFTER_CANCELLING: "The order was delivered after it had been cancelled",
    IncidentKind.EMPTIED: "A hook has no goods, or a sum of nothing for goods that have prices; neither was taken",
    IncidentKind.CURRENCY_DIFFERS: "A hook names another currency than the order's; its goods and sums were not applied",
    IncidentKind.QUANTITY_MISSING: "A hook names a new position and not how many; its goods and sums were not applied",
}
_MOST_LINES = 10

ACTS: Mapping[Act, str] = {
    Act.CREATE: "The order was created",
    Act.CHANGE: "The order was changed",
    Act.PAY: "The final prices are known; the order is closed for changes",
    Act.RECEIVE: "The order was handed to the courier; its goods were written off",
    Act.DELIVER: "The order was delivered",
    Act.CANCEL: "The order was cancelled",
    Act.CORRECT: "The order was corrected by a person",
    Act.PARK: "The order is not known yet; the event waits for order.created",
    Act.ALREADY_CREATED: "A repeat of order.created; nothing to do",
    Act.ALREADY_PAID: "A repeat of order.paid with the same prices; nothing to do",
    Act.ALREADY_RECEIVED: "The order had been handed to the courier before; nothing to do",
    Act.ALREADY_DELIVERED: "The order had been delivered before; nothing to do",
    Act.ALREADY_CANCELLED: "The order had been cancelled before; nothing to do",
    Act.CHANGES_NOTHING: "The change changes nothing",
    Act.REPEATS_LATEST: "A repeat of the latest hook of this kind; nothing to do",
    Act.CREATED_DIFFERS: "order.created came again with another content; the first was kept, a person was called",
    Act.CHANGED_AFTER_CLOSING: "The change came after the order had been closed; it was not applied, a person was called",
    Act.RECEIVED_AFTER_CANCELLING: "A cancelled order was handed to a courier; nothing was changed, a person was called",
    Act.DELIVERED_AFTER_CANCELLING: "A cancelled order was delivered; nothing was changed, a person was called",
}
"""What an event did to its order, as its timeline has it."""


WORDS = frozenset({"comment", "replacement_policy", "delivery_window"})
"""What a customer or a shop may say in words."""


def announcement(
    item: Announcement, *, version: int, zone: str, tariff: str, now: datetime, traceparent: str | None
) -> Encoded:
    """Return the order event of an announcement. The same fact has the same id however often it is sent."""
    fact, order = item.fact, item.order
    kind = announced_type(item)
    data: dict[str, Any] = {
        "order": snapshot(order, version=version, zone=zone, tariff=tariff, updated_at=now),
        "notify": item.notify,
        "occurred_at": fact.moment,
    }
    if item.correction:
        data["difference"] = public_difference(item.difference, names_of(order))
        data["late_event"] = fact.hook
    elif fact.hook in _WITH_DIFFERENCE:
        data["difference"] = public_difference(item.difference, names_of(order))
    elif fact.hook is HookType.CANCELLED:
        data["slug"] = order.cancel_slug
        data["description"] = mask_names(order.cancel_description, names_of(order))
    event_id = derived_id(kind, order.number, fact.event_id)
    way = _way_of(fact)
    return kind, _encode(kind, data, event_id=event_id, subject=order.number, time=now, traceparent=traceparent, **way)


def _way_of(fact: OrderFact) -> dict[str, Any]:
    """Return the attributes that say when the gateway took the hook first, and if it was long on its way, until when and by which way.

    Of what a person entered they say that no hook came.
    """
    taken = fact.taken_at or fact.replayed_at
    acted = fact.actor is not None and fact.replayed_at is None
    way: dict[str, Any] = {"receivedat": fact.received_at}
    if taken is not None:
        way |= {"takenat": taken, "cameby": "person" if fact.replayed_at else "spool" if fact.spooled else "queue"}
    return way | {"cameby": "act"} if acted else way


def announced_type(item: Announcement) -> str:
    """Return the type of the order event of an announcement."""
    return orders.OrderCorrectedV1.TYPE if item.correction else _TYPES[item.fact.hook]


def public_difference(difference: Difference, names: Iterable[str | None] = ()) -> dict[str, Any]:
    """Return the contract's difference: what is a customer's is masked; of texts that whoever packs has to read, only ``names``."""
    document = encode_difference(difference)
    names = [*names, *(each for name, *both in difference.fields if name == "customer.name" for each in both)]

    def shown(name: str, value: str | None) -> str | None:
        return mask_names(value, names) if name in WORDS else masked(name, value)

    document["fields"] = [[name, shown(name, before), shown(name, after)] for name, before, after in difference.fields]
    return document


def names_of(order: OrderState) -> list[str | None]:
    """Return the names of customers that texts of the order are not to show."""
    return [] if order.customer is None else [order.customer.name]


def snapshot(order: OrderState, *, version: int, zone: str, tariff: str, updated_at: datetime) -> dict[str, Any]:
    """Return the contract's ``OrderSnapshot`` of a state: the customer masked, in the comment too."""
    window = order.delivery_window
    return {
        "number": order.number,
        "source": order.source,
        "external_id": order.external_id,
        "version": version,
        "status": order.status,
        "closed_for_changes": order.closed,
        "shipped": order.shipped,
        "store_id": order.store_id,
        "zone": zone,
        "tariff": tariff,
        "comment": mask_names(order.comment, names_of(order)),
        "shipment_method": order.shipment_method,
        "replacement_policy": mask_names(order.replacement_policy, names_of(order)),
        "currency": order.currency,
        "positions": [encode_line(line) for line in order.lines],
        "total_price": order.total_price,
        "total_discount_price": order.total_discount_price,
        "payment_method": order.payment_method,
        "payment_id": order.payment_id,
        "customer": None if order.customer is None else masked_contact(order.customer),
        "address": None if order.address is None else masked_address(order.address),
        "delivery_window": None
        if window is None
        else {"starts": window.starts, "ends": window.ends, "text": mask_names(window.text, names_of(order))},
        "updated_at": updated_at,
    }


def refund_requested(order: OrderState, *, now: datetime, traceparent: str | None) -> Encoded:
    """Return the request to give back all that was captured for a cancelled paid order."""
    key = f"{order.number}:cancel"
    message = orders.RefundWantedV1(
        order_number=order.number,
        payment_id=order.payment_id or "",
        amount=None,
        currency=order.currency,
        reason=order.cancel_slug or "order_cancelled",
        business_key=key,
        source=order.source,
    )
    return encode_message(message, key, subject=order.number, now=now, traceparent=traceparent)


def problem_raised(
    incident: Incident, order: OrderState, *, seq: int, zone: str, now: datetime, traceparent: str | None
) -> Encoded:
    """Return the alert of an incident, with the difference in words.

    ``seq`` is the workflow event that brought it up: an incident that was resolved and comes up again is another event.
    """
    message = alerts.ProblemRaisedV1(
        kind=incident.kind,
        severity="warning",
        fingerprint=problem_fingerprint(order.number, incident),
        summary=_PROBLEMS[incident.kind],
        details={
            "hook": incident.hook,
            "status": order.status,
            "sent_at": incident.moment.isoformat(),
            **in_words(incident.difference, order.currency),
        },
        service=SERVICE,
        order_number=order.number,
        source=order.source,
        store_id=order.store_id,
        zone=zone,
        occurred_at=now,
    )
    return encode_message(
        message, message.fingerprint, str(seq), subject=order.number, now=now, traceparent=traceparent
    )


def problem_resolved(
    incident: Incident, order: OrderState, *, seq: int, now: datetime, traceparent: str | None
) -> Encoded:
    """Return the end of an incident that a late, older event explained."""
    summary = "An older event arrived late and explains it"
    return problem_over(
        problem_fingerprint(order.number, incident),
        summary,
        str(seq),
        subject=order.number,
        now=now,
        traceparent=traceparent,
    )


def contact_found(order: OrderState, *, seq: int, now: datetime, traceparent: str | None) -> Encoded:
    """Return the end of the gateway's problem of a customer whom nobody could call or write to."""
    fingerprint = alerts.unreachable_fingerprint(order.number)
    summary = "The order has a contact now, or has ended"
    return problem_over(fingerprint, summary, str(seq), subject=order.number, now=now, traceparent=traceparent)


def problem_fingerprint(number: str, incident: Incident) -> str:
    """Return what makes events one problem."""
    return f"order:{number}:{incident.identity}"


def never_created_fingerprint(number: str) -> str:
    """Return what makes alerts about one parked order one problem."""
    return f"order:{number}:never_created"


def created_after_all(number: str, *, now: datetime) -> Encoded:
    """Return the end of the incident of a parked order whose ``created`` came after all."""
    fingerprint = never_created_fingerprint(number)
    return problem_over(fingerprint, "order.created arrived", subject=number, now=now, traceparent=None)


def act_entry(taken: Step, number: str, *, late: bool, now: datetime, traceparent: str | None) -> TimelineEntry:
    """Return the line that says what one event did; ``late``: it came after newer ones."""
    fact, after = taken.fact, taken.after
    details = {"hook": fact.hook, "act": taken.act, "event_id": fact.event_id, "hook_time": fact.moment.isoformat()}
    if after is not None:
        details["status"] = after.status
    if late:
        details["late"] = "true"
    if fact.why is not None:
        details["reason"] = scrub_text(fact.why)
    difference = taken.difference
    for name in ("added", "removed", "changed"):
        if count := len(getattr(difference, name)):
            details[f"positions_{name}"] = str(count)
    if difference.fields:
        details["fields"] = ", ".join(name for name, _, _ in difference.fields)
        details.update((name, _told(name, before, after)) for name, before, after in difference.fields)
    return timeline_entry(
        number,
        f"order.{taken.act}",
        ACTS[taken.act],
        now=now,
        traceparent=traceparent,
        actor=fact.actor or fact.source,
        details=details,
    )


def correction_entry(item: Announcement, *, now: datetime, traceparent: str | None) -> TimelineEntry:
    """Return the line about a correction: a late, older event made what was sent before untrue."""
    summary = "An older event arrived late; the order was worked out again and a correction was sent"
    details = {"late_event": item.fact.hook, "event_id": item.fact.event_id}
    return timeline_entry(
        item.order.number, "order.corrected", summary, now=now, traceparent=traceparent, details=details
    )


def refund_entry(order: OrderState, *, now: datetime, traceparent: str | None) -> TimelineEntry:
    """Return the line that says that money is to go back."""
    summary = "The order was paid and cancelled; a refund of everything captured was asked for"
    details = {"business_key": f"{order.number}:cancel"}
    return timeline_entry(order.number, "refund.wanted", summary, now=now, traceparent=traceparent, details=details)


def _encode(
    kind: str, data: dict[str, Any], *, event_id: str, subject: str, time: datetime, traceparent: str | None, **way: Any
) -> bytes:
    envelope = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": kind,
        "subject": subject,
        "time": time,
        "datacontenttype": "application/json",
        "data": data,
        **way,
    }
    if traceparent is not None:
        envelope["traceparent"] = traceparent
    return orjson.dumps(envelope, option=orjson.OPT_UTC_Z)


def in_words(difference: Difference, currency: str) -> dict[str, str]:
    """Say a difference in words for incidents and audit records: the customer masked, of a comment only that it changed."""
    words: dict[str, str] = {}
    if difference.added:
        words["added"] = _list([_line(line, currency) for line in difference.added])
    if difference.removed:
        words["removed"] = _list([_line(line, currency) for line in difference.removed])
    if difference.changed:
        words["changed"] = _list(
            [f"{_line(item.before, currency)} → {_line(item.after, currency)}" for item in difference.changed]
        )
    for name, *values in difference.fields:
        sums = [each and to_decimal_string(int(each), currency) for each in values] if name in TOTALS else values
        words[name] = _told(name, *sums)
    return words


def _told(name: str, before: str | None, after: str | None) -> str:
    """Say how a field changed. Of what is a customer's nothing is shown whole, and of a comment nothing."""
    if name == "comment":
        return "changed"
    was, now = masked(name, before) or "–", masked(name, after) or "–"
    return f"changed, {now}" if was == now else f"{was} → {now}"


def _list(items: list[str]) -> str:
    more = len(items) - _MOST_LINES
    return "; ".join(items[:_MOST_LINES]) + (f"; and {more} more" if more > 0 else "")


def _line(line: Line, currency: str) -> str:
    text = f"{line.id}: {'?' if line.quantity is None else number_text(line.quantity)}"
    return text if line.price is None else f"{text} × {to_decimal_string(line.price, currency)}"
