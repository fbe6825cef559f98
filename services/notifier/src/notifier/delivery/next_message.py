"""What a lane's next message is: new notices, the present text of one that stands there, or a digest. It decides and does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from common.telemetry import get_logger
from notifier.delivery import limits as rate
from notifier.delivery.limits import Limit
from notifier.delivery.model import ChatQueue, Digest, Entry, StaleMessage, Waiting
from notifier.delivery.urgency import CRITICAL, EDIT, KEPT_FOR_PAGES
from notifier.messages.channels import ChannelRules
from notifier.messages.document import Document, Keyboard, Page
from notifier.messages.incident_notices import STATUS_LINE_ROOM, keyboard_of, status_line
from notifier.messages.packing import Candidate, must_combine, pack
from notifier.messages.words import Words
from notifier.people.model import Directory

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Option:
    """Something that could go next, and the limits that hold for it. ``what`` None stands for new notices, beginning with ``head``."""

    what: StaleMessage | Digest | None
    head: Waiting | None
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
        words: Words,
        combine_above: int,
        storm_above: int,
        rules: ChannelRules,
        directory: Directory | None = None,
    ) -> None:
        self._layout = rules.layout
        self._words = words
        self._combine_above = combine_above
        self._storm_above = storm_above
        self._rules = rules
        self._directory = directory or Directory()

    def storms(self, lane: ChatQueue) -> list[int | None]:
        """Return the topics of the lane in which more problems wait than anybody can read, or where a digest is open."""
        if not self._rules.digests:
            return []
        topics = {topic for topic, count in lane.problems.items() if count > self._storm_above}
        topics |= {
            digest.topic or 0 for digest in lane.digests if not digest.closing and lane.problems.get(digest.topic or 0)
        }
        return [topic or None for topic in sorted(topics)]

    def edits(self, digest: Digest) -> bool:
        """Return whether a digest's next turn is an edit; where messages cannot be edited it is another message."""
        return self._rules.edits and digest.message_id is not None

    def options(self, lane: ChatQueue) -> list[Option]:
        """Return what could go next, the most urgent first."""
        found: list[Option] = []
        if lane.waiting:
            head = lane.waiting[0]
            # Orders keep their limits whole; what is about problems leaves places for the next critical one.
            bounds = lane.limits if not head.problem or head.priority <= CRITICAL else _calm(lane.limits)
            found.append(Option(None, head, head.priority, bounds))
        if lane.stale is not None:
            priority = lane.stale.priority
            bounds = lane.limits if lane.stale.message_id is None else lane.edit_limits
            found.append(Option(lane.stale, None, priority, bounds if priority <= CRITICAL else _calm(bounds)))
        for digest in lane.digests:
            if digest.due:
                bounds = lane.edit_limits if self.edits(digest) else lane.limits
                found.append(Option(digest, None, EDIT, _calm(bounds)))
        return sorted(found, key=lambda option: option.priority)

    def entries(self, lane: ChatQueue) -> tuple[tuple[Entry, ...], list[tuple[Waiting, str]]]:
        """Return what goes into the next message, and what of the lane's head can never be rendered, with the reason."""
        head = lane.waiting[0]
        mates = list(self._mates(lane, head))
        free = min(
            (rate.free(lane.windows.get(limit.key, ()), limit, lane.now) for limit in lane.limits if limit.places > 1),
            default=self._combine_above,
        )
        combine = must_combine(waiting=len(lane.waiting), free=free, patience=self._combine_above)
        candidates: dict[int, Candidate] = {}
        spoilt: list[tuple[Waiting, str]] = []
        used = 0
        for waiting in mates:
            try:
                candidates[waiting.id], price = self._candidate(waiting)
            except Exception as error:  # noqa: BLE001 - a notice that cannot be rendered must not stop the others behind it
                _log.error("notice_not_rendered", delivery_id=str(waiting.id), kind=waiting.kind, exc_info=error)
                spoilt.append((waiting, f"the notice cannot be rendered ({type(error).__name__})"))
                continue
            used += price
            if not combine or used > self._layout.limit:
                break  # writing notices out takes time, and intake shares the loop: no more than can go now
        by_id = {waiting.id: waiting for waiting in mates}
        entries = tuple(
            Entry(
                waiting=by_id[part.id],
                pages=candidates[part.id].pages[part.first : part.end],
                mark=candidates[part.id].mark if part.first == 0 else self._repeated(by_id[part.id]),
                last=part.end == len(candidates[part.id].pages),
            )
            for part in pack(list(candidates.values()), self._layout, combine=combine)
        )
        return entries, spoilt

    def again(self, post: StaleMessage) -> tuple[tuple[tuple[Page, str | None], ...], Keyboard]:
        """Return the present pages and buttons of a message that stands in a chat. Raises whatever a broken document makes."""
        pages: list[tuple[Page, str | None]] = []
        ends: list[Waiting] = []
        for waiting, first, past in post.parts:
            every = self._layout.pages(Document.from_json(waiting.document), shrink=waiting.shrink)
            mark = self._mark(waiting) if first == 0 else self._repeated(waiting)
            pages += [(page, mark if index == 0 else None) for index, page in enumerate(every[first:past])]
            if past >= len(every):
                ends.append(waiting)
        if post.message_id is None and post.possibly_repeated and pages:
            page, mark = pages[0]
            marks = [self._words["possibly_repeated"], *([mark] if mark else [])]
            pages[0] = (page, " · ".join(dict.fromkeys(marks)))
        return tuple(pages), self.buttons(ends)

    def buttons(self, ends: list[Waiting]) -> Keyboard:
        """Return the buttons of a message in which these notices end."""
        return keyboard_of(
            [(waiting.document, None if waiting.incident is None else waiting.incident.state) for waiting in ends]
        )

    def _mates(self, lane: ChatQueue, head: Waiting) -> Iterator[Waiting]:
        """Yield what may share the head's message. In a storm one critical problem of each group pages; the digest has the others."""
        storm = any(digest.topic == head.topic for digest in lane.digests)
        paging: set[str] = set()
        for waiting in lane.waiting:
            if waiting.topic != head.topic:
                continue
            if storm and waiting.problem and waiting.group is not None:
                if waiting.group in paging:
                    continue
                paging.add(waiting.group)
            yield waiting

    def _candidate(self, waiting: Waiting) -> tuple[Candidate, int]:
        """Render a notice; returns it with what its remaining pages take of a message. Raises whatever a broken document makes."""
        pages = self._layout.pages(Document.from_json(waiting.document), shrink=waiting.shrink)
        candidate = Candidate(
            id=waiting.id,
            pages=pages,
            done=min(waiting.pages_done, len(pages) - 1),
            mark=self._mark(waiting),
            alone=waiting.alone,
            shrink=waiting.shrink,
            room=STATUS_LINE_ROOM if self._rules.edits and waiting.incident is not None else 0,
        )
        # Writes every line out: what cannot be written shows here, not in the call.
        return candidate, sum(self._layout.cost(page, candidate.mark) for page in pages[candidate.done :])

    def _mark(self, waiting: Waiting) -> str | None:
        stands = status_line(waiting.incident, self._words, name_of=self._directory.name_of)
        marks = [mark for mark in (self._repeated(waiting), stands) if mark]
        return " · ".join(marks) or None

    def _repeated(self, waiting: Waiting) -> str | None:
        return self._words["possibly_repeated"] if waiting.possibly_repeated else None


def _calm(limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
    return tuple(rate.calm(limit, KEPT_FOR_PAGES) for limit in limits)
