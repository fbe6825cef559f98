"""Name which messages follow from what a change has done: notices and edits in chats, comments in tickets, reminders and calls.

By the very code and rows that send them, inside the change's transaction, so that its rehearsal says what it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from common.contracts.notices import FOLLOWERS, ON_CALL, notice
from common.http import Change
from common.postgres import Connection
from notifier.delivery.named import incident_named, lines_of, lines_of_edits
from notifier.delivery.notifications import Kept, NotificationStore, problem_of
from notifier.duty.escalation import Policy, people_of
from notifier.duty.roster_store import RosterReader
from notifier.incidents.model import IncidentState
from notifier.incidents.problems import Problems
from notifier.incidents.silenced import silenced_of
from notifier.people.model import Directory
from notifier.routing.model import fits, labels_of
from notifier.silences.model import silence_of
from notifier.tickets.follow_up import ends_ticket, is_commented, is_notified, notice_of
from notifier.tickets.follow_up_store import own_lines
from notifier.tickets.model import HistoryLine, Queues, instruction_for, wants_ticket
from notifier.tickets.store import InstructionStore

DROPPED = "call.dropped"
_STOPPED = """
SELECT i.id, i.state = 'resolved' AS over,
       i.severity = 'critical' AND i.state <> 'open' AS chain,
       ARRAY(SELECT c.person FROM calls AS c WHERE c.incident_id = i.id AND c.state = 'waiting' ORDER BY c.person) AS waiting
FROM incidents AS i WHERE i.id = ANY($1::bigint[]) ORDER BY i.id
"""
_SILENCE = "SELECT *, now() AS now FROM silences WHERE id = $1"
_KEPT_BACK = "SELECT * FROM incidents WHERE muted LIKE $1 AND state = 'open' ORDER BY id LIMIT 1000"
# People were told of these, and their chain runs.
_TOLD = """
SELECT i.* FROM incidents AS i JOIN escalations AS e ON e.incident_id = i.id
WHERE i.severity = 'critical' AND i.state = 'open' AND i.muted IS NULL AND e.due_at IS NOT NULL ORDER BY i.id LIMIT 1000
"""
# By this very transaction: the chain begins by itself then, and a ticket is decided on.
_BEGUN = "SELECT * FROM incidents WHERE id = ANY($1::bigint[]) AND opened_at = now() ORDER BY id"


class NameNotices:
    """``calls``: whether anybody can be phoned at all."""

    def __init__(
        self, *, policy: Policy, calls: bool, directory: Directory, queues: Queues, problems: Problems
    ) -> None:
        self._problems = problems
        self._policy = policy
        self._calls = calls
        self._directory = directory
        self.queues = queues

    async def __call__(self, change: Change, notifications: NotificationStore, incident_ids: Sequence[int]) -> None:
        """Name what follows from what ``notifications`` and this transaction have done, and to these incidents.

        What each person does later (nobody takes it, somebody does) is not foreseen: reminders and calls come unless it is taken.
        """
        change.tells(*await self.lines(notifications, incident_ids))

    async def lines(self, notifications: NotificationStore, incident_ids: Sequence[int]) -> list[str]:
        """Return what follows, as the call names it."""
        connection, new = notifications.connection, list(notifications.added)
        about = sorted({*incident_ids, *(each.incident_id for each in new if each.incident_id is not None)})
        begun = await connection.fetch(_BEGUN, about)
        # Of an incident that a rehearsal has opened the number would be another's afterwards.
        known = {each: incident_named(each) for each in about} | {row["id"]: None for row in begun}
        refreshed = sorted(set(notifications.refreshed))
        own = await own_lines(connection, about)
        new += [notice_of(line, self._problems, sentence="") for line in own if is_notified(line)]
        return [
            *(line for each in new for line in lines_of(each, about=known.get(each.incident_id or 0))),
            *await lines_of_edits(connection, refreshed),
            *(comment_in(str(line.ticket)) for line in own if is_commented(line)),
            *dict.fromkeys(closing_of(str(line.ticket)) for line in own if _closes(line)),
            *await self._stops(connection, refreshed),
            *[line for row in begun for line in await self._begins(connection, row)],
        ]

    async def of_silence(self, change: Change, silence_id: int, until: datetime) -> None:
        """Name what follows for the problems that a silence covers now; of one that has ended, for those that it covered ``until`` now.

        Of the first thousand.
        """
        connection, notifications = change.connection, NotificationStore(change.connection)
        row = await connection.fetchrow(_SILENCE, silence_id)
        assert row is not None  # noqa: S101 - the change has it
        silence, now = silence_of(row), row["now"]
        if not silence.starts_at <= now < until:
            return
        ended = silence.ends_at <= now
        told = [row for row in await connection.fetch(_TOLD) if fits(silence.match, labels_of(row))]
        if not ended:
            change.tells(*(notice("calls.pause", of=incident_named(row["id"]), to=ON_CALL) for row in told))
            return
        kept = [
            Kept(incident_id=row["id"], fact=problem_of(row), occurrences=row["occurrences"], muted=row["muted"])
            for row in await connection.fetch(_KEPT_BACK, f"silenced by {silence.purpose} {silence_id} until %")
        ]
        _, notices = await self._problems.unmuted(notifications, kept)
        change.tells(*(line for new in notices for line in lines_of(new, about=incident_named(new.incident_id or 0))))
        free = [row for row, why in zip(told, await silenced_of(notifications, told), strict=True) if why is None]
        change.tells(*(notice("calls.resume", of=incident_named(row["id"]), to=ON_CALL) for row in free))

    async def _stops(self, connection: Connection, incident_ids: Sequence[int]) -> list[str]:
        """Name the calls that are dropped, and for how long nobody is reminded or phoned any more."""
        if not incident_ids:
            return []
        lines: list[str] = []
        for row in await connection.fetch(_STOPPED, list(incident_ids)):
            about = incident_named(row["id"])
            lines += [notice(DROPPED, of=about, to=self._directory.name_of(person)) for person in row["waiting"]]
            if row["chain"] and self._policy.steps:
                lines.append(notice("calls.end" if row["over"] else "calls.pause", of=about, to=ON_CALL))
        return lines

    async def _begins(self, connection: Connection, row: Any) -> list[str]:
        """Name the ticket and the first round of reminders and calls of an incident that is new."""
        fact, lines = problem_of(row), list[str]()
        if wants_ticket(fact):
            written = instruction_for(fact.kind, await InstructionStore(connection).by_kind())
            queue = (written.queue if written is not None else None) or self.queues.of(fact)
            lines.append(opening_in(queue))
        if fact.severity != "critical" or row["muted"] is not None:
            return lines
        duty = await RosterReader(connection).duty()
        for step in self._policy.steps:
            people = people_of(step.whom, duty, self._directory, source=fact.source, service=fact.service)
            if step.act == "remind" or self._calls:
                what = "reminder" if step.act == "remind" else "call"
                lines += [notice(f"{what}.waits", of=None, to=self._directory.name_of(person)) for person in people]
        return lines


def _closes(line: HistoryLine) -> bool:
    """Whether a line of an incident's history closes its ticket: only one whose problem is over."""
    return ends_ticket(line) and line.ticket_open and line.incident.state is IncidentState.RESOLVED


def comment_in(ticket: str, *, tagged: Sequence[str] = ()) -> str:
    """Name a comment in a ticket; ``tagged`` are the people whom it calls there."""
    return notice("ticket.commented", of=ticket, to=", ".join(tagged) or FOLLOWERS)


def opening_in(queue: str) -> str:
    """Name a ticket that is opened; its key is not known before."""
    return notice("ticket.opened", of=queue, to=FOLLOWERS)


def closing_of(ticket: str) -> str:
    """Name the closing of a ticket."""
    return notice("ticket.closed", of=ticket, to=FOLLOWERS)
