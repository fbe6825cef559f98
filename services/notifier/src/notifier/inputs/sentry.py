"""Sentry's notifications: each kind of error is an incident, and a basket that it carries becomes an endangered order."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from common.clock import Clock
from common.contracts import intake
from common.contracts.envelope import Envelope
from common.contracts.intake import IntakeMessage
from common.ids import derived_id
from common.postgres import Database
from common.telemetry import scrub_text
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.model import ProblemFact, Severity
from notifier.incidents.problems import Problems, Report, Resolution
from notifier.inputs.sentry_event import LostBasket, SentryEvent, read

_SEVERITIES: Mapping[str, Severity] = {"fatal": "critical", "warning": "warning", "info": "info", "debug": "info"}


class IngestSentry:
    """A repeated notification changes nothing but counters. The basket goes to the gateway whole; chats get nothing of it."""

    def __init__(self, *, problems: Problems, database: Database, clock: Clock, wake: Callable[[], None]) -> None:
        self._problems = problems
        self._database = database
        self._clock = clock
        self._wake = wake

    async def __call__(
        self, notification: Mapping[str, Any], *, traceparent: str | None
    ) -> tuple[tuple[int, ...], str | None]:
        """Take a notification in; returns the incidents, and the id of the endangered order that its basket becomes."""
        event = read(notification, now=self._clock.now())
        if event is None:
            return (), None
        endangered = None if event.basket is None else str(uuid.UUID(derived_id("sentry-basket", event.event_id)))
        async with self._database.transaction() as connection:
            notifications = NotificationStore(connection)
            incident = await self._incident(notifications, event, traceparent)
            if event.basket is not None and endangered is not None:
                await notifications.add_to_outbox(_endangered(event, event.basket, endangered, traceparent))
        self._wake()
        return (() if incident is None else (incident,)), endangered

    async def _incident(
        self, notifications: NotificationStore, event: SentryEvent, traceparent: str | None
    ) -> int | None:
        fingerprint = f"sentry:{event.issue}"
        entry: Report | Resolution
        if event.resolved:
            event_id = derived_id("sentry", event.event_id, "resolved")
            entry = Resolution(
                fingerprint=fingerprint, actor="sentry", summary="resolved", at=event.occurred_at, event_id=event_id
            )
        else:
            fact = ProblemFact(
                kind="problem.sentry",
                severity="critical" if event.basket is not None else _SEVERITIES.get(event.level, "warning"),
                fingerprint=fingerprint,
                summary=scrub_text(event.title),
                service=event.project,
                occurred_at=event.occurred_at,
                details={
                    **({"request": scrub_text(event.request)} if event.request else {}),
                    "sentry_event": event.event_id,
                    "basket": "no" if event.basket is None else "kept",
                },
                link=event.link,
                environment=event.environment,
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
        external_id=external if isinstance(external, str) and external else None,
        digest=hashlib.sha256(body).hexdigest(),
        reason="front_end",
        status=basket.status,
        headers=json.dumps({"link": event.link}),
        answer=None if basket.answer is None else json.dumps(basket.answer),
        traceparent=traceparent,
    )
    return hook.to_envelope().model_copy(update={"source": "/notifier/sentry"})
