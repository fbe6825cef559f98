"""The outside tracker: create what is to be created, send comments on, read what people wrote there."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from common.errors import SuiteError, Unavailable
from common.service import apart
from common.telemetry import get_logger, scrub_text
from notifier.incidents.act import patiently
from notifier.metrics import PeopleMetrics
from notifier.people.model import Directory, Person
from notifier.tickets.acknowledge_from_comment import AcknowledgeFromComment
from notifier.tickets.model import CommentToSend, OutsideComment, TicketToCreate, TicketToRead, TrackerRefused
from notifier.tickets.tracker_store import TrackerStore
from notifier.tickets.yandex import YandexTracker

_log = get_logger()
_LEASE = timedelta(seconds=30)
_CALL_SECONDS = 15.0
_STRANGER = "tracker"


class SyncTracker:
    """Exactly one issue a ticket (``unique`` is the incident), and comments at most doubled by nobody: a repeat first looks for itself."""

    def __init__(
        self,
        *,
        store: TrackerStore,
        tracker: YandexTracker,
        acknowledge: AcknowledgeFromComment,
        directory: Directory,
        metrics: PeopleMetrics,
        every: timedelta,
    ) -> None:
        self._store = store
        self._tracker = tracker
        self._acknowledge = acknowledge
        self._directory = directory
        self._metrics = metrics
        self._every = every

    async def create(self) -> bool:
        """Create one ticket; returns whether there was one."""
        ticket = await self._store.ticket(lease=_LEASE)
        if ticket is None:
            return False
        with apart(f"ticket {ticket.id}"):  # its lease keeps it apart
            try:
                key = await self._tracker.create(
                    queue=ticket.queue, summary=ticket.summary, description=ticket.description, unique=ticket.unique
                )
            except (Unavailable, TrackerRefused) as error:
                await self._failed("ticket", ticket, error, for_good=False)  # a queue may be made, rights may be given
            else:
                await self._store.created(ticket, key)
                self._metrics.tracker.labels("ticket", "done").inc()
        return True

    async def send(self) -> bool:
        """Send one comment; returns whether there was one."""
        comment = await self._store.comment(lease=_LEASE)
        if comment is None:
            return False
        with apart(f"comment {comment.id}"):  # its lease keeps it apart
            try:
                found = await self._find(comment) if comment.repeated else None
                if comment.link is not None:
                    await self._link(comment.key, comment.link)
                whom = None if found is not None else comment.assign
                assigned = whom is not None and await self._assign(comment.key, whom)
                outside_id = found or await self._tracker.comment(comment.key, comment.text, summon=comment.summon)
            except (Unavailable, TrackerRefused) as error:
                await self._failed("comment", comment, error, for_good=isinstance(error, TrackerRefused))
            else:
                await self._store.sent(comment, outside_id, assigned=assigned)
                self._metrics.tracker.labels("comment", "done").inc()
        return True

    async def read(self) -> bool:
        """Read the new comments of one ticket; returns whether there was one."""
        ticket = await self._store.to_read(every=self._every)
        if ticket is None:
            return False
        with apart(f"ticket {ticket.id}"):  # its lease keeps it apart
            try:
                await self.read_comments(ticket)
            except (Unavailable, TrackerRefused) as error:
                self._metrics.tracker.labels("read", "later").inc()
                _log.warning("tracker_not_read", ticket=ticket.key, reason=error.detail)
            else:
                self._metrics.tracker.labels("read", "done").inc()
        return True

    async def read_comments(self, ticket: TicketToRead) -> None:
        """Read what people wrote to one ticket, each comment once. Raises what the tracker raises, and ``CallUnderWay``."""
        for comment in await self._tracker.comments(ticket.key, after=ticket.seen):
            await patiently(partial(self._take, ticket, comment), seconds=_CALL_SECONDS)

    async def move(self) -> bool:
        """Close one ticket in the tracker whose problem is over, or open one again; returns whether there was one."""
        ticket = await self._store.to_move(lease=_LEASE)
        if ticket is None:
            return False
        with apart(f"ticket {ticket.id}"):  # its lease keeps it apart
            try:
                await self._tracker.move(ticket.key, opened=ticket.state == "open")
            except (Unavailable, TrackerRefused) as error:
                await self._store.move_later(ticket, reason=error.detail)
                self._metrics.tracker.labels("move", "refused" if isinstance(error, TrackerRefused) else "later").inc()
                _log.warning("tracker_not_moved", ticket=ticket.key, reason=error.detail)
            else:
                await self._store.moved(ticket)
                self._metrics.tracker.labels("move", "done").inc()
        return True

    async def _take(self, ticket: TicketToRead, comment: OutsideComment) -> None:
        person = self._person(comment)
        of_person = person is not None and not await self._by_us(comment)
        author, role = (_STRANGER, "viewer") if person is None else (person.id, person.role)
        text = scrub_text(comment.text)
        async with self._store.reading(ticket, author=author, role=role) as reading:
            kept = await reading.keep(ticket, comment, author=author, text=text, of_person=of_person)
            if not kept or person is None:
                return
            for incident_id in (ticket.incident_id, ticket.summons_id):
                await self._acknowledge(
                    reading.incident_store,
                    reading.notifications,
                    ticket_id=ticket.id,
                    incident_id=incident_id,
                    author=person.id,
                    text=text,
                    duty=await reading.roster.duty(),
                )

    async def _link(self, key: str, other: str) -> None:
        try:
            await self._tracker.link(key, other)
        except TrackerRefused as error:  # the comment names it all the same
            _log.warning("tracker_link_refused", ticket=key, reason=error.detail)

    async def _assign(self, key: str, login: str) -> bool:
        try:
            await self._tracker.assign(key, login or None)
        except TrackerRefused as error:  # the comment names the person all the same
            _log.warning("tracker_assignment_refused", ticket=key, reason=error.detail)
            return False
        return True

    async def _find(self, comment: CommentToSend) -> str | None:
        """Return the id of an earlier try of this comment, if it did arrive.

        That is none which is known already, be it of the same words, and none of a person. Whose login the tracker's token is may have
        written it by hand in the same words: then these words are there, and are not said twice.
        """
        there = await self._tracker.comments(comment.key, after=comment.seen)
        same = [each for each in there if each.text == comment.text]
        alike = [str(each.id) for each in same if self._person(each) is None or await self._by_us(each)]
        known = await self._store.known(comment, alike) if alike else frozenset[str]()
        return next((outside_id for outside_id in alike if outside_id not in known), None)

    async def _by_us(self, comment: OutsideComment) -> bool:
        """Say whether the tracker's token wrote it, or the person whose token it is, if it is a person's."""
        return comment.author in await self._tracker.own_names()

    def _person(self, comment: OutsideComment) -> Person | None:
        return self._directory.by_account("tracker", comment.author)

    async def _failed(
        self, what: str, item: TicketToCreate | CommentToSend, error: SuiteError, *, for_good: bool
    ) -> None:
        await self._store.later(item, reason=error.detail, for_good=for_good)
        self._metrics.tracker.labels(what, "refused" if isinstance(error, TrackerRefused) else "later").inc()
        _log.warning("tracker_failed", what=what, reason=error.detail, code=error.code)
