"""What taking events in needs of the world: the notification log and its incidents, inside one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from notifier.incidents.model import ProblemFact
from notifier.messages.document import Document
from notifier.routing.model import Chosen, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotice:
    """Something to tell, and to whom. With no ``document`` nobody is told and ``reason`` says why.

    One (subject, transition) is kept once; ``sequence`` orders the transitions of a subject. ``hold_for`` (seconds) keeps the first
    attempt back, for an earlier notice that may still be on its way in.
    """

    id: str
    subject: str
    transition: str
    sequence: int
    kind: str
    severity: str
    event_id: str
    occurred_at: datetime
    order_number: str | None = None
    incident_id: int | None = None
    document: Document | None = None
    reason: str | None = None
    traceparent: str | None = None
    chosen: tuple[Chosen, ...] = ()
    hold_for: float = 0.0
    group: str | None = None
    labels: Labels | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An incident as the ledger has it. ``muted``: why nobody was told of it."""

    incident_id: int
    fact: ProblemFact
    occurrences: int
    muted: str | None
