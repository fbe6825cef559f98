"""What a workflow is fed is read off the envelope at once; it is what the gateway's own message says."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from common.contracts.envelope import Envelope
from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.ids import order_number
from orchestrator.engine.model import ORDER_LIFE, NewEvent, WorkflowEvent
from orchestrator.orders.hooks import event_id_of, to_workflow_event
from orchestrator.orders.model import HookType

KEPT = (
    "source", "external_id", "body_form", "delivery_id", "lane", "sent_at", "digest", "currency", "actor", "why",
)  # fmt: skip
TEXT = st.text(alphabet="aй 0", max_size=4)
ATTRIBUTES = {
    "bodyform": st.sampled_from(["envelope", "payload", "other"]),
    "deliveryid": TEXT,
    "hooksource": TEXT,
    "hookevent": st.sampled_from([*HookType, "order.unknown"]),
    "replica": TEXT,
    "externalid": TEXT | st.integers(-(10**9), 10**9) | st.booleans(),
    "ordernumber": TEXT,
    "hooktime": TEXT,
    "contentdigest": TEXT,
    "lane": st.sampled_from(["broker", "spool", "other"]),
    "reason": st.sampled_from(["", "replay:", "replay:d1", "late"]),
    "answerstatus": st.sampled_from(["409", 409, "none"]),
    "currency": st.sampled_from(["RUB", "KZT"]),
    "occurredat": st.sampled_from(["2026-11-21T10:00:00Z", "2026-11-21T10:00:00.5+03:00", "yesterday"]),
    "repeats": TEXT,
    "actor": TEXT,
    "why": TEXT,
    "traceparent": st.just("00-0123456789abcdef0123456789abcdef-00f067aa0ba902b7-01"),
    "data_base64": st.binary(max_size=9).map(lambda raw: base64.b64encode(raw).decode()) | st.just("no base64"),
}
NEEDED = ("bodyform", "deliveryid", "hooksource", "hookevent", "replica", "externalid", "data_base64")
EVENTS = st.fixed_dictionaries(
    {name: ATTRIBUTES[name] for name in NEEDED},
    optional={name: st.none() | each for name, each in ATTRIBUTES.items() if name not in NEEDED},
)


def by_the_message(envelope: Envelope) -> NewEvent:
    """The workflow's event by way of the gateway's message, field by field."""
    hook = IntakeMessage.from_envelope(envelope)
    name = HookType(hook.event)
    if name is HookType.CORRECTED:
        raise ValueError(f"intake event {envelope.id}: no source corrects an order as a person does")
    if hook.external_id is None:
        raise ValueError(f"intake event {envelope.id} has no attribute externalid")
    said = {field: value for field in KEPT if (value := getattr(hook, field)) is not None}
    if hook.reason is not None and hook.reason.startswith("replay:"):
        said["replay_of"] = hook.reason.removeprefix("replay:")
    if hook.occurred_at is not None:
        said["occurred_at"] = hook.occurred_at.isoformat()
    if hook.repeats is not None:
        created = name is HookType.CREATED and hook.digest is not None
        said["repeats"] = f"{hook.repeats}:{hook.digest}" if created else hook.repeats
    return NewEvent(
        order_number=hook.number or order_number(hook.source, hook.external_id),
        kind=ORDER_LIFE,
        event=WorkflowEvent(
            type=name.value,
            event_id=event_id_of(envelope),
            attributes=said,
            payload=hook.body,
            traceparent=hook.traceparent,
            received_at=hook.received_at,
        ),
    )


def outcome(read: Any, envelope: Envelope) -> NewEvent | tuple[type[Exception], str]:
    """What a reader returns, or what it raises, in its words."""
    try:
        result: NewEvent = read(envelope)
    except ValueError as error:
        return type(error), str(error)
    return result


@given(EVENTS, st.none() | st.sampled_from(NEEDED))
def test_an_event_is_what_the_gateways_message_says(event: dict[str, Any], left_out: str | None) -> None:
    """Whatever stands in the event; what cannot be taken in is refused in the same words."""
    said = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/webhook-gateway/x",
        "type": HOOK_RECEIVED,
        "time": datetime(2026, 11, 21, 10, tzinfo=UTC),
        **{name: value for name, value in event.items() if name != left_out},
    }
    envelope = Envelope.decode(orjson.dumps(said))
    assert outcome(to_workflow_event, envelope) == outcome(by_the_message, envelope)
