"""Values of the duty: a call to be made and what came of it, a handover."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

NO_PHONE = "the directory has no phone of this person"
"""Stored: why a call failed."""
HELD_FOR = timedelta(seconds=5)
"""How long what a silence holds is left alone before it is looked at again."""


def digest_of_number(person: str, phone: str) -> str:
    """Return what is stored of the number that a person is called under: it says whether it is another one by now, and not which."""
    return hashlib.blake2b(f"{person}\0{phone}".encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallClaim:
    """The right to phone somebody once, under an id by which a repeat makes no second call. ``others``: problems this call covers too."""

    id: str
    person: str
    attempts: int
    incident_id: int | None
    summary: str
    order_number: str | None
    others: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """A call to be placed once under its key. ``repeated``: it was asked for before, since ``since``, and may have been placed."""

    key: str
    phone: str = field(repr=False)
    text: str
    repeated: bool
    since: datetime


@dataclass(frozen=True, slots=True)
class Placed:
    """The call provider took the call, under its own id."""

    outside_id: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """This call will never be made: a bad number, no number, a refusal for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class TryLater:
    """It may work later, under the same id; ``seconds`` as the provider asks, None when it does not say."""

    reason: str
    seconds: float | None = None


CallOutcome = Placed | Unreachable | TryLater


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A shift that was announced."""

    id: int
    starts_at: datetime
    ends_at: datetime
    person: str
    previous: str | None
    confirmed_at: datetime | None
    escalated_at: datetime | None
