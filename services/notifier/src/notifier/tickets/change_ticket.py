"""What an operator does to tickets: open one, remark on one, link one to a development ticket.

Each is audited, and stands in the timeline of the ticket's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from common.clock import Clock
from common.http import Change
from common.service import add_act
from common.telemetry import scrub_text
from notifier.delivery.notifications import NotificationStore
from notifier.duty.roster_store import RosterReader
from notifier.incidents.store import IncidentStore
from notifier.messages.document import shorten
from notifier.messages.otherwise import recogniser
from notifier.messages.words import Words
from notifier.people.model import Directory
from notifier.tickets.acknowledge_from_comment import AcknowledgeFromComment
from notifier.tickets.model import REQUESTS, NewTicket, TicketComment
from notifier.tickets.name_notices import NameNotices, comment_in, opening_in
from notifier.tickets.store import TicketStore
from notifier.tickets.views import CommentBody, Commented, Linked, NewTicketBody, TicketOpened

_LONGEST_SUMMARY = 500


class ChangeTicket:
    """Texts are scrubbed of customers' data before they are stored. ``outside``: the tickets lie in the outside tracker."""

    def __init__(
        self,
        *,
        outside: bool,
        acknowledge: AcknowledgeFromComment,
        directory: Directory,
        words: Words,
        clock: Clock,
        name_notices: NameNotices,
    ) -> None:
        self.name_notices = name_notices
        self._outside = outside
        self._acknowledge = acknowledge
        self._directory = directory
        self._words = words
        self._clock = clock

    async def open(self, change: Change, wanted: NewTicketBody) -> TicketOpened:
        """Open a support ticket."""
        queue = wanted.queue or REQUESTS
        ticket = NewTicket(
            queue=queue,
            kind="request",
            summary=scrub_text(wanted.summary),
            description=scrub_text(wanted.text),
            created_by=change.principal.name,
            order_number=wanted.order_number,
        )
        [row] = await self.store(change).open([ticket])
        change.tells(opening_in(queue))
        await change.record("ticket.open", f"ticket:{row['id']}", after={"queue": queue, "key": row["key"]})
        await self.note(
            change,
            "opened",
            wanted.order_number,
            f"Ticket {shown(row)} was opened: {ticket.summary}",
            reason=wanted.text,
        )
        if change.dry_run:
            return TicketOpened(id=None, key=None, queue=queue, dry_run=True)
        return TicketOpened(id=row["id"], key=row["key"], queue=queue, dry_run=False)

    async def comment(self, change: Change, key: str, remark: CommentBody, *, request_id: str) -> Commented:
        """Add a remark; "no need to call", said by somebody who could be called, takes the incident.

        Raises ``NotFound``, and ``CallUnderWay`` (see ``patiently``).
        """
        tickets, author, text = self.store(change), change.principal.name, scrub_text(remark.said)
        ticket = await tickets.ticket(key)
        seniors = [self._directory.people[name] for name in self._directory.seniors] if remark.tell_customer else []
        tagged = ", ".join(person.shown for person in seniors)
        comment = TicketComment(
            ticket_id=ticket["id"],
            author=author,
            text=f"{tagged}: {self._words['tell_customer']}. {text}" if seniors else text,
            summon=tuple(person.tracker for person in seniors if person.tracker is not None),
        )
        row = await tickets.comment(comment)
        assert row is not None  # noqa: S101 - a person's remark repeats no line of history, so it is always new
        await change.record(
            "ticket.comment",
            f"ticket:{ticket['id']}",
            after={"comment": row["id"]},
            reason=remark.reason or remark.said,
        )
        await self.note(
            change, "commented", ticket["order_number"], f"Ticket {shown(ticket)} was commented on", reason=remark.said
        )
        change.tells(comment_in(shown(ticket), tagged=[person.name for person in seniors]))
        notifications, acknowledged = NotificationStore(change.connection), False
        for incident_id in (ticket["incident_id"], ticket["summons_id"]):
            acknowledged |= await self._acknowledge(
                IncidentStore(change.connection, principal=change.principal, request_id=request_id),
                notifications,
                ticket_id=ticket["id"],
                incident_id=incident_id,
                author=author,
                text=text,
                duty=await RosterReader(change.connection).duty(),
                dry_run=change.dry_run,
            )
        await self.name_notices(change, notifications, ())
        made = None if change.dry_run else row["id"]
        return Commented(id=made, ticket=shown(ticket), acknowledged=acknowledged, dry_run=change.dry_run)

    async def link(
        self, change: Change, key: str, development_ticket: str, *, expected_version: int | None = None
    ) -> Linked:
        """Link a ticket to a development ticket, and say so in a comment. Raises ``NotFound``, ``ChangedSince``."""
        tickets = self.store(change)
        ticket = await tickets.ticket(key)
        await tickets.ensure_version(ticket, expected_version)
        before, after = ticket["development_ticket"], development_ticket
        await tickets.develop(ticket["id"], after)
        text = f"{after}: {change.reason}"
        comment = TicketComment(ticket_id=ticket["id"], author=change.principal.name, text=text)
        await tickets.comment(comment, link=after)
        change.tells(comment_in(shown(ticket)))
        await change.record("ticket.link", f"ticket:{ticket['id']}", before=before, after=after)
        await self.note(change, "linked", ticket["order_number"], f"Ticket {shown(ticket)} was linked to {after}")
        return Linked(ticket=shown(ticket), before=before, after=after, dry_run=change.dry_run)

    async def note(
        self, change: Change, act: str, order_number: str | None, summary: str, *, reason: str | None = None
    ) -> None:
        """Put a line about the change into the timeline of the ticket's order, in English as all lines are."""
        in_english = recogniser(self._words.language, "en")
        await add_act(
            change,
            f"ticket.{act}",
            order_number,
            shorten(in_english(summary), _LONGEST_SUMMARY),
            service="notifier",
            reason=in_english(reason or change.reason),
            now=self._clock.now(),
        )

    def store(self, change: Change) -> TicketStore:
        """Return the tickets, in the change's transaction."""
        return TicketStore(change.connection, outside=self._outside)

    def now(self) -> datetime:
        """Return the time of what is done now."""
        return self._clock.now()


def shown(ticket: Mapping[str, Any]) -> str:
    """Return how people call a ticket: by its key, before the outside tracker has given one by our own number."""
    return ticket["key"] or str(ticket["id"])
