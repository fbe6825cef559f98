"""The support desk: assign a ticket, summon the on-call person to it, close and reopen it, have a development ticket made of it.

Each is audited, stands in the ticket as a comment, and in the timeline of the ticket's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import Conflict, Unprocessable
from common.http import Change
from common.ids import derived_id, new_id
from common.telemetry import scrub_text
from notifier.delivery.notifications import NotificationStore
from notifier.duty.roster_store import RosterReader
from notifier.incidents.act import ActOnIncident
from notifier.incidents.model import IncidentState, ProblemFact
from notifier.incidents.problems import Problems, Report
from notifier.incidents.store import IncidentStore
from notifier.messages.document import one_line, shorten
from notifier.messages.words import Words
from notifier.people.model import Directory
from notifier.tickets.change_ticket import ChangeTicket, shown
from notifier.tickets.known_defects import DefectStore
from notifier.tickets.model import SUMMONS, NewTicket, TicketComment
from notifier.tickets.name_notices import closing_of, comment_in, opening_in
from notifier.tickets.store import TicketStore
from notifier.tickets.views import (
    AssignBody,
    Assigned,
    Closed,
    DevelopBody,
    Developed,
    LinkTicketBody,
    Summoned,
    TicketLinked,
)

_LONGEST_SUMMARY = 250
_LONGEST_REASON = 500


class SupportDesk:
    """Texts are scrubbed of customers' data before they are stored.

    Raises ``NotFound`` for an unknown ticket, ``Conflict`` for a closed one.
    """

    def __init__(
        self,
        *,
        tickets: ChangeTicket,
        problems: Problems,
        act: ActOnIncident,
        directory: Directory,
        words: Words,
        development_queue: str,
    ) -> None:
        self.tickets = tickets
        self._problems = problems
        self._act = act
        self._directory = directory
        self._words = words
        self._development_queue = development_queue

    async def assign(self, change: Change, key: str, wanted: AssignBody) -> Assigned:
        """Say whose the ticket is. Raises ``ChangedSince``; ``Unprocessable`` for somebody whom the directory does not know."""
        store, ticket = await self._open(change, key)
        await store.ensure_version(ticket, wanted.expected_version)
        person = self._directory.person(wanted.assignee)
        if wanted.assignee is not None and person is None:
            raise Unprocessable(f"not in the directory of people: {wanted.assignee}")
        return await self._assign(change, ticket, wanted.assignee)

    async def follow_assignee(self, change: Change, key: str, assignee: str | None) -> Assigned:
        """Write down whose it became elsewhere, the directory knowing the person or not."""
        return await self._assign(change, await self.tickets.store(change).ticket(key), assignee)

    async def _assign(self, change: Change, ticket: Mapping[str, Any], after: str | None) -> Assigned:
        store, before, person = self.tickets.store(change), ticket["assignee"], self._directory.person(after)
        await store.assign(ticket["id"], after)
        name = (after or self._words["ticket.nobody"]) if person is None else person.shown
        login = "" if person is None or person.tracker is None else person.tracker
        comment = self._comment(change, ticket, f"{self._words['ticket.assigned']}: {name}")
        await store.comment(comment, assign=login)
        change.tells(comment_in(shown(ticket), tagged=[] if person is None else [person.name]))
        await change.record("ticket.assign", f"ticket:{ticket['id']}", before=before, after=after)
        await self.tickets.note(
            change, "assigned", ticket["order_number"], f"Ticket {shown(ticket)} was assigned: {name}"
        )
        return Assigned(ticket=shown(ticket), before=before, after=after, dry_run=change.dry_run)

    async def summon(self, change: Change, key: str) -> Summoned:
        """Tell the on-call person, in the chats and by escalation up to a phone call, until somebody answers.

        Summoned again while the first summons stands, they are told again; it stays one incident.
        """
        store, ticket = await self._open(change, key)
        duty = await RosterReader(change.connection).duty()
        people = [person for person in (duty.on_duty, duty.previous) if person is not None]
        named = [person for person in map(self._directory.person, people) if person is not None]
        names = ", ".join(person.shown for person in named) or self._words["roster.nobody"]
        reason = shorten(one_line(change.reason), _LONGEST_REASON)
        fact = ProblemFact(
            kind=SUMMONS,
            severity="critical",
            fingerprint=f"ticket:{ticket['id']}:summons",
            summary=self._words["summons"].format(ticket=shown(ticket), summary=one_line(ticket["summary"])),
            service="notifier",
            occurred_at=self.tickets.now(),
            details={"ticket": shown(ticket), "reason": reason, "summoned_by": change.principal.name},
            order_number=ticket["order_number"],
            link=f"/t/{shown(ticket).removeprefix('#')}",
            what_to_do=self._words["summons.do"],
            responsible=tuple(people),
        )
        event_id = derived_id("notifier.summons", str(ticket["id"]), new_id())
        notifications = NotificationStore(change.connection)
        [incident_id] = await self._problems.ingest(notifications, [Report(fact=fact, event_id=event_id, always=True)])
        if incident_id is not None:
            await store.summon(ticket["id"], incident_id)
        summon = tuple(person.tracker for person in named if person.tracker is not None)
        await store.comment(self._comment(change, ticket, f"{self._words['ticket.summoned']}: {names}", summon=summon))
        change.tells(comment_in(shown(ticket), tagged=[person.name for person in named]))
        await self.tickets.name_notices(change, notifications, ())
        await change.record("ticket.summon", f"ticket:{ticket['id']}", after={"people": people})
        await self.tickets.note(
            change, "summoned", ticket["order_number"], f"Ticket {shown(ticket)} summons who is on call: {names}"
        )
        return Summoned(
            ticket=shown(ticket),
            incident_id=None if change.dry_run else incident_id,
            people=people,
            dry_run=change.dry_run,
        )

    async def close(self, change: Change, key: str, *, request_id: str) -> Closed:
        """Close the ticket, and with it its incident and its summons; problems that it named as a known defect's are mended.

        Raises ``CallUnderWay`` (see ``patiently``).
        """
        store, ticket = await self._open(change, key)
        incidents = IncidentStore(change.connection, principal=change.principal, request_id=request_id)
        notifications, resolved = NotificationStore(change.connection), list[int]()
        for incident_id in (ticket["incident_id"], ticket["summons_id"]):
            if incident_id is None or (await incidents.incident(incident_id)).state is IncidentState.RESOLVED:
                continue
            await self._act(
                incidents,
                notifications,
                incident_id=incident_id,
                act="resolve",
                actor=change.principal.name,
                text=change.reason,
                dry_run=change.dry_run,
                origin=f"ticket:{ticket['id']}",
            )
            resolved.append(incident_id)
        await store.close(ticket["id"])
        await store.comment(self._comment(change, ticket, self._words["ticket.closed"]))
        change.tells(comment_in(shown(ticket)), closing_of(shown(ticket)))
        await self.tickets.name_notices(change, notifications, resolved)
        if ticket["key"] is not None:
            await DefectStore(change.connection).end_of(change, ticket["key"])
        await change.record("ticket.close", f"ticket:{ticket['id']}", before="open", after="closed")
        await self.tickets.note(
            change, "closed", ticket["order_number"], f"Ticket {shown(ticket)} was closed: {change.reason}"
        )
        return Closed(ticket=shown(ticket), incidents=resolved, dry_run=change.dry_run)

    async def reopen(self, change: Change, key: str) -> None:
        """Open a closed ticket again; known defects that ended with it live again. Raises ``Conflict`` for an open one."""
        store = self.tickets.store(change)
        ticket = await store.ticket(key)
        if ticket["state"] != "closed":
            raise Conflict("the ticket is open")
        await store.open_again(ticket["id"])
        await store.comment(self._comment(change, ticket, self._words["ticket.open_again"]))
        if ticket["key"] is not None:
            await DefectStore(change.connection).live_again(change, ticket["key"], closed_at=ticket["closed_at"])
        await change.record("ticket.reopen", f"ticket:{ticket['id']}", before="closed", after="open")
        await self.tickets.note(
            change, "reopened", ticket["order_number"], f"Ticket {shown(ticket)} was opened again: {change.reason}"
        )

    async def link(self, change: Change, key: str, wanted: LinkTicketBody) -> TicketLinked:
        """Link the development ticket that mends the cause, or another ticket. Raises ``ChangedSince``."""
        looked = self.tickets.store(change)
        await looked.ensure_version(await looked.ticket(key), wanted.expected_version)
        if wanted.development_ticket is not None:
            made = await self.tickets.link(change, key, wanted.development_ticket)
            ticket = await self.tickets.store(change).ticket(key)
            defect = await self._defect(change, ticket, wanted.known_defect, development_ticket=made.after, made=None)
            return TicketLinked(
                ticket=made.ticket, linked=made.after, before=made.before, known_defect=defect, dry_run=change.dry_run
            )
        store = self.tickets.store(change)
        ticket, other = await store.ticket(key), str(wanted.ticket)
        if other == ticket["key"]:
            raise Conflict("a ticket is not linked to itself")
        await store.link(ticket["id"], other, by=change.principal.name)
        await store.comment(self._comment(change, ticket, f"→ {other}"), link=other)
        change.tells(comment_in(shown(ticket)))
        await change.record("ticket.link", f"ticket:{ticket['id']}", after=other)
        await self.tickets.note(
            change, "linked", ticket["order_number"], f"Ticket {shown(ticket)} was linked to {other}"
        )
        return TicketLinked(ticket=shown(ticket), linked=other, dry_run=change.dry_run)

    async def develop(self, change: Change, key: str, wanted: DevelopBody) -> Developed:
        """Have a development ticket made of this one, linked both ways. Raises ``Conflict`` when it has one."""
        store = self.tickets.store(change)
        ticket = await store.ticket(key)
        known = ticket["development_ticket"] or await store.developed_by(ticket["id"])
        if known is not None:
            raise Conflict(f"the ticket has a development ticket: {known}")
        queue = wanted.queue or self._development_queue
        text = f"{change.reason}\n\n{self._words['ticket.from']}: {shown(ticket)}\n\n{ticket['description']}"
        new = NewTicket(
            queue=queue,
            kind="development",
            summary=shorten(scrub_text(wanted.summary or ticket["summary"]), _LONGEST_SUMMARY),
            description=text,
            created_by=change.principal.name,
            order_number=ticket["order_number"],
            develops=ticket["id"],
        )
        [row] = await store.open([new])
        made: str | None = row["key"]
        # An outside tracker links it when it has given the key, in a comment all the same.
        change.tells(opening_in(queue), comment_in(shown(ticket)))
        if made is not None:
            await store.develop(ticket["id"], made)
            await store.comment(self._comment(change, ticket, f"→ {made}"), link=made)
        defect = await self._defect(change, ticket, wanted.known_defect, development_ticket=made, made=row["id"])
        target = made or f"#{row['id']}"
        await change.record("ticket.develop", f"ticket:{ticket['id']}", after={"queue": queue, "key": made})
        await self.tickets.note(
            change,
            "developed",
            ticket["order_number"],
            f"Ticket {shown(ticket)} was handed to the developers as {target}",
        )
        return Developed(
            ticket=shown(ticket),
            id=None if change.dry_run else row["id"],
            development_ticket=None if change.dry_run else made,
            known_defect=defect,
            dry_run=change.dry_run,
        )

    async def _defect(
        self,
        change: Change,
        ticket: Mapping[str, Any],
        wanted: bool | None,
        *,
        development_ticket: str | None,
        made: int | None,
    ) -> bool:
        if ticket["incident_id"] is None or wanted is False:
            return False
        incidents = IncidentStore(change.connection, principal=change.principal, request_id="")
        fact = (await incidents.incident(ticket["incident_id"])).fact
        return await DefectStore(change.connection).of_problem(
            fact, change, development_ticket=development_ticket, made=made, even_without_cause=wanted is True
        )

    async def _open(self, change: Change, key: str) -> tuple[TicketStore, Mapping[str, Any]]:
        store = self.tickets.store(change)
        ticket = await store.ticket(key)
        if ticket["state"] == "closed":
            raise Conflict("the ticket is closed")
        return store, ticket

    def _comment(
        self, change: Change, ticket: Mapping[str, Any], text: str, *, summon: tuple[str, ...] = ()
    ) -> TicketComment:
        said = f"{text}. {change.reason}"
        return TicketComment(ticket_id=ticket["id"], author=change.principal.name, text=said, summon=summon)
