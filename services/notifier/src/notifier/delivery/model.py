"""What delivering is about, pure: urgency and limits, a notice that is new, a delivery that waits, a message that is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import uuid4

from common.newer import member
from notifier.delivery.outcomes import Outcome
from notifier.incidents.model import IncidentState
from notifier.messages.document import Document, Keyboard, Page
from notifier.messages.incident_notices import IncidentNow
from notifier.routing.model import Chosen, Labels

# Which of the messages that wait in a chat goes first; smaller is earlier: what a person has just done, new critical problems, notices
# about shifts, edits, orders and warnings, information.
ACT = 0
CRITICAL = 1
SHIFT = 3
EDIT = 4
USUAL = 5
INFORMATION = 9
KEPT_FOR_PAGES = 5
"""Places of a group's minute that ordinary problem messages and edits leave free, so that a critical one need not wait for the next."""
ROOM = timedelta(milliseconds=50)
"""The provider's clock may run a little faster than the database's."""
_READ_APART = {"notice_id", "group", "incident"}
_TICK = timedelta(microseconds=1)


def urgency_of(*, kind: str, severity: str) -> int:
    """Return the urgency of a notice. Orders and test messages are usual whatever their severity says."""
    if kind.startswith(("order.", "test")):
        return USUAL
    if kind.startswith(("shift.", "roster.")):
        return SHIFT
    return {"critical": CRITICAL, "warning": USUAL}.get(severity, INFORMATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most ``places`` sendings in any ``period``; ``key`` names the window in the database, which replicas share.

    Each sending holds a place from the moment it is claimed; while the call is under way the place is dated at the call's deadline, and
    when the call ended, at that moment. So whenever the provider counts a message as arrived (somewhere between the start and the end of
    the call), no period ever holds more than ``places``. A bucket of tokens that refills at the same rate would allow twice as many
    within a period after a rest; providers that count a sliding minute refuse that.
    """

    key: str
    places: int
    period: timedelta

    def __post_init__(self) -> None:
        if self.places < 1 or self.period <= timedelta(0):
            raise ValueError(f"limit {self.key} allows nothing")


def calm(limit: Limit, kept: int) -> Limit:
    """Return the limit for what is not urgent: ``kept`` places of a larger window are left to what is."""
    return replace(limit, places=limit.places - kept) if limit.places > 2 * kept else limit


def calm_all(limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    """Return the limits for what is about problems and not critical, or need not go now."""
    return tuple(calm(limit, KEPT_FOR_PAGES) for limit in limits)


def live(stamps: Sequence[datetime], limit: Limit, now: datetime) -> tuple[datetime, ...]:
    """Return the stamps that still count, oldest first."""
    return tuple(sorted(stamp for stamp in stamps if stamp > now - limit.period))


def free(stamps: Sequence[datetime], limit: Limit, now: datetime) -> int:
    """Return how many sendings may start now."""
    return max(0, limit.places - len(live(stamps, limit, now)))


def opens_at(stamps: Sequence[datetime], limit: Limit, now: datetime) -> datetime:
    """Return the first moment, not before ``now``, at which a sending may start if nothing else happens.

    A call that is under way may end before its deadline, so the true moment can be earlier; asking again at this one is safe.
    """
    counted = live(stamps, limit, now)
    if len(counted) < limit.places:
        return now
    return counted[len(counted) - limit.places] + limit.period


def opens(chat: ChatQueue, limits: Sequence[Limit]) -> datetime:
    """Return the first moment at which all these limits of a chat may have a free place."""
    return max((opens_at(chat.windows.get(limit.key, ()), limit, chat.now) for limit in limits), default=chat.now)


def take(
    stamps: Sequence[datetime], limit: Limit, now: datetime, *, until: datetime
) -> tuple[tuple[datetime, ...], datetime]:
    """Hold a place until the call's deadline: returns (the window's new stamps, the stamp that is ours).

    The stamp is unique within the window, so that it can be found again. Raises ``ValueError`` when no place is free.
    """
    counted = live(stamps, limit, now)
    if len(counted) >= limit.places:
        raise ValueError(f"no place is free in {limit.key}")
    held = until
    while held in counted:
        held += _TICK
    return (*counted, held), held


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotice:
    """A notice to be sent, and to whom. With no ``document`` nobody is notified and ``reason`` says why.

    One (subject, transition) is kept once; ``sequence`` orders the transitions of a subject. ``hold_for`` (seconds) keeps the first
    attempt back, for an earlier notice that may still be on its way in. ``received_at`` is when the gateway first took the hook that it
    tells of; of one that was long on its way ``taken_at`` is when the orchestrator had it, and ``came_by`` what it came by.
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
    received_at: datetime | None = None
    taken_at: datetime | None = None
    came_by: str | None = None

    @property
    def priority(self) -> int:
        """How urgent it is."""
        return urgency_of(kind=self.kind, severity=self.severity)


@dataclass(frozen=True, slots=True)
class Added:
    """A delivery that this transaction has added: of which notice, to whom, and when by the database's time."""

    id: int
    notice: NewNotice
    chosen: Chosen
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A delivery that waits in a chat. ``document`` is JSON as it was kept: whoever reads it must expect that it cannot be read.

    ``incident`` is how its problem stands at this moment, None where nothing of that is to be said.
    Critical problems of one ``group`` page once in a storm.
    """

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
    severity: str = "info"
    priority: int = USUAL
    group: str | None = None
    shrink: int = 0
    incident: IncidentNow | None = None
    fallback_of: int | None = None

    @property
    def problem(self) -> bool:
        """Whether it is about problems: such notices leave places to pages."""
        return self.subject.startswith(("incident:", "digest:"))


def waiting_of(row: Any) -> Waiting:
    """Read a row of ``posts.DELIVERY``."""
    incident = None
    if row["incident_id"] is not None and row["transition"] != "resolved":  # that it is over stays true
        incident = IncidentNow(
            id=row["incident_id"],
            kind=row["incident_kind"],
            severity=row["incident_severity"],
            state=member(IncidentState, row["incident_state"]),
            acknowledged_by=row["acknowledged_by"],
            acknowledged_at=row["acknowledged_at"],
            resolved_by=row["resolved_by"],
            resolved_at=row["resolved_at"],
            version=row["incident_version"],
        )
    same = {field.name: row[field.name] for field in fields(Waiting) if field.name not in _READ_APART}
    return Waiting(notice_id=str(row["notice_id"]), group=row["page_group"], incident=incident, **same)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleMessage:
    """A message in a chat that no longer says what is true. ``parts`` are its deliveries with their pages (first, past).

    No ``message_id``: it is gone, and is posted anew. ``wanted`` is what recording compares with: what changed since is shown by
    another edit.
    """

    post_id: int
    message_id: str | None
    place: str | None
    topic: int | None
    priority: int
    attempts: int
    wanted: int
    possibly_repeated: bool
    created_at: datetime
    parts: tuple[tuple[Waiting, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The self-editing message of a storm, as it has to be now. ``due``: it may be posted or edited at this moment."""

    id: int
    message_id: str | None
    place: str | None
    topic: int | None
    attempts: int
    wanted: int
    possibly_repeated: bool
    closing: bool
    paged: frozenset[str]
    due: bool
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatQueue:
    """A locked chat (a row of ``lanes``): what waits there (in order, the head of it) and how the providers' limits stand.

    ``problems`` counts the problem notices that wait, up to one more than the storm's threshold, by topic (0: none). ``refused``: it
    took nothing the last time. ``edit_limits`` hold for edits; ``windows`` has the stamps of both.
    """

    key: str
    address: str
    now: datetime
    waiting: tuple[Waiting, ...]
    windows: Mapping[str, tuple[datetime, ...]]
    limits: tuple[Limit, ...]
    edit_limits: tuple[Limit, ...] = ()
    refused: bool = False
    stale: StaleMessage | None = None
    digests: tuple[Digest, ...] = ()
    problems: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A delivery in a message: the pages that go now. ``last`` says that nothing of it remains after them."""

    waiting: Waiting
    pages: tuple[Page, ...]
    mark: str | None
    last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to a provider. ``key`` is the same whenever the same thing is sent again.

    ``pages`` come with the mark to put before each, or None. ``edits`` is the provider's id of the message that this one takes the place
    of. ``subject`` (``order:…``, ``incident:…``) is what the first page is about; what has the same subject belongs to one thread.
    """

    key: str
    channel: str
    address: str
    topic: int | None
    pages: tuple[tuple[Page, str | None], ...]
    subject: str
    kind: str
    severity: str
    dated: datetime
    buttons: Keyboard = ()
    edits: str | None = None


Work = tuple[Entry, ...] | StaleMessage | Digest
"""New deliveries, or a message that gets its present text, or a digest that is posted or edited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to send one message: nobody else sends in this chat until it is recorded or its lease ends.

    ``taken_at`` (this process's monotonic clock, seconds) is the moment from which the call's deadline counts.
    """

    id: str
    chat: str
    message: Message
    work: Work
    held: Mapping[str, datetime]
    taken_at: float
    refused: bool = False

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The deliveries that this message carries; edits and digests have none of their own."""
        return self.work if isinstance(self.work, tuple) else ()


def claim_of(
    chat: ChatQueue, message: Message, work: Work, *, deadline: timedelta, taken_at: float
) -> tuple[Claim, dict[str, tuple[datetime, ...]]]:
    """Return the claim of a message and the stamps that the rate windows get by it, which hold a place until ``deadline`` has passed.

    Raises ``ValueError`` when no place is free.
    """
    windows: dict[str, tuple[datetime, ...]] = {}
    held: dict[str, datetime] = {}
    for limit in chat.edit_limits if message.edits is not None else chat.limits:
        stamps = chat.windows.get(limit.key, ())
        windows[limit.key], held[limit.key] = take(stamps, limit, chat.now, until=chat.now + deadline + ROOM)
    claim = Claim(
        id=str(uuid4()), chat=chat.key, message=message, work=work, held=held, taken_at=taken_at, refused=chat.refused
    )
    return claim, windows


class Sender(Protocol):
    """A provider. Bounded by ``deadline`` seconds; never raises for what the provider says, answers with an outcome."""

    async def send(self, message: Message, *, deadline: float) -> Outcome:
        """Send one message."""
        ...
