"""Decides what a chat is sent next: new notices, the present text of a message that stands there, or a digest. Pure.

Normally one notice per message. When more wait than the limits let through soon, as many complete notices as fit share a message: twenty
messages a minute to a group must carry a thousand orders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from common.ids import derived_id
from common.telemetry import get_logger
from notifier.delivery.model import (
    CRITICAL,
    EDIT,
    ChatQueue,
    Digest,
    Entry,
    Limit,
    Message,
    StaleMessage,
    Waiting,
    calm_all,
    free,
)
from notifier.messages.channels import CHANNELS, ChannelRules
from notifier.messages.digest_notices import MOST_WORST, part_numbers, render_digest, render_list
from notifier.messages.document import Document, Keyboard, Page
from notifier.messages.incident_notices import STATUS_LINE_ROOM, keyboard_of, status_line
from notifier.messages.links import Links
from notifier.messages.words import Words
from notifier.people.model import Directory

_log = get_logger()
_DETAIL = ((8, MOST_WORST), (8, 1), (3, 0), (0, 0))
"""How many kinds and gravest problems a digest has, fewer until it fits: summaries may be long, and the numbers have to be there."""


@dataclass(frozen=True, slots=True)
class Option:
    """Something that could go next, and the limits that hold for it. ``what`` None stands for new notices."""

    what: StaleMessage | Digest | None
    priority: int
    limits: tuple[Limit, ...]

    @property
    def urgent(self) -> bool:
        """Whether it may use the places that are kept."""
        return self.priority <= CRITICAL


class NextMessage:
    """Chooses and renders for one channel."""

    def __init__(
        self,
        *,
        channel: str,
        words: Words,
        combine_above: int,
        storm_above: int,
        environment: str = "production",
        directory: Directory | None = None,
        links: Links | None = None,
    ) -> None:
        self._channel = channel
        self._rules = CHANNELS[channel]
        self._layout = self._rules.layout
        self._words = words
        self._combine_above = combine_above
        self._storm_above = storm_above
        self._environment = environment
        self._directory = directory or Directory()
        self._links = links or Links()

    def storms(self, chat: ChatQueue) -> list[int | None]:
        """Return the topics of the chat in which more problems wait than anybody can read, or where a digest is open."""
        if not self._rules.digests:
            return []
        topics = {topic for topic, count in chat.problems.items() if count > self._storm_above}
        topics |= {
            digest.topic or 0 for digest in chat.digests if not digest.closing and chat.problems.get(digest.topic or 0)
        }
        return [topic or None for topic in sorted(topics)]

    def without_absorbed(self, chat: ChatQueue) -> ChatQueue:
        """Return the chat without what came since its digest absorbed and is to be absorbed next: messages of a minute are few."""
        paged = {digest.topic: digest.paged for digest in chat.digests if not digest.closing}

        def own(waiting: Waiting) -> bool:
            if waiting.topic not in paged or not waiting.subject.startswith("incident:"):
                return True
            may_page = waiting.priority <= CRITICAL and waiting.group is not None
            return may_page and (waiting.attempts > 0 or waiting.group not in paged[waiting.topic])

        return replace(chat, waiting=tuple(filter(own, chat.waiting)))

    def options(self, chat: ChatQueue) -> list[Option]:
        """Return what could go next, the most urgent first."""
        found: list[Option] = []
        if chat.waiting:
            head = chat.waiting[0]
            # Orders keep their limits whole; what is about problems leaves places for the next critical one.
            bounds = chat.limits if not head.problem or head.priority <= CRITICAL else calm_all(chat.limits)
            found.append(Option(None, head.priority, bounds))
        if chat.stale is not None:
            priority = chat.stale.priority
            bounds = chat.limits if chat.stale.message_id is None else chat.edit_limits
            found.append(Option(chat.stale, priority, bounds if priority <= CRITICAL else calm_all(bounds)))
        for digest in chat.digests:
            if digest.due:
                bounds = chat.edit_limits if self.edits(digest) else chat.limits
                found.append(Option(digest, EDIT, calm_all(bounds)))
        return sorted(found, key=lambda option: option.priority)

    def entries(self, chat: ChatQueue) -> tuple[tuple[Entry, ...], list[tuple[Waiting, str]]]:
        """Return what goes into the next message, and what of the chat's head can never be rendered, with the reason."""
        open_places = min(
            (free(chat.windows.get(limit.key, ()), limit, chat.now) for limit in chat.limits if limit.places > 1),
            default=self._combine_above,
        )
        combine = must_combine(waiting=len(chat.waiting), free=open_places, patience=self._combine_above)
        candidates: list[Entry] = []
        unrenderable: list[tuple[Waiting, str]] = []
        used = 0
        for waiting in self._mates(chat, chat.waiting[0]):
            try:
                candidate = self._candidate(waiting)
                # Writes every line out: what cannot be written shows here, not in the call.
                used += _cost(candidate, self._rules)
            except Exception as error:  # noqa: BLE001 - a notice that cannot be rendered must not stop the others behind it
                _log.error("notice_not_rendered", delivery_id=str(waiting.id), kind=waiting.kind, exc_info=error)
                unrenderable.append((waiting, f"the notice cannot be rendered ({type(error).__name__})"))
                continue
            candidates.append(candidate)
            if not combine or used > self._layout.limit:
                break  # writing notices out takes time, and intake shares the loop: no more than can go now
        return pack(candidates, self._rules, combine=combine), unrenderable

    def post(self, chat: ChatQueue, entries: Sequence[Entry]) -> Message:
        """Return the message that carries these entries."""
        head = entries[0].waiting
        return Message(
            key=derived_id("notice", *(f"{entry.waiting.id}:{entry.pages[0].number}" for entry in entries)),
            channel=self._channel,
            address=chat.address,
            topic=head.topic,
            pages=tuple(
                (page, entry.mark if page is entry.pages[0] else None) for entry in entries for page in entry.pages
            ),
            subject=head.subject,
            kind=head.kind,
            severity=head.severity,
            dated=head.created_at,
            buttons=_buttons([entry.waiting for entry in entries if entry.last]),
        )

    def edit(self, chat: ChatQueue, stale: StaleMessage) -> Message:
        """Return a message that stands in a chat as it is to be now. Raises whatever a broken document makes."""
        head = stale.parts[0][0]
        pages, buttons = self.again(stale)
        return Message(
            key=derived_id("edit", str(stale.post_id), str(stale.wanted)),
            channel=self._channel,
            address=chat.address if stale.place is None or stale.message_id is None else stale.place,
            topic=stale.topic,
            pages=pages,
            subject=head.subject,
            kind=head.kind,
            severity=head.severity,
            dated=stale.created_at,
            buttons=buttons,
            edits=stale.message_id,
        )

    def digest(
        self,
        chat: ChatQueue,
        digest: Digest,
        *,
        tally: Sequence[Mapping[str, Any]],
        worst: Sequence[Mapping[str, Any]],
        orders: Sequence[str],
        listed: tuple[int, int] = (0, 0),
    ) -> Message:
        """Return the digest's message, which edits the one before where that can be done.

        All of ``orders`` are in it, whatever else has to be left out. ``listed``: numbers that stand in lists, and how many lists.
        """
        edits = self.edits(digest)
        mark = self._words["possibly_repeated"] if digest.possibly_repeated else None
        pages: tuple[Page, ...] = ()
        for most_kinds, most_worst in _DETAIL:
            document = render_digest(
                tally=tally,
                worst=worst[:most_worst],
                orders=orders,
                listed=listed,
                opened_at=digest.opened_at,
                now=chat.now,
                over=digest.closing,
                environment=self._environment,
                words=self._words,
                links=self._links,
                most_kinds=most_kinds,
            )
            pages = self._layout.pages(document)
            if self._fit(pages, mark):
                break
        return Message(
            key=derived_id("digest", str(digest.id), str(digest.wanted)),
            channel=self._channel,
            address=chat.address if digest.place is None or not edits else digest.place,
            topic=digest.topic,
            pages=tuple((page, mark if page.number == 1 else None) for page in pages),
            subject=f"digest:{digest.id}",
            kind="digest",
            severity="warning",
            dated=digest.opened_at,
            edits=digest.message_id if edits else None,
        )

    def lists(self, unlisted: Sequence[tuple[int, str]]) -> tuple[Sequence[Sequence[tuple[int, str]]], Sequence[str]]:
        """Part (delivery, number) into what goes into lists, the oldest first, and the numbers that the digest itself has room for."""
        return part_numbers(unlisted, room=self._rules.digest_room)

    def list_of(self, numbers: Sequence[str], *, part: int) -> Document:
        """Return a list of numbers, which fits on a page of every channel."""
        return render_list(numbers, part=part, environment=self._environment, words=self._words)

    def _fit(self, pages: Sequence[Page], mark: str | None) -> bool:
        used = sum(self._layout.cost(page, mark if page.number == 1 else None) for page in pages)
        return len(pages) <= self._layout.most_pages and used <= self._layout.limit

    def again(self, stale: StaleMessage) -> tuple[tuple[tuple[Page, str | None], ...], Keyboard]:
        """Return the present pages and buttons of a message that stands in a chat. Raises whatever a broken document makes."""
        pages: list[tuple[Page, str | None]] = []
        ends: list[Waiting] = []
        for waiting, first, past in stale.parts:
            every = self._layout.pages(Document.from_json(waiting.document), shrink=waiting.shrink)
            mark = self._mark(waiting, first)
            pages += [(page, mark if index == 0 else None) for index, page in enumerate(every[first:past])]
            if past >= len(every):
                ends.append(waiting)
        if stale.message_id is None and stale.possibly_repeated and pages:
            page, mark = pages[0]
            marks = [self._words["possibly_repeated"], *([mark] if mark else [])]
            pages[0] = (page, " · ".join(dict.fromkeys(marks)))
        return tuple(pages), _buttons(ends)

    def edits(self, digest: Digest) -> bool:
        """Return whether a digest's next turn is an edit; where messages cannot be edited it is another message."""
        return self._rules.edits and digest.message_id is not None

    def _mates(self, chat: ChatQueue, head: Waiting) -> Iterator[Waiting]:
        """Yield what may share the head's message. In a storm one critical problem of each group pages; the digest has the others."""
        storm = any(digest.topic == head.topic for digest in chat.digests)
        paging: set[str] = set()
        for waiting in chat.waiting:
            if waiting.topic != head.topic:
                continue
            if storm and waiting.problem and waiting.group is not None:
                if waiting.group in paging:
                    continue
                paging.add(waiting.group)
            yield waiting

    def _candidate(self, waiting: Waiting) -> Entry:
        """Render what of a notice has not been sent yet. Raises whatever a broken document makes."""
        pages = self._layout.pages(Document.from_json(waiting.document), shrink=waiting.shrink)
        done = min(waiting.pages_done, len(pages) - 1)
        return Entry(waiting=waiting, pages=pages[done:], mark=self._mark(waiting, done), last=True)

    def _mark(self, waiting: Waiting, first: int) -> str | None:
        """Return what stands before page ``first`` (from 0): how the problem stands is said once, before the notice's first page."""
        repeated = self._words["possibly_repeated"] if waiting.possibly_repeated else None
        stands = status_line(waiting.incident, self._words, name_of=self._directory.name_of) if first == 0 else None
        return " · ".join(mark for mark in (repeated, stands) if mark) or None


def must_combine(*, waiting: int, free: int, patience: int) -> bool:
    """Whether the backlog forces several notices into a message.

    ``waiting`` notices want to go, ``free`` messages may go in the running period, and a reader should not wait for more than
    ``patience`` messages (about as many seconds).
    """
    return waiting > min(free, patience)


def pack(candidates: Sequence[Entry], rules: ChannelRules, *, combine: bool) -> tuple[Entry, ...]:
    """Choose what goes into one message, in the given order. Each candidate comes with all its pages that remain.

    The first always goes: as many of its pages as fit. Others join only when ``combine`` is set and only whole, up to the first that does
    not fit, so that the order is kept. Where messages are edited, room is kept for what an edit may add. A notice that was too long
    for the provider takes half as much each time.
    """
    if not candidates:
        return ()
    layout, first = rules.layout, candidates[0]
    limit = layout.limit >> first.waiting.shrink
    used = count = 0
    for page in first.pages[: max(1, layout.most_pages >> first.waiting.shrink)]:
        price = layout.cost(page, first.mark if count == 0 else None)
        if count and used + price > limit:
            break
        used += price
        count += 1
    if count < len(first.pages):
        return (replace(first, pages=first.pages[:count], last=False),)
    packed = [first]
    if not combine or first.waiting.alone:
        return (first,)
    used += _room(first, rules)
    for candidate in candidates[1:]:
        price = _cost(candidate, rules) + _room(candidate, rules)
        if candidate.waiting.alone or used + price > layout.limit or count + len(candidate.pages) > layout.most_pages:
            break
        packed.append(candidate)
        used += price
        count += len(candidate.pages)
    return tuple(packed)


def _cost(entry: Entry, rules: ChannelRules) -> int:
    return sum(rules.layout.cost(page, entry.mark if index == 0 else None) for index, page in enumerate(entry.pages))


def _room(entry: Entry, rules: ChannelRules) -> int:
    return STATUS_LINE_ROOM if rules.edits and entry.waiting.incident is not None else 0


def _buttons(ends: Sequence[Waiting]) -> Keyboard:
    """Return the buttons of a message in which these notices end."""
    return keyboard_of(
        [(waiting.document, None if waiting.incident is None else waiting.incident.state) for waiting in ends]
    )
