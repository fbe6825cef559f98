"""Sentry's notifications: each kind of error is an incident, and a basket that it carries becomes an endangered order."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.clock import Clock
from common.contracts import intake
from common.contracts.envelope import Envelope
from common.contracts.intake import IntakeMessage
from common.ids import derived_id
from common.postgres import Database
from common.telemetry import scrub_text
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.model import ProblemFact
from notifier.incidents.problems import Problems, Report, Resolution
from notifier.inputs.lenient import Vocabulary, clean
from notifier.inputs.sentry_event import LostBasket, SentryEvent, is_quiet, read
from notifier.inputs.unread import UNFIT, keep_unread
from notifier.messages.words import Words

SENDER = "sentry"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentryResult:
    """The incidents that a notification is, the endangered order that its basket becomes, and how much of it was not taken."""

    incidents: tuple[int, ...] = ()
    endangered: str | None = None
    not_taken: int = 0


class IngestSentry:
    """A repeated notification changes nothing but counters. The basket goes to the gateway whole; chats get nothing of it."""

    def __init__(
        self,
        *,
        problems: Problems,
        database: Database,
        clock: Clock,
        vocabulary: Vocabulary,
        words: Words,
        wake: Callable[[], None],
    ) -> None:
        self._problems = problems
        self._database = database
        self._clock = clock
        self._vocabulary = vocabulary
        self._words = words
        self._wake = wake

    async def __call__(
        self, notification: Any, *, content: bytes, at: datetime, resource: str | None, traceparent: str | None
    ) -> SentryResult:
        """Take a notification in; one that nobody can read is kept, and a person is told. ``at`` is the hook's own time."""
        now = self._clock.now()
        event = read(notification, now=now, at=at) if isinstance(notification, Mapping) else None
        if event is None:
            if isinstance(notification, Mapping) and is_quiet(notification, resource):
                return SentryResult()
            return await self._keep(content, now, reason="format" if notification is None else "resource")
        endangered = None if event.basket is None else str(uuid.UUID(derived_id("sentry-basket", event.event_id)))
        try:
            async with self._database.transaction() as connection:
                notifications = NotificationStore(connection)
                incident = await self._incident(notifications, event, at, traceparent)
                if event.basket is not None and endangered is not None:
                    await notifications.add_to_outbox(_endangered(event, event.basket, endangered, traceparent))
        except UNFIT:
            return await self._keep(content, now, reason="parts")
        self._wake()
        return SentryResult(incidents=() if incident is None else (incident,), endangered=endangered)

    async def _keep(self, content: bytes, now: datetime, *, reason: str) -> SentryResult:
        async with self._database.transaction() as connection:
            report = await keep_unread(
                connection,
                sender=SENDER,
                reason=reason,
                count=1,
                content=content,
                parts=[content[:20_000].decode("utf-8", "replace")],
                now=now,
                words=self._words,
            )
            incidents = await self._problems.ingest(NotificationStore(connection), [report])
        self._wake()
        return SentryResult(incidents=tuple(each for each in incidents if each is not None), not_taken=1)

    async def _incident(
        self, notifications: NotificationStore, event: SentryEvent, at: datetime, traceparent: str | None
    ) -> int | None:
        fingerprint = f"sentry:{event.issue}"
        entry: Report | Resolution
        if event.resolved:
            event_id = derived_id("sentry", event.event_id, "resolved")
            entry = Resolution(
                fingerprint=fingerprint, actor="sentry", summary="resolved", at=event.occurred_at, event_id=event_id
            )
        else:
            environment, unknown = self._vocabulary.environment(event.environment or "")
            fact = ProblemFact(
                kind="problem.sentry",
                severity="critical" if event.basket is not None else self._vocabulary.severity(event.level),
                fingerprint=fingerprint,
                summary=scrub_text(event.title),
                service=event.project,
                occurred_at=event.occurred_at,
                seen_at=min(at, self._clock.now()),
                details={
                    **({"request": scrub_text(event.request)} if event.request else {}),
                    **({"environment": scrub_text(unknown)} if unknown is not None else {}),
                    **({"text": scrub_text(event.text)} if event.text else {}),
                    "sentry_event": event.event_id,
                    "basket": "no" if event.basket is None else "kept",
                },
                link=event.link,
                environment=environment,
                responsible=event.responsible,
            )
            entry = Report(fact=fact, event_id=derived_id("sentry", event.event_id), traceparent=traceparent)
        [incident] = await self._problems.ingest(notifications, [entry])
        return incident


def _endangered(event: SentryEvent, basket: LostBasket, endangered_id: str, traceparent: str | None) -> Envelope:
    body = json.dumps(basket.order, ensure_ascii=False).encode("utf-8", "replace")
    external = basket.order.get("externalId")
    hook = IntakeMessage(
        type=intake.FRONTEND_ERROR_REPORTED,
        event_id=endangered_id,
        delivery_id=endangered_id,
        source="website",
        event="order.created",
        body_form="payload",
        body=body,
        received_at=event.occurred_at,
        replica="notifier",
        external_id=clean(external) if isinstance(external, str) and external else None,
        digest=hashlib.sha256(body).hexdigest(),
        reason="front_end",
        status=basket.status,
        headers=json.dumps({"link": event.link}),
        answer=None if basket.answer is None else json.dumps(basket.answer),
        traceparent=traceparent,
    )
    return hook.to_envelope().model_copy(update={"source": "/notifier/sentry"})
