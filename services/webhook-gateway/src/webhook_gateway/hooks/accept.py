"""Takes a marketplace's hook: reads it, makes it durable, and says what to answer (the table of CONTRACT 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus

from common.contracts import intake
from common.contracts.intake import Hook
from common.errors import FieldError
from common.ids import derived_id, new_id, order_number
from webhook_gateway.durable.keep_safe import KeepSafe
from webhook_gateway.hooks import events
from webhook_gateway.hooks.model import IGNORED_ANSWER, Outcome, accepted_answer
from webhook_gateway.hooks.ports import NoLane, Source
from webhook_gateway.hooks.reading import Reading, read_hook


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is answered. ``body`` for a positive answer, ``code``, ``detail`` and ``fields`` for a problem, ``retry_after``
    (seconds) for one that may pass. ``outcome`` is final.
    """

    status: int
    event: str
    outcome: Outcome
    body: Mapping[str, str] | None = None
    code: str = ""
    detail: str = ""
    fields: tuple[FieldError, ...] = ()
    retry_after: int = 1


class AcceptHook:
    """Every positive answer is given after the event is durable. Touches no database. Safe for concurrent use."""

    def __init__(self, keep_safe: KeepSafe, *, replica: str) -> None:
        self._keep_safe = keep_safe
        self._replica = replica

    async def __call__(
        self, source: Source, body: bytes, *, headers: str, received_at: datetime, traceparent: str | None
    ) -> Verdict:
        """Take an authenticated body. ``headers`` is JSON, secrets masked. Raises ``NoLane`` when nothing can store it."""
        reading = read_hook(body)
        delivery_id = new_id()
        external_id = reading.external_id
        number = None if external_id is None else order_number(source.name, external_id)
        kind, verdict = self._judge(source, reading, number)
        hook = Hook(
            type=kind,
            event_id=_event_id(source.name, reading, delivery_id)
            if kind is intake.HOOK_RECEIVED
            else derived_id("delivery", delivery_id),
            delivery_id=delivery_id,
            source=source.name,
            event=reading.event,
            body_form="envelope",
            body=body,
            received_at=received_at,
            replica=self._replica,
            number=number,
            external_id=external_id,
            sent_at=reading.sent_at,
            digest=reading.digest,
            reason=_reason(reading.problems) if kind is intake.HOOK_QUARANTINED else None,
            status=verdict.status,
            headers=headers,
            currency=source.currency,
            traceparent=traceparent,
        )
        lane = await self._keep_safe(hook)
        if lane == "broker" or kind is intake.HOOK_QUARANTINED:
            return verdict
        return replace(verdict, outcome=Outcome.SPOOLED)

    async def oversized(
        self, source: Source, first_part: bytes, *, headers: str, received_at: datetime, traceparent: str | None
    ) -> Verdict:
        """Keep the first part of a body over the limit. Never raises: the answer is 413 also when nothing could be kept."""
        delivery_id = new_id()
        hook = Hook(
            type=intake.HOOK_QUARANTINED,
            event_id=derived_id("delivery", delivery_id),
            delivery_id=delivery_id,
            source=source.name,
            event=events.UNREADABLE,
            body_form="envelope",
            body=first_part,
            received_at=received_at,
            replica=self._replica,
            digest=hashlib.sha256(first_part).hexdigest(),
            reason="too_large",
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            headers=headers,
            currency=source.currency,
            traceparent=traceparent,
        )
        try:
            await self._keep_safe(hook)
        except NoLane:
            return _too_large(Outcome.REFUSED)
        return _too_large(Outcome.QUARANTINED)

    def _judge(self, source: Source, reading: Reading, number: str | None) -> tuple[str, Verdict]:
        event = reading.event
        if reading.ignorable:
            return intake.HOOK_IGNORED, Verdict(status=200, event=event, outcome=Outcome.CONFIRMED, body=IGNORED_ANSWER)
        if number is None:
            return intake.HOOK_QUARANTINED, Verdict(
                status=400,
                event=event,
                outcome=Outcome.QUARANTINED,
                code="unreadable",
                detail="no order id can be read",
                fields=reading.problems,
            )
        if not reading.problems:
            body = accepted_answer(event, number)
            return intake.HOOK_RECEIVED, Verdict(status=200, event=event, outcome=Outcome.CONFIRMED, body=body)
        if source.accept_invalid:
            body = accepted_answer(event, number)
            return intake.HOOK_QUARANTINED, Verdict(status=200, event=event, outcome=Outcome.QUARANTINED, body=body)
        return intake.HOOK_QUARANTINED, Verdict(
            status=422,
            event=event,
            outcome=Outcome.QUARANTINED,
            code="unprocessable",
            detail="the hook does not fit",
            fields=reading.problems,
        )


def _event_id(source: str, reading: Reading, delivery_id: str) -> str:
    """Return what a repeat is recognised by (DECISIONS "Orders")."""
    external_id = reading.external_id or ""
    if reading.event == events.CREATED:
        return derived_id("hook", source, external_id, reading.event)
    if reading.sent_at is None:
        return derived_id("delivery", delivery_id)
    return derived_id("hook", source, external_id, reading.event, reading.digest, reading.sent_at)


def _reason(problems: tuple[FieldError, ...]) -> str:
    first = problems[0]
    return f"{first.code}:{first.field}" if first.field else first.code


def _too_large(outcome: Outcome) -> Verdict:
    return Verdict(
        status=413,
        event=events.UNREADABLE,
        outcome=outcome,
        code="payload_too_large",
        detail="the body is larger than what one hook may be",
    )
