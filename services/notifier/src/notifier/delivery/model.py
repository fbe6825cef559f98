"""What the use cases need of the world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from notifier.delivery.limits import Limit
from notifier.delivery.outcomes import Outcome
from notifier.delivery.urgency import USUAL
from notifier.messages.document import Keyboard, Page
from notifier.messages.incident_notices import IncidentNow


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A delivery that waits in a lane. ``document`` is JSON as it was kept: whoever reads it must expect that it cannot be read.

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
        """Whether it is about a problem: such notices leave places to pages, and share digests in a storm."""
        return self.subject.startswith("incident:")


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
    """The self-editing message of a storm, with what it has to tell as of now. ``due``: it may be posted or edited at this moment."""

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
    """A locked lane: what waits there (in order, the head of it) and how the providers' limits stand.

    ``problems`` counts the problem notices that wait, up to one more than the storm's threshold, by topic (0: none). ``refused``: its chat
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """A new message that carries deliveries."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Editing:
    """A message that stands in the chat gets its present text."""

    stale: StaleMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Digesting:
    """A digest is posted or edited."""

    digest: Digest


Work = Posting | Editing | Digesting


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to send one message: nobody else sends in this lane until it is recorded or its lease ends.

    ``taken_at`` (this process's monotonic clock, seconds) is the moment from which the call's deadline counts.
    """

    id: str
    lane: str
    message: Message
    work: Work
    held: Mapping[str, datetime]
    taken_at: float
    refused: bool = False

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The deliveries that this message carries; edits and digests have none of their own."""
        return self.work.entries if isinstance(self.work, Posting) else ()


class Sender(Protocol):
    """A provider. Bounded by ``deadline`` seconds; never raises for what the provider says, answers with an outcome."""

    async def send(self, message: Message, *, deadline: float) -> Outcome:
        """Send one message."""
        ...
