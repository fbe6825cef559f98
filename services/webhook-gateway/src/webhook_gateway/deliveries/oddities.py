"""What is taken, and yet shows that a source sends otherwise than it should: told to a person, for it is answered with a yes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from common.contracts.alerts import ProblemRaisedV1
from common.contracts.envelope import Envelope
from common.contracts.intake import HOOK_IGNORED, HOOK_QUARANTINED, HOOK_RECEIVED, IntakeMessage
from common.ids import derived_id
from common.postgres import Connection
from common.reading import storable
from webhook_gateway.hooks.model import SERVICE
from webhook_gateway.hooks.reading import parse_leniently

_UNREADABLE_TIME = "time.unreadable"
_SHOWN = 40
# Once a source, whichever replica is first.
_NOTICE = (
    "INSERT INTO source_notices (source, kind) SELECT unnest($1::text[]), $2 ON CONFLICT DO NOTHING RETURNING source"
)


async def problems_of(connection: Connection, hooks: Sequence[IntakeMessage]) -> list[Envelope]:
    """Return what a person should know of these deliveries, in the caller's transaction; a source's unreadable times only once."""
    found = [_ignored(hook, event) for hook in hooks if (event := _ignored_order(hook))]
    times: dict[str, tuple[IntakeMessage, str]] = {}
    for hook in hooks:
        value = _unreadable_time(hook)
        if value is not None:
            times.setdefault(hook.source, (hook, value))
    if times:
        new = await connection.fetch(_NOTICE, sorted(times), _UNREADABLE_TIME)
        found += [_no_time(*times[row["source"]]) for row in new]
    return found


def _ignored_order(hook: IntakeMessage) -> str | None:
    """Return the event's name when a hook was ignored for it, although it carries an order's positions."""
    if hook.type != HOOK_IGNORED or b"positions" not in hook.body:
        return None
    document = parse_leniently(hook.body)
    payload = document.get("payload") if isinstance(document, dict) else None
    return hook.event if isinstance(payload, dict) and payload.get("positions") else None


def _unreadable_time(hook: IntakeMessage) -> str | None:
    """Return the time of a hook that was taken without one because nobody can read it."""
    if hook.sent_at is not None or hook.body_form != "envelope" or hook.type not in (HOOK_RECEIVED, HOOK_QUARANTINED):
        return None
    if (hook.reason is not None and hook.type == HOOK_RECEIVED) or b'"timestamp"' not in hook.body:
        return None  # a replay, or none was given
    document: Any = parse_leniently(hook.body)
    value = document.get("timestamp") if isinstance(document, dict) else None
    if value is None or value == "":
        return None
    if isinstance(value, dict | list):
        return "{…}" if isinstance(value, dict) else "[…]"  # however deep it nests, and whatever is in it
    return storable(value if isinstance(value, str) else json.dumps(value))[:_SHOWN]


def _ignored(hook: IntakeMessage, event: str) -> Envelope:
    problem = ProblemRaisedV1(
        kind="hook.ignored_order",
        severity="warning",
        fingerprint=derived_id("ignored-order", hook.source, event),
        summary=(
            f"Источник {hook.source} прислал событие {event}, которого мы не знаем, с позициями заказа: "
            "оно принято и сохранено, но заказ не изменило"
        ),
        details={"delivery_id": hook.delivery_id, "event": event, "external_id": hook.external_id or "-"},
        service=SERVICE,
        order_number=hook.number,
        source=hook.source,
        link=f"/d/{hook.delivery_id}",
        occurred_at=hook.received_at,
    )
    return _envelope(hook, problem, derived_id("problem", problem.kind, hook.delivery_id))


def _no_time(hook: IntakeMessage, value: str) -> Envelope:
    problem = ProblemRaisedV1(
        kind="hook.time_unreadable",
        severity="warning",
        fingerprint=derived_id("time-unreadable", hook.source),
        summary=(
            f"Время в хуках источника {hook.source} не читается ({value}): хуки приняты без времени, их порядок определяет приход. "
            "Об этом источнике больше не сообщим"
        ),
        details={"delivery_id": hook.delivery_id, "timestamp": value},
        service=SERVICE,
        order_number=hook.number,
        source=hook.source,
        link=f"/d/{hook.delivery_id}",
        occurred_at=hook.received_at,
    )
    return _envelope(hook, problem, derived_id("problem", problem.kind, hook.source))


def _envelope(hook: IntakeMessage, problem: ProblemRaisedV1, event_id: str) -> Envelope:
    return Envelope.of(
        problem,
        event_id=event_id,
        source=f"/{SERVICE}",
        subject=hook.number,
        time=hook.received_at,
        traceparent=hook.traceparent,
    )
