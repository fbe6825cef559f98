"""What the use cases need of the world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from common.contracts import Envelope
from notifier.delivery.limits import Limit
from notifier.delivery.outcomes import After, AfterEdit, Outcome, Sent
from notifier.delivery.urgency import USUAL
from notifier.messages.buttons import Keyboard
from notifier.messages.incident_status import IncidentNow
from notifier.messages.layout import Page


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
class Standing:
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
class Lane:
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
    standing: Standing | None = None
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

    standing: Standing


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


class Queue(Protocol):
    """The waiting deliveries of one channel, inside one transaction."""

    async def next_lane(self) -> Lane | None:
        """Lock a lane that has something to send and is not in use; None when there is none. Other replicas skip it.

        Lanes with something urgent come first, then the one that was used longest ago.
        """
        ...

    async def postpone(self, lane: Lane, until: datetime) -> None:
        """Leave the lane alone until then."""
        ...

    async def urgent_only(self, lane: Lane, until: datetime) -> None:
        """Send nothing but what is urgent in this lane until then."""
        ...

    async def hold(self, what: Standing | Digest, until: datetime) -> None:
        """Make this edit, or this digest's next turn, not before then."""
        ...

    async def look_again(self, lane: Lane) -> Lane:
        """Return the locked lane as it is after something was changed in this transaction."""
        ...

    async def claim(
        self, lane: Lane, claim: Claim, *, windows: Mapping[str, tuple[datetime, ...]], lease_until: datetime
    ) -> None:
        """Mark the claim's deliveries as being sent and the windows as used.

        A digest, or a message that is posted anew, may have arrived from now on until its outcome is recorded: whoever claims it again
        after this sender's death says so.
        """
        ...

    async def open_digest(self, lane: Lane, topic: int | None) -> Digest:
        """Open the digest of a storm, or return the one that is open."""
        ...

    async def absorb(self, lane: Lane, digest: Digest) -> int:
        """Give the digest what waits in its topic about problems, but for critical ones whose group has not paged; returns how many.

        They are on their way (``sending``, without a lease) until the digest shows them.
        """
        ...

    async def tally(self, digest: Digest) -> Sequence[Mapping[str, Any]]:
        """Return what a digest has to tell, by how its problems stand now: rows of ``kind``, ``severity``, ``state`` and ``count``."""
        ...

    async def worst(self, digest: Digest, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return its gravest problems that are not over, newest first: rows of ``id``, ``kind``, ``summary`` and ``order_number``."""
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

    async def keep_post(self, claim: Claim, entries: Sequence[Entry], *, sent: Sent, seen: Mapping[int, int]) -> None:
        """Remember a message with problems in it, so that it can be edited. ``seen`` is incident → the version that it shows.

        To be called before ``record`` in the transaction: it locks the incidents, and is stale at once if one of them has changed since.
        """
        ...

    async def forget_post(self, standing: Standing) -> None:
        """Edit that message no more."""
        ...

    async def record_edit(self, claim: Claim, standing: Standing, after: AfterEdit, *, at: datetime) -> None:
        """Write down what became of an edit, and free the lane."""
        ...

    async def record_digest(
        self, claim: Claim, digest: Digest, after: AfterEdit, *, at: datetime, again_at: datetime
    ) -> int:
        """Write down what became of a digest and of what it shows, and free the lane; it has its next turn at ``again_at`` at the earliest.

        Returns how many deliveries came to their end.
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

    async def receipt(self, entry: Entry, text: str) -> None:
        """Write into its incident's history that a delivery which stands in for another one arrived."""
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
