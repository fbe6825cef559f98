"""Context ``intake``: what came in from marketplaces and websites, byte for byte.

These events carry the request's body untouched (``data_base64``) and what the gateway read from it as extension attributes,
so that a consumer can decide without parsing the body, and nothing is lost when the body cannot be parsed.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from common.contracts.envelope import Envelope

HOOK_RECEIVED = "intake.hook.received.v1"
"""A hook, or a website's order, that the orchestrator is to act on."""
HOOK_IGNORED = "intake.hook.ignored.v1"
"""An authenticated hook of a type we do not know: kept, not acted on."""
HOOK_QUARANTINED = "intake.hook.quarantined.v1"
"""An authenticated request that could not be understood: kept whole, a person looks at it."""
WEBSITE_ORDER_REFUSED = "intake.website_order.refused.v1"
"""A website's order that was not answered 201: one endangered order."""
FRONTEND_ERROR_REPORTED = "intake.frontend_error.reported.v1"
"""A basket that the front end could not place: the notifier read it from an error report, and the gateway keeps it as endangered.

An ``IntakeMessage`` whose body is the order as the front end had it, ``status`` and ``answer`` what it got (0 and None: nothing),
and whose ``headers`` hold ``link``, the address of the error report. It never was a request to the gateway, so the ledger leaves it out.
"""

BodyForm = Literal["envelope", "payload"]
"""``envelope``: the body is ``{event_type, timestamp, payload}``; ``payload``: the body is the payload object itself (website)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeMessage:
    """What the gateway knows of one delivery.

    ``event_id`` recognises a repeat: created = (source, external id, type); the others add the digest of the canonical payload and
    the envelope's timestamp; without a timestamp it is unique, and only a match with the latest content of that type is a repeat
    (docs/requirements.md#repeats). ``delivery_id`` is of this one request and never repeats. ``event`` is one of the six hooks' names,
    or the name as it came where we do not know it. ``digest`` is hexadecimal SHA-256 over the canonical payload. ``headers`` is JSON with
    secrets masked. ``answer`` is what a refused website was answered. ``currency`` is the source's (ISO 4217): bodies name none.
    ``network`` is the sender's (/24, /64) and ``anonymous`` says that no valid token came with it; of refused website orders only.

    What a person sent again or entered has ``actor`` and ``why``. A replay has ``occurred_at``, when it first came in: that is its time
    where the envelope has none, so that it never comes after what is newer; and ``repeats``, the id of the event that it says again
    word for word, None where the body was mended. ``received_at`` is when this delivery was made.
    """

    type: str
    event_id: str
    delivery_id: str
    source: str
    event: str
    body_form: BodyForm
    body: bytes
    received_at: datetime
    replica: str
    number: str | None = None
    external_id: str | None = None
    sent_at: str | None = None
    digest: str | None = None
    lane: Literal["broker", "spool"] = "broker"
    reason: str | None = None
    status: int | None = None
    headers: str | None = None
    answer: str | None = None
    currency: str | None = None
    network: str | None = None
    anonymous: bool = False
    traceparent: str | None = None
    occurred_at: datetime | None = None
    repeats: str | None = None
    actor: str | None = None
    why: str | None = None

    def encode(self) -> bytes:
        """Return the event as it goes over the wire: a CloudEvent in JSON structured mode. Builds no model: thousands a second."""
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.event_id,
            "source": "/webhook-gateway/" + self.source,
            "type": self.type,
            "time": self.received_at,
            "datacontenttype": "application/json",
            "data_base64": base64.b64encode(self.body).decode("ascii"),
            "deliveryid": self.delivery_id,
            "hooksource": self.source,
            "hookevent": self.event,
            "bodyform": self.body_form,
            "replica": self.replica,
            "lane": self.lane,
        }
        if self.number is not None:
            event["subject"] = event["ordernumber"] = self.number
        if self.external_id is not None:
            event["externalid"] = self.external_id
        if self.sent_at is not None:
            event["hooktime"] = self.sent_at
        if self.digest is not None:
            event["contentdigest"] = self.digest
        if self.reason is not None:
            event["reason"] = self.reason
        if self.status is not None:
            event["answerstatus"] = str(self.status)
        if self.headers is not None:
            event["requestheaders"] = self.headers
        if self.answer is not None:
            event["answerbody"] = self.answer
        if self.currency is not None:
            event["currency"] = self.currency
        if self.network is not None:
            event["clientnetwork"] = self.network
        if self.anonymous:
            event["anonymous"] = "true"
        if self.traceparent is not None:
            event["traceparent"] = self.traceparent
        if self.occurred_at is not None:
            event["occurredat"] = self.occurred_at
        if self.repeats is not None:
            event["repeats"] = self.repeats
        if self.actor is not None:
            event["actor"] = self.actor
        if self.why is not None:
            event["why"] = self.why
        return orjson.dumps(event)

    def to_envelope(self) -> Envelope:
        """Return the same event as a model, for an outbox."""
        return Envelope.decode(self.encode())

    @classmethod
    def from_envelope(cls, envelope: Envelope) -> IntakeMessage:
        """Read the event back. Raises ``ValueError`` when an attribute that every intake event has is missing."""

        said = envelope.model_extra or {}

        def get(name: str) -> str | None:
            value = said.get(name)
            return None if value is None else str(value)

        def need(name: str) -> str:
            value = get(name)
            if value is None:
                raise ValueError(f"intake event {envelope.id} has no attribute {name}")
            return value

        form = need("bodyform")
        status = get("answerstatus")
        occurred = get("occurredat")
        return cls(
            type=envelope.type,
            event_id=envelope.id,
            delivery_id=need("deliveryid"),
            source=need("hooksource"),
            event=need("hookevent"),
            body_form="payload" if form == "payload" else "envelope",
            body=envelope.raw,
            received_at=envelope.time,
            replica=need("replica"),
            number=get("ordernumber"),
            external_id=get("externalid"),
            sent_at=get("hooktime"),
            digest=get("contentdigest"),
            lane="spool" if get("lane") == "spool" else "broker",
            reason=get("reason"),
            status=None if status is None else int(status),
            headers=get("requestheaders"),
            answer=get("answerbody"),
            currency=get("currency"),
            network=get("clientnetwork"),
            anonymous=get("anonymous") == "true",
            traceparent=envelope.traceparent,
            occurred_at=None if occurred is None else datetime.fromisoformat(occurred),
            repeats=get("repeats"),
            actor=get("actor"),
            why=get("why"),
        )
