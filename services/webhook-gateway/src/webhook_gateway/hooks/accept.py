"""Takes a marketplace's hook: reads it, makes it durable, and says what to answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from common.contracts.intake import HOOK_IGNORED, HOOK_QUARANTINED, HOOK_RECEIVED, IntakeMessage
from common.errors import FieldError
from common.ids import derived_id, new_id, order_number
from webhook_gateway.durable.keep_safe import KeepSafe
from webhook_gateway.durable.model import NoStoragePath
from webhook_gateway.hooks.model import ORDER_CREATED, UNREADABLE, Feed, Outcome, Source, Verdict
from webhook_gateway.hooks.reading import Reading, created_order, read_hook
from webhook_gateway.hooks.request import BodyFault

_IGNORED: Mapping[str, str] = {"status": "ignored"}


class AcceptHook:
    """Every positive answer is given after the event is durable. Touches no database. Safe for concurrent use."""

    def __init__(self, keep_safe: KeepSafe, *, replica: str) -> None:
        self._keep_safe = keep_safe
        self._replica = replica

    async def __call__(
        self, source: Source, body: bytes, *, headers: str, received_at: datetime, traceparent: str | None
    ) -> Verdict:
        """Take an authenticated body. ``headers`` is JSON, secrets masked. Raises ``NoStoragePath`` when nothing can store it."""
        hook, verdict = understand(
            source, body, headers=headers, received_at=received_at, replica=self._replica, traceparent=traceparent
        )
        path = await self._keep_safe(hook)
        if path == "broker" or hook.type == HOOK_QUARANTINED:
            return verdict
        return replace(verdict, outcome=Outcome.SPOOLED)

    async def incomplete(
        self,
        source: Source,
        first_part: bytes,
        fault: BodyFault,
        *,
        headers: str,
        received_at: datetime,
        traceparent: str | None,
    ) -> Verdict:
        """Keep what came of a genuine body that is not whole, or that nobody here can read.

        Never raises: the answer is the fault's also when nothing could be kept.
        """
        delivery_id = new_id()
        external_id = created_order(first_part)
        event = UNREADABLE if external_id is None else ORDER_CREATED
        hook = IntakeMessage(
            type=HOOK_QUARANTINED,
            event_id=derived_id("delivery", delivery_id),
            delivery_id=delivery_id,
            source=source.name,
            event=event,
            body_form="envelope",
            body=first_part,
            received_at=received_at,
            replica=self._replica,
            number=None if external_id is None else order_number(source.name, external_id),
            external_id=external_id,
            digest=hashlib.sha256(first_part).hexdigest(),
            reason=fault.reason,
            status=fault.status,
            headers=headers,
            currency=source.currency,
            traceparent=traceparent,
        )
        verdict = Verdict(
            status=fault.status, event=event, outcome=Outcome.QUARANTINED, code=fault.code, detail=fault.detail
        )
        try:
            await self._keep_safe(hook)
        except NoStoragePath:
            return replace(verdict, outcome=Outcome.REFUSED)
        return verdict


def understand(
    source: Feed, body: bytes, *, headers: str, received_at: datetime, replica: str, traceparent: str | None
) -> tuple[IntakeMessage, Verdict]:
    """Read an authentic body; return what is made durable of it, and what is answered once it is. Never raises."""
    reading = read_hook(body, currency=source.currency, now=received_at)
    delivery_id = new_id()
    external_id = reading.external_id
    number = None if external_id is None else order_number(source.name, external_id)
    kind, verdict = _judge(source, reading, number)
    hook = IntakeMessage(
        type=kind,
        event_id=_event_id(kind, source, reading, delivery_id),
        delivery_id=delivery_id,
        source=source.name,
        event=reading.event,
        body_form="envelope",
        body=body,
        received_at=received_at,
        replica=replica,
        number=number,
        external_id=external_id,
        sent_at=reading.sent_at,
        digest=reading.digest,
        reason=_reason(reading.problems) if kind == HOOK_QUARANTINED else None,
        status=verdict.status,
        headers=headers,
        currency=source.currency,
        traceparent=traceparent,
    )
    return hook, verdict


def _judge(source: Feed, reading: Reading, number: str | None) -> tuple[str, Verdict]:
    event = reading.event
    if reading.ignorable:
        return HOOK_IGNORED, Verdict(status=200, event=event, outcome=Outcome.CONFIRMED, body=_IGNORED)
    if number is None:
        return HOOK_QUARANTINED, Verdict(
            status=400,
            event=event,
            outcome=Outcome.QUARANTINED,
            code="unreadable",
            detail="no order id can be read",
            fields=reading.problems,
        )
    body = {"status": "created" if event == ORDER_CREATED else "ok", "number": number}
    if not reading.problems:
        return HOOK_RECEIVED, Verdict(status=200, event=event, outcome=Outcome.CONFIRMED, body=body)
    if source.accept_invalid:
        return HOOK_QUARANTINED, Verdict(
            status=200, event=event, outcome=Outcome.QUARANTINED, body=body, fields=reading.problems
        )
    return HOOK_QUARANTINED, Verdict(
        status=422,
        event=event,
        outcome=Outcome.QUARANTINED,
        code="unprocessable",
        detail="the hook does not fit",
        fields=reading.problems,
    )


def _event_id(kind: str, source: Feed, reading: Reading, delivery_id: str) -> str:
    """Return what a repeat is recognised by.

    ``created`` by its order alone; the others also by content and time, as quantities may go from A to B and back to A. Without a time,
    and for what is not acted on, every delivery is an event of its own.
    """
    if kind == HOOK_RECEIVED and reading.external_id is not None:
        if reading.event == ORDER_CREATED:
            return derived_id("hook", source.name, reading.external_id, reading.event)
        if reading.sent_at is not None:
            return derived_id("hook", source.name, reading.external_id, reading.event, reading.digest, reading.sent_at)
    return derived_id("delivery", delivery_id)


def _reason(problems: tuple[FieldError, ...]) -> str:
    first = problems[0]
    return f"{first.code}:{first.field}" if first.field else first.code
