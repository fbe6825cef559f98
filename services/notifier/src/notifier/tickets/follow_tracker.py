"""What people do in the outside tracker is done here: close an issue there, open it again, say whose it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial

from common.errors import Unavailable
from common.http import AdminChange, Change, DoneElsewhere, Principal
from common.service import apart
from common.telemetry import get_logger
from notifier.incidents.act import patiently
from notifier.messages.words import Words
from notifier.metrics import PeopleMetrics
from notifier.people.model import Directory
from notifier.tickets.known_defects import DefectStore
from notifier.tickets.model import OutsideIssue, TicketToLook, TicketToRead, TrackerRefused, done_there
from notifier.tickets.support_desk import SupportDesk
from notifier.tickets.tracker_store import FollowedTicket, TrackerStore
from notifier.tickets.yandex import YandexTracker

_log = get_logger()
_AT_A_TIME = 50
_LEASE = timedelta(seconds=30)
_CALL_SECONDS = 15.0
DEFECTS_EVERY = 10
"""How many times as rarely as tickets; a defect is mended in days."""
_STRANGER = "tracker"


class FollowTracker:
    """Tickets are searched for fifty at a time; one that differs is read by itself, for a search may be behind.

    What was done there is done here once, by the support desk and in one transaction with the note that it is known, in the name of
    who did it there: ``tracker:<login>`` for somebody whom the directory does not know. The tracker's own rights say who may. Our own
    moves and assignments do not come back. ``desk`` keeps its comments here, ``read_comments`` takes in what was said before the end.
    """

    def __init__(
        self,
        *,
        store: TrackerStore,
        tracker: YandexTracker,
        desk: SupportDesk,
        directory: Directory,
        words: Words,
        metrics: PeopleMetrics,
        read_comments: Callable[[TicketToRead], Awaitable[None]],
        every: timedelta,
    ) -> None:
        self._store = store
        self._tracker = tracker
        self._desk = desk
        self._directory = directory
        self._words = words
        self._metrics = metrics
        self._read_comments = read_comments
        self._every = every

    async def __call__(self) -> bool:
        """Look at some tickets, and at development tickets of others; returns whether there were any."""
        tickets = await self._store.to_look(lease=_LEASE, limit=_AT_A_TIME)
        if tickets:
            await self._look(tickets)
        defects = await self._store.defects_to_look(every=self._every * DEFECTS_EVERY, limit=_AT_A_TIME)
        for key in defects:
            with apart(f"defect {key}"):
                await self._end_defect(key)
        return bool(tickets or defects)

    async def _look(self, tickets: Sequence[TicketToLook]) -> None:
        try:
            issues = await self._tracker.issues([ticket.reading.key for ticket in tickets])
        except (Unavailable, TrackerRefused) as error:
            self._later("search", error)
        else:
            for ticket in tickets:
                issue = issues.get(ticket.reading.key)
                if issue is not None and _differs(ticket, issue):
                    await self._follow(ticket)
            self._metrics.tracker.labels("look", "done").inc()
        await self._store.looked(tickets, every=self._every)

    async def _follow(self, ticket: TicketToLook) -> None:
        with apart(f"ticket {ticket.reading.key}"):
            try:
                await self._do_what_was_done(ticket)
            except (Unavailable, TrackerRefused) as error:
                self._later(ticket.reading.key, error)

    async def _do_what_was_done(self, ticket: TicketToLook) -> None:
        key = ticket.reading.key
        issue = await self._tracker.issue(key)
        if not _differs(ticket, issue):
            return
        mover = await self._tracker.changed_by(key, "status") if ticket.moved(issue) else None
        assigner = await self._tracker.changed_by(key, "assignee") if ticket.assigned(issue) else None
        if ticket.moved(issue) and issue.state == "closed":
            await self._read_comments(ticket.reading)
        take_over = partial(self._take_over, ticket, issue, mover=self._who(mover), assigner=self._who(assigner))
        await patiently(take_over, seconds=_CALL_SECONDS)

    async def _take_over(
        self, ticket: TicketToLook, issue: OutsideIssue, *, mover: Principal, assigner: Principal
    ) -> None:
        async with self._store.following(ticket) as followed:
            if followed is None:
                return
            key = str(followed.id)
            if not followed.assigning and issue.assignee != followed.known_assignee:
                assignee = self._person(issue.assignee)
                if assignee != followed.assignee:
                    await self._desk.follow_assignee(self._change(followed, assigner), key, assignee)
            if done_there(here=followed.state, known=followed.known_state, there=issue.state):
                change = self._change(followed, mover)
                if issue.state == "closed":
                    await self._desk.close(change, key, request_id=_STRANGER)
                else:
                    await self._desk.reopen(change, key)
            await followed.know(issue)

    async def _end_defect(self, key: str) -> None:
        try:
            issue = await self._tracker.issue(key)
            if issue.state != "closed":
                return
            closer = self._who(await self._tracker.changed_by(key, "status"))
        except (Unavailable, TrackerRefused) as error:
            self._later(key, error)
            return
        async with self._store.transaction() as connection:
            await DefectStore(connection).end_of(Change(connection, self._done_by(closer)), key)

    def _change(self, followed: FollowedTicket, by: Principal) -> Change:
        return Change(followed.connection, self._done_by(by))

    def _done_by(self, principal: Principal) -> DoneElsewhere:
        reason = self._words["ticket.in_tracker"]
        return DoneElsewhere(principal=principal, body=AdminChange(reason=reason), request_id=_STRANGER)

    def _who(self, login: str | None) -> Principal:
        person = None if login is None else self._directory.by_account("tracker", login)
        if person is not None:
            return Principal(person.id, person.role)
        return Principal(self._person(login) or _STRANGER, "viewer")

    def _person(self, login: str | None) -> str | None:
        if login is None:
            return None
        person = self._directory.by_account("tracker", login)
        return f"{_STRANGER}:{login}" if person is None else person.id

    def _later(self, what: str, error: Unavailable | TrackerRefused) -> None:
        self._metrics.tracker.labels("look", "later").inc()
        _log.warning("tracker_not_looked_at", ticket=what, reason=error.detail)


def _differs(ticket: TicketToLook, issue: OutsideIssue) -> bool:
    return ticket.moved(issue) or ticket.assigned(issue)
