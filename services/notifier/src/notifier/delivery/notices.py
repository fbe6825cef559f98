"""What taking events in needs of the world: the notification log and its incidents, inside one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from common.contracts import Envelope
from notifier.delivery.urgency import EDIT
from notifier.incidents.model import ProblemFact, Reported
from notifier.messages.document import Document
from notifier.routing.model import Chosen, Traits
from notifier.silences.model import Inhibition, Silence


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
    traits: Traits | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An incident as the ledger has it. ``muted``: why nobody was told of it."""

    incident_id: int
    fact: ProblemFact
    occurrences: int
    muted: str | None


class Ledger(Protocol):
    """The notification log and the incidents, inside one transaction that the caller commits."""

    async def versions_seen(self, versions: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        """Return those (order number, version) of which there is a notice, told or not."""
        ...

    async def add(self, notices: Sequence[NewNotice]) -> set[str]:
        """Keep notices and their deliveries, in this order; returns the ids of those that were not there yet."""
        ...

    async def lock(self, fingerprints: Sequence[str]) -> None:
        """Have these problems to oneself until the transaction ends; taken in one order, so that nobody waits crosswise.

        To be called before ``report`` and ``settle``, once, with all that the transaction reports or ends.
        """
        ...

    async def report(self, reports: Sequence[tuple[ProblemFact, str]]) -> list[Reported | None]:
        """Take (problem, environment) in, each problem once: it opens an incident or is counted at the one open under its fingerprint.

        None: the problem was reported as over before, at a later moment than this report's; it is not opened.
        """
        ...

    async def settle(self, ends: Sequence[tuple[str, str, str, datetime]]) -> list[Kept | None]:
        """Resolve the live incidents of (fingerprint, actor, summary, at), each fingerprint once; returns what they were, in that order.

        None: there is none, or it was reported again after ``at``. The end is remembered: reports of the problem that are older
        and still on their way in (another replica's, another Alertmanager's) open nothing.
        """
        ...

    async def silences(self) -> tuple[Sequence[Silence], datetime]:
        """Return the silences that are not over, and the database's time."""
        ...

    async def standing(self, rules: Sequence[Inhibition], target: Traits) -> Sequence[tuple[int, Traits]]:
        """Return incidents (with their ids) that are not over and might explain a problem by one of these rules; some hundred at most."""
        ...

    async def mute(self, why: Mapping[int, str | None]) -> None:
        """Remember why nobody was told of these incidents; None: they were told."""
        ...

    async def muted(self, limit: int) -> Sequence[Kept]:
        """Lock and return open incidents of which nobody was told; other replicas skip them."""
        ...

    async def refresh(self, incident_ids: Sequence[int], *, priority: int = EDIT) -> None:
        """Have every message that was sent about these incidents edited until it says how they stand.

        To be called after the change of the incident's row, in its transaction. Any number of changes before the edit is made are one edit.
        ``priority`` is ``urgency.ACT`` where a person has just done something and looks at the message.
        """
        ...

    async def promise(self, *envelopes: Envelope) -> None:
        """Put events into the outbox."""
        ...
