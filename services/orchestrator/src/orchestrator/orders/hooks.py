"""Hooks: appended to the workflows of their orders byte for byte, and read when they are carried out.

Payloads are read by the suite's one reader (``common.reading``), so that what the gateway answers with a yes can be carried out here.
What it does not know stays in the stored event.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from common.contracts.envelope import Envelope
from common.currencies import currency_code
from common.errors import FieldError, InvalidInput
from common.ids import order_number
from common.postgres import Connection
from common.reading import OrderContent, read_order
from orchestrator.engine.model import ORDER_LIFE, NewEvent, WorkflowEvent
from orchestrator.orders.model import HookType, OrderFact

DEFAULT_CURRENCY = "RUB"
_REPLAY_OF = "replay:"
_ONCE_LEFT_OUT = ("total", "not_an_object")
_AT_ONCE = timedelta(seconds=1)
_SAID = {
    "source": "hooksource",
    "external_id": "externalid",
    "delivery_id": "deliveryid",
    "sent_at": "hooktime",
    "digest": "contentdigest",
    "currency": "currency",
    "actor": "actor",
    "why": "why",
}
"""What is kept beside a hook's body, under which name, and the attribute of the event on the wire that says it (``IntakeMessage``)."""
_CONTENT = tuple(item.name for item in fields(OrderContent) if item.name not in {"currency", "problems", "unread"})
_WHICH = re.compile(r"\.\d+")


class UnreadableHook(InvalidInput):
    """The hook's body does not say what it has to. The same body will fail again."""

    code = "unreadable_hook"


async def ingest_hooks(
    connection: Connection,
    envelopes: Sequence[Envelope],
    *,
    ingest: Callable[[Connection, Sequence[NewEvent]], Awaitable[Callable[[], None]]],
) -> Callable[[], None]:
    """Append hooks to the workflows of their orders by an ``Ingest``, in the consumer's transaction; return what to call after its commit.

    An unreadable body stops its own order and no other.
    """
    now = datetime.now(UTC)
    return await ingest(connection, [_with_its_wait(to_workflow_event(envelope), now) for envelope in envelopes])


def _with_its_wait(new: NewEvent, now: datetime) -> NewEvent:
    """Note of a hook that was on its way for more than a second when it was taken in: its notices will say where the time went."""
    event = new.event
    if now - event.received_at < _AT_ONCE:
        return new
    return replace(new, event=replace(event, attributes={**event.attributes, "taken_at": now.isoformat()}))


def event_id_of(envelope: Envelope) -> str:
    """Return what recognises a repeat.

    The gateway's id of ``created`` is the same whatever the content, so that the marketplace gets the same answer. Here a repeat with
    another content must be seen (it is an incident), so the content's digest is added.
    """
    return _known_as(envelope.id, envelope.extension("hookevent"), envelope.extension("contentdigest"))


def known_as(queue: str, envelope: Envelope) -> tuple[str, str]:
    """Return which consumer reads a queue, and the key under which its inbox knows an event: they are named as their queues."""
    return queue, event_id_of(envelope)


def _known_as(event_id: str, hook: str | None, digest: str | None) -> str:
    return f"{event_id}:{digest}" if hook == HookType.CREATED and digest is not None else event_id


def to_workflow_event(envelope: Envelope) -> NewEvent:
    """Return the event that the order's workflow is fed. The body is not looked into. Raises ``ValueError`` when it is no hook of ours.

    What the gateway said is taken off the envelope at once: an ``IntakeMessage`` between the two costs as much again.
    """
    wire = {
        name: value if type(value) is str else str(value)
        for name, value in (envelope.model_extra or {}).items()
        if value is not None
    }
    _need(envelope, wire, "bodyform", "deliveryid", "hooksource", "hookevent")
    body = envelope.raw
    _need(envelope, wire, "replica")
    if "answerstatus" in wire:
        int(wire["answerstatus"])
    occurred = datetime.fromisoformat(wire["occurredat"]) if "occurredat" in wire else None
    hook = HookType(wire["hookevent"])
    if hook is HookType.CORRECTED:
        raise ValueError(f"intake event {envelope.id}: no source corrects an order as a person does")
    _need(envelope, wire, "externalid")
    said = {name: wire[attribute] for name, attribute in _SAID.items() if attribute in wire}
    said["body_form"] = "payload" if wire["bodyform"] == "payload" else "envelope"
    said["lane"] = "spool" if wire.get("lane") == "spool" else "broker"
    digest = wire.get("contentdigest")
    if (reason := wire.get("reason", "")).startswith(_REPLAY_OF):
        said["replay_of"] = reason.removeprefix(_REPLAY_OF)
    if occurred is not None:
        said["occurred_at"] = occurred.isoformat()
    if "repeats" in wire:
        said["repeats"] = _known_as(wire["repeats"], hook, digest)
    event = WorkflowEvent(
        type=hook.value,
        event_id=_known_as(envelope.id, hook, digest),
        attributes=said,
        payload=body,
        traceparent=envelope.traceparent,
        received_at=envelope.time,
    )
    number = wire.get("ordernumber") or order_number(said["source"], said["external_id"])
    return NewEvent(order_number=number, kind=ORDER_LIFE, event=event)


def _need(envelope: Envelope, wire: Mapping[str, str], *names: str) -> None:
    for name in names:
        if name not in wire:
            raise ValueError(f"intake event {envelope.id} has no attribute {name}")


def read_facts(events: Sequence[WorkflowEvent], currency: str | None = None) -> list[OrderFact | UnreadableHook]:
    """Read the hooks of one order, each by itself: one that cannot be read harms no other.

    ``currency`` is the order's, where it is known; else what its ``created`` among the events says counts for all of them.
    """
    order_currency = currency or next(
        (said for event in events if event.type == HookType.CREATED and (said := _currency_said(event)) is not None),
        None,
    )
    facts: list[OrderFact | UnreadableHook] = []
    for event in events:
        try:
            facts.append(to_fact(event, order_currency))
        except UnreadableHook as error:
            facts.append(error)
    return facts


def read_all(events: Sequence[WorkflowEvent], currency: str | None = None) -> list[OrderFact]:
    """Read the hooks of one order, in the order of their keys. Raises the first ``UnreadableHook``."""
    facts: list[OrderFact] = []
    for fact in read_facts(events, currency):
        if isinstance(fact, UnreadableHook):
            raise fact
        facts.append(fact)
    return sorted(facts, key=lambda fact: fact.key)


def to_fact(event: WorkflowEvent, currency: str | None = None, *, entered: bool = False) -> OrderFact:
    """Read the hook out of a stored event. ``currency`` is the order's, where it is known. Raises ``UnreadableHook``.

    ``entered``: a person writes it just now, and can say it otherwise; nothing that cannot be read is left out.
    """
    attributes = event.attributes
    hook = HookType(event.type)
    answered_in = attributes.get("currency") or DEFAULT_CURRENCY
    counted = currency or answered_in
    payload = _payload(event.payload, attributes["body_form"])
    content = read_order(payload, event=hook, currency=counted)
    if _problems(content) and counted != answered_in:
        # The gateway, which does not know the order's currency, could read it: so can we, and a person sees the difference.
        counted = answered_in
        content = read_order(payload, event=hook, currency=counted)
    if problems := content.problems if entered else _problems(content):
        raise UnreadableHook(f"{hook}: {problems[0].field}: {problems[0].message}", fields=problems)
    occurred_at = _moment(attributes.get("occurred_at"))
    return OrderFact(
        hook=hook,
        event_id=event.event_id,
        arrival=attributes.get("arrival", event.seq),  # a mended event has the place of the original
        source=attributes["source"],
        external_id=attributes["external_id"],
        received_at=occurred_at or event.received_at,
        sent_at=_moment(attributes.get("sent_at")),
        digest=attributes.get("digest"),
        currency=content.currency or counted,
        replayed_at=None if occurred_at is None else event.received_at,
        repeats=attributes.get("repeats"),
        actor=attributes.get("operator") or attributes.get("actor"),
        why=attributes.get("why"),
        taken_at=_moment(attributes.get("taken_at")),
        spooled=attributes.get("lane") == "spool",
        unread=tuple(sorted({_WHICH.sub("", each.field) for each in content.unread})),
        **{name: getattr(content, name) for name in _CONTENT},
    )


def _problems(content: OrderContent) -> tuple[FieldError, ...]:
    """What stops a hook: not a total in words, which the release before took, and answered with a yes. It was, and is, left out."""
    return tuple(each for each in content.problems if (each.field, each.code) != _ONCE_LEFT_OUT)


def _currency_said(event: WorkflowEvent) -> str | None:
    try:
        return currency_code(_payload(event.payload, event.attributes["body_form"]).get("currency"))
    except UnreadableHook:
        return None


def _payload(body: bytes, form: str) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            document = json.loads(body.decode("utf-8-sig", "replace"), strict=False)
        except (ValueError, RecursionError):
            raise UnreadableHook("the body is no JSON") from None
    if form == "envelope" and isinstance(document, dict):
        document = document.get("payload")
    if not isinstance(document, dict):
        raise UnreadableHook("the payload is no JSON object")
    return document


def _moment(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
