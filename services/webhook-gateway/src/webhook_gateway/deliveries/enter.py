"""A person enters an event that never came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.errors import FieldError, Unprocessable
from common.http import Change
from common.messaging import outbox
from common.service import add_act
from common.telemetry import current_traceparent, scrub_text
from webhook_gateway.deliveries.record import journal_id
from webhook_gateway.deliveries.views import EnteredEvent, EnterEvent
from webhook_gateway.hooks.accept import understand
from webhook_gateway.hooks.model import ENTERED, ORDER_CREATED, SERVICE, Feed
from webhook_gateway.hooks.sending import Sending
from webhook_gateway.website.sites import NAME


async def enter(change: Change, asked: EnterEvent, *, feeds: Mapping[str, Feed], sending: Sending) -> EnteredEvent:
    """Publish the event as if the source had sent it, record who did and why, and note it in the order's timeline.

    The same reader and the same ids as for a hook: if the source sends it after all, that is a repeat. Raises ``Unprocessable`` with
    the fields at fault.
    """
    now = sending.clock.now()
    hook = entered(asked, feeds=feeds, now=now, replica=sending.replica, actor=change.principal.name)
    await outbox.add(change.connection, hook.to_envelope())
    change.tells(*await sending.foretell(change.connection, hook))
    answer = EnteredEvent(
        status="created" if hook.event == ORDER_CREATED else "ok",
        number=hook.number or "",
        delivery_id=hook.delivery_id,
        event=hook.event,
        dry_run=change.dry_run,
    )
    await change.record("event.enter", f"delivery:{hook.delivery_id}", after=answer)
    await add_act(
        change,
        "hook.entered",
        hook.number,
        f"{hook.event}: entered by a person",
        service=SERVICE,
        details={"event": hook.event, "delivery_id": hook.delivery_id},
        identity=journal_id(hook.delivery_id),
        now=now,
    )
    return answer


def entered(asked: EnterEvent, *, feeds: Mapping[str, Feed], now: datetime, replica: str, actor: str) -> IntakeMessage:
    """Return the delivery. Raises ``Unprocessable`` for what a hook could not say: nothing entered is ignored or quarantined."""
    source = feeds.get(asked.source)
    if source is None:
        raise _unfit(FieldError("source", "unknown", f"there is no such source; known: {', '.join(sorted(feeds))}"))
    said: dict[str, Any] = {"event_type": asked.event_type, "payload": asked.payload}
    if asked.timestamp is not None:
        said["timestamp"] = asked.timestamp
    hook, verdict = understand(
        source, orjson.dumps(said), headers="{}", received_at=now, replica=replica, traceparent=current_traceparent()
    )
    if verdict.fields:
        raise _unfit(*verdict.fields)
    if hook.type != HOOK_RECEIVED:
        raise _unfit(FieldError("event_type", "unknown", "it is none of the six hooks"))
    if hook.event == ORDER_CREATED and NAME.fullmatch(source.name):
        raise _unfit(
            FieldError(
                "event_type", "not_for_websites", "a website's order is placed, or resubmitted where it is endangered"
            )
        )
    if asked.timestamp is not None:
        if hook.sent_at is None:
            raise _unfit(FieldError("timestamp", "not_a_time", "a time with its zone is needed"))
        if datetime.fromisoformat(hook.sent_at) > now:
            raise _unfit(FieldError("timestamp", "in_the_future", "it cannot have happened yet"))
    return replace(hook, status=None, reason=ENTERED, actor=actor, why=scrub_text(asked.reason))


def _unfit(*fields: FieldError) -> Unprocessable:
    return Unprocessable("the event does not fit", fields=fields)
