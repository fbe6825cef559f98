"""The envelope: CloudEvents 1.0 in JSON structured mode."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

CONTENT_TYPE = "application/cloudevents+json"
"""AMQP ``content_type`` of every message of ours (the CloudEvents AMQP binding is for AMQP 1.0 only, so the JSON form is used)."""


# What PostgreSQL can store and index, and AMQP can route by: no NUL, not too long.
_Id = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"\A[^\x00]*\z")]
_Text = Annotated[str, StringConstraints(max_length=512, pattern=r"\A[^\x00]*\z")]
_Type = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"\A[^\x00]*\z")]

Moment = Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(9999, 1, 1, tzinfo=UTC))]
"""A moment that a table gives back: PostgreSQL keeps the very last one as infinity, and none before the year 1 in UTC."""


class Message(BaseModel):
    """Base of the ``data`` of an event. Immutable; fields it does not know are ignored, so that old code reads new messages."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    TYPE: ClassVar[str] = ""


MessageT = TypeVar("MessageT", bound=Message)


class Envelope(BaseModel):
    """One event.

    ``id`` is what a consumer's inbox recognises a repeat by: the same fact sent twice has the same id, two facts never
    share one. ``subject`` is the number of the order the event is about, where there is one. Extension attributes of CloudEvents
    (lower-case letters and digits) are kept as they come.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    specversion: Literal["1.0"] = "1.0"
    id: _Id
    source: str
    type: _Type
    subject: _Text | None = None
    time: Moment
    datacontenttype: str = "application/json"
    data: dict[str, Any] | None = None
    data_base64: str | None = None
    traceparent: str | None = None

    @classmethod
    def of(
        cls,
        message: Message,
        *,
        event_id: str,
        source: str,
        subject: str | None,
        time: datetime,
        traceparent: str | None = None,
    ) -> Self:
        """Wrap a message. ``event_id`` must be the same whenever the same fact is sent again."""
        return cls(
            id=event_id,
            source=source,
            type=message.TYPE,
            subject=subject,
            time=time,
            traceparent=traceparent,
            data=message.model_dump(mode="json"),
        )

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read an envelope from the wire. Raises ``pydantic.ValidationError`` when it is none."""
        return cls.model_validate_json(body)

    def encode(self) -> bytes:
        """Return the envelope as it goes over the wire."""
        return self.model_dump_json(exclude_none=True).encode()

    @property
    def raw(self) -> bytes:
        """The bytes carried by ``data_base64``. Raises ``ValueError`` when the event carries none."""
        if self.data_base64 is None:
            raise ValueError(f"event {self.id} of type {self.type} carries no raw bytes")
        return base64.b64decode(self.data_base64, validate=True)

    def extension(self, name: str) -> str | None:
        """Return an extension attribute as text, or None when the event has none of that name."""
        value = (self.model_extra or {}).get(name)
        return None if value is None else str(value)


def exchange_of(event_type: str) -> str:
    """Return the exchange a type is published to: its context, the part before the first dot."""
    return event_type.partition(".")[0]


def parse(envelope: Envelope, model: type[MessageT]) -> MessageT:
    """Read the envelope's data as the given message.

    Raises ``ValueError`` when the envelope is of another type, ``pydantic.ValidationError`` when the data does not fit.
    """
    if envelope.type != model.TYPE:
        raise ValueError(f"expected {model.TYPE}, the event is {envelope.type}")
    return model.model_validate(envelope.data or {})
