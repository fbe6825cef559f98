"""What the use cases need of the world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from common.contracts import Envelope
from notifier.domain.deliveries import After, Outcome
from notifier.domain.document import Document
from notifier.domain.incidents import IncidentState, ProblemFact, Reported
from notifier.domain.layout import Page
from notifier.domain.limits import Limit
from notifier.domain.routes import Chosen


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


class Ledger(Protocol):
    """The notification log and the incidents, inside one transaction that the caller commits."""

    async def versions_seen(self, versions: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        """Return those (order number, version) of which there is a notice, told or not."""
        ...

    async def add(self, notices: Sequence[NewNotice]) -> set[str]:
        """Keep notices and their deliveries, in this order; returns the ids of those that were not there yet."""
        ...

    async def report(self, fact: ProblemFact, *, environment: str) -> Reported | None:
        """Open an incident or count another occurrence of the one that is open under the fingerprint.

        None: the problem was reported as over before, at a later moment than this report's; it is not opened.
        """
        ...

    async def settle(
        self, fingerprint: str, *, actor: str, summary: str, at: datetime
    ) -> tuple[int, ProblemFact] | None:
        """Resolve the live incident of a fingerprint; returns its id and what it was.

        None: there is none, or it was reported again after ``at``. The end is remembered: reports of the problem that are older
        and still on their way in (another replica's, another Alertmanager's) open nothing.
        """
        ...

    async def promise(self, *envelopes: Envelope) -> None:
        """Put events into the outbox."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A delivery that waits in a lane. ``document`` is JSON as it was kept: whoever reads it must expect that it cannot be read."""

    id: int
    notice_id: str
    kind: str
    subject: str
    order_number: str | None
    destination: str
    topic: int | None
    document: Mapping[str, Any]
    traceparent: str | None
    occurred_at: datetime
    created_at: datetime
    attempts: int
    pages_done: int
    possibly_repeated: bool
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A locked lane: what waits there (in order, the head of it) and how the providers' limits stand.

    ``refused``: its chat took nothing the last time.
    """

    key: str
    address: str
    now: datetime
    waiting: tuple[Waiting, ...]
    windows: Mapping[str, tuple[datetime, ...]]
    limits: tuple[Limit, ...]
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A delivery in a message: the pages that go now. ``last`` says that nothing of it remains after them."""

    waiting: Waiting
    pages: tuple[Page, ...]
    mark: str | None
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to a provider. ``key`` is the same whenever the same thing is sent again."""

    key: str
    channel: str
    address: str
    topic: int | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to send one message: nobody else sends in this lane until it is recorded or its lease ends.

    ``taken_at`` (this process's monotonic clock, seconds) is the moment from which the call's deadline counts.
    """

    id: str
    lane: str
    message: Message
    held: Mapping[str, datetime]
    taken_at: float
    refused: bool = False


class Queue(Protocol):
    """The waiting deliveries of one channel, inside one transaction."""

    async def next_lane(self) -> Lane | None:
        """Lock a lane that has something to send and is not in use; None when there is none. Other replicas skip it."""
        ...

    async def postpone(self, lane: Lane, until: datetime) -> None:
        """Leave the lane alone until then."""
        ...

    async def claim(
        self, lane: Lane, claim: Claim, *, windows: Mapping[str, tuple[datetime, ...]], lease_until: datetime
    ) -> None:
        """Mark the deliveries as being sent and the windows as used."""
        ...

    async def spoil(self, deliveries: Mapping[int, str]) -> None:
        """End deliveries that can never be sent, each with its reason."""
        ...

    async def now(self) -> datetime:
        """Return the database's time: replicas share it."""
        ...

    async def record(
        self, claim: Claim, results: Sequence[tuple[Entry, After]], *, message_id: str | None, at: datetime
    ) -> set[int]:
        """Write down what became of the deliveries, free the lane, date the windows' places at ``at``.

        Returns the ids that were still this claim's; of the others somebody else decides.
        """
        ...

    async def pause(self, claim: Claim, until: datetime) -> None:
        """Keep the lane shut until then (a provider's 429)."""
        ...

    async def refuses(self, claim: Claim, refused: bool) -> None:
        """Remember whether the lane's chat takes anything."""
        ...

    async def move(self, claim: Claim, address: str) -> None:
        """Send everything of this lane to another address from now on."""
        ...

    async def promise(self, *envelopes: Envelope) -> None:
        """Put events into the outbox."""
        ...


class Queues(Protocol):
    """Opens a transaction on the deliveries of a channel."""

    def transaction(self) -> AbstractAsyncContextManager[Queue]:
        """Commit at the end of the block, roll back on an exception."""
        ...

    async def wait_until(self) -> float:
        """Return in how many seconds something may be due, at most a second."""
        ...

    async def expire(self) -> int:
        """Make deliveries whose sender died unknown, so that they are sent again; returns how many."""
        ...


class Sender(Protocol):
    """A provider. Bounded by ``deadline`` seconds; never raises for what the provider says, answers with an outcome."""

    async def send(self, message: Message, *, deadline: float) -> Outcome:
        """Send one message."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident as people act on it."""

    id: int
    state: IncidentState
    fact: ProblemFact
    version: int
    holder: str | None = None
    """Who acknowledged it last."""
    ack_until: datetime | None = None


class Desk(Protocol):
    """Incidents under a person's hands, inside one transaction."""

    async def incident(self, incident_id: int) -> Incident:
        """Lock and return an incident. Raises ``NotFound``."""
        ...

    async def nobody_is_called(self, incident: Incident) -> None:
        """Raise ``CallUnderWay`` while a call because of this (locked) incident is on its way: after its end none can begin."""
        ...

    async def change(
        self,
        incident: Incident,
        state: IncidentState,
        *,
        act: str,
        actor: str,
        text: str,
        ack_lasts: timedelta | None = None,
        origin: str | None = None,
    ) -> None:
        """Write the new state and a line of the incident's history; set the escalation's timer to the end of an acknowledgement.

        ``origin`` is where it was said; the line is not told there again.
        """
        ...

    async def audit(self, *, action: str, target: str, reason: str, before: Any, after: Any) -> None:
        """Leave an audit record."""
        ...
