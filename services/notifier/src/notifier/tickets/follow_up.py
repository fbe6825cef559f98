"""Follow incidents up: open their tickets; ticket, other chats and the order's timeline learn what happened to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from common.contracts import Envelope
from common.contracts.journal import JournalEntryV1
from common.ids import derived_id
from common.service import in_halves, kept_apart
from notifier.delivery.model import NewNotice
from notifier.incidents.defects import KNOWN_DEFECT
from notifier.incidents.model import Incident, IncidentState
from notifier.incidents.problems import Problems, Resolution
from notifier.messages.document import shorten
from notifier.messages.links import Links
from notifier.messages.otherwise import recogniser
from notifier.messages.problem_words import phrase
from notifier.messages.words import Words
from notifier.people.model import Directory
from notifier.tickets.follow_up_store import FollowUpBatch, FollowUpStore
from notifier.tickets.model import HistoryLine, Queues, TicketComment, ticket_for, wants_ticket

_AT_A_TIME = 200
_SAME_TICKET = timedelta(days=7)
"""A problem that comes back within this time goes on in its old ticket."""
_LATER_THAN_ANY_REPORT = 2**30
_LONGEST = 500
_OF_TIMELINES = Words("en")
"""Every service writes an order's timeline in English; its readers have each their language."""
# Of these chats get a notice. Who took it is edited into the messages that are there; who ended it says so where it ends.
_NOTIFIED_IN_CHATS = frozenset({"ack_expired", "reminded", "recipe_done", "recipe_failed", "silenced"})
_CALLS_FOR_SOMEBODY = frozenset({"ack_expired", "reminded"})
_NOT_IN_TICKETS = frozenset({"opened", "reminded"})
_ENDS = frozenset({"resolve", "resolved", "recipe_done"})


class FollowUp:
    """A line of an incident's history is an outbox row; ticket comment, notice and journal entry are made of it in one transaction, once.

    Lines are followed up in their order, by one replica at a time.
    """

    def __init__(
        self,
        *,
        follow_ups: FollowUpStore,
        problems: Problems,
        directory: Directory,
        words: Words,
        environment: str,
        queues: Queues,
        links: Links | None = None,
    ) -> None:
        self._queues = queues
        self._links = links
        self._follow_ups = follow_ups
        self._problems = problems
        self._directory = directory
        self._words = words
        self._environment = environment

    async def __call__(self) -> bool:
        """Follow up what there is; returns whether there may be more."""
        async with self._follow_ups.transaction() as open_ones:
            if open_ones is None:
                return False
            incidents = await open_ones.unfollowed(limit=_AT_A_TIME)
            open_tickets = partial(self._open_tickets, open_ones)
            opened = sum(await open_ones.one_by_one(incidents, open_tickets, incident=lambda each: each))
        # On its own: lines are of other incidents than those that are locked here.
        async with self._follow_ups.transaction() as open_ones:
            if open_ones is None:
                return True
            lines = await open_ones.lines(limit=_AT_A_TIME)
            await open_ones.one_by_one(lines, partial(self._notify, open_ones), incident=lambda line: line.incident)
        async with self._follow_ups.transaction() as open_ones:
            ended = 0 if open_ones is None else await self._end_summonses(open_ones)
        return opened == _AT_A_TIME or len(lines) == _AT_A_TIME or ended > 0

    async def _open_tickets(self, follow_ups: FollowUpBatch, incidents: Sequence[Incident]) -> int:
        wanted = [
            incident
            for incident in incidents
            if wants_ticket(incident.fact) and not await self._reopened(follow_ups, incident)
        ]
        if wanted:
            instructions = await follow_ups.instructions.by_kind()
            duty = await follow_ups.roster.duty(follow_ups.now)
            tickets = [
                ticket_for(
                    incident.id,
                    incident.fact,
                    instructions=instructions,
                    duty=duty,
                    directory=self._directory,
                    environment=self._environment,
                    words=self._words,
                    queues=self._queues,
                    links=self._links,
                )
                for incident in wanted
            ]
            made = {row["incident_id"]: row for row in await follow_ups.tickets.open(tickets)}
            for incident in wanted:
                if (row := made.get(incident.id)) is not None and KNOWN_DEFECT in incident.fact.details:
                    await self._name_defect(follow_ups, row["id"], incident.fact.details[KNOWN_DEFECT])
            await follow_ups.notifications.add_to_outbox(
                *(
                    _journal_entry(
                        incident.fact.order_number,
                        kind="ticket.opened",
                        actor="notifier",
                        summary=f"Ticket {_named(row)} was opened for incident {incident.id}",
                        details={"queue": row["queue"], "incident": str(incident.id), "problem": incident.fact.kind},
                        event_id=derived_id("notifier.ticket", str(incident.id)),
                        now=follow_ups.now,
                    )
                    for incident in wanted
                    if incident.fact.order_number is not None and (row := made.get(incident.id)) is not None
                )
            )
        await follow_ups.followed([incident.id for incident in incidents])
        return len(incidents)

    async def _end_summonses(self, follow_ups: FollowUpBatch) -> int:
        """A ticket that is closed, by whomever, needs nobody: end its summons, before somebody is phoned for it."""
        known = await follow_ups.needless_summons(limit=_AT_A_TIME)
        needless = [fingerprint for fingerprint in known if f"problem {fingerprint}" not in kept_apart()]
        end, connection = partial(self._end, follow_ups), follow_ups.notifications.connection
        return sum(await in_halves(needless, end, name="problem {}".format, within=connection))

    async def _end(self, follow_ups: FollowUpBatch, needless: Sequence[str]) -> int:
        ends = [
            Resolution(
                fingerprint=fingerprint,
                actor="notifier",
                summary=self._words["ticket.closed"],
                at=follow_ups.now,
                event_id=derived_id("notifier.summons-over", fingerprint, follow_ups.now.isoformat()),
            )
            for fingerprint in needless
        ]
        return sum(incident is not None for incident in await self._problems.ingest(follow_ups.notifications, ends))

    async def _reopened(self, follow_ups: FollowUpBatch, incident: Incident) -> bool:
        """Open the ticket that the problem had before again, and say so there; returns whether there was one."""
        row = await follow_ups.tickets.reopen(incident.id, within=_SAME_TICKET)
        if row is None:
            return False
        text = self._words["ticket.reopened"].format(incident=incident.id)
        comment = TicketComment(
            ticket_id=row["id"], author="notifier", text=f"{text}: {shorten(incident.fact.summary, _LONGEST)}"
        )
        await follow_ups.tickets.comment(comment)
        if incident.fact.order_number is not None:
            entry = _journal_entry(
                incident.fact.order_number,
                kind="ticket.reopened",
                actor="notifier",
                summary=f"Ticket {_named(row)} is open again: the problem came back, incident {incident.id}",
                details={"queue": row["queue"], "incident": str(incident.id)},
                event_id=derived_id("notifier.ticket-reopened", str(incident.id)),
                now=follow_ups.now,
            )
            await follow_ups.notifications.add_to_outbox(entry)
        return True

    async def _name_defect(self, follow_ups: FollowUpBatch, ticket_id: int, defect: str) -> None:
        key = defect.split()[0]
        await follow_ups.tickets.develop(ticket_id, key)
        text = f"{self._words.label(KNOWN_DEFECT)}: {defect}"
        await follow_ups.tickets.comment(TicketComment(ticket_id=ticket_id, author="notifier", text=text), link=key)

    async def _notify(self, follow_ups: FollowUpBatch, lines: Sequence[HistoryLine]) -> None:
        for line in lines:
            if line.ticket_id is None or not is_commented(line):
                continue
            sentence = self._words.moments(self._sentence(line))
            comment = TicketComment(ticket_id=line.ticket_id, author=line.actor, text=sentence, history_id=line.id)
            await follow_ups.tickets.comment(comment)
        await follow_ups.notifications.add(
            [notice_of(line, self._problems, sentence=self._sentence(line)) for line in lines if is_notified(line)]
        )
        await follow_ups.notifications.add_to_outbox(
            *(
                _journal_entry(
                    line.incident.fact.order_number,
                    kind=f"incident.{line.act}",
                    actor=line.actor,
                    summary=shorten(self._sentence(line, _OF_TIMELINES), _LONGEST),
                    details={"incident": str(line.incident.id), "kind": line.incident.fact.kind},
                    event_id=derived_id("notifier.history", str(line.id)),
                    now=follow_ups.now,
                )
                for line in lines
                if line.incident.fact.order_number is not None
            )
        )
        await follow_ups.mark_notified([line.id for line in lines])
        # Last: who acts on a ticket has its incidents first, and notices wait for those.
        await follow_ups.close_tickets(
            [line.ticket_id for line in lines if line.ticket_id is not None and ends_ticket(line)]
        )

    def _sentence(self, line: HistoryLine, words: Words | None = None) -> str:
        """Say a line in the notices' words, or in others; what people wrote stays as it is."""
        words = words or self._words
        key = f"history.{line.act}"
        said = words.label(key)
        # An act of another release is named by its own name.
        sentence = (f"{{who}}: {line.act}" if said == key else said).format(who=self._directory.name_of(line.actor))
        text = recogniser(self._words.language, words.language)(phrase(line.text, words))
        return f"{sentence}: {text}" if text else sentence


def _named(ticket: Mapping[str, Any]) -> str:
    return ticket["key"] or f"#{ticket['id']}"


def _journal_entry(
    order_number: str | None,
    *,
    kind: str,
    actor: str,
    summary: str,
    details: dict[str, str],
    event_id: str,
    now: datetime,
) -> Envelope:
    entry = JournalEntryV1(
        order_number=str(order_number),
        service="notifier",
        kind=kind,
        actor=actor,
        summary=summary,
        details=details,
        occurred_at=now,
    )
    return Envelope.of(
        entry, event_id=event_id, source="/notifier", subject=str(order_number), time=now, traceparent=None
    )


def notice_of(line: HistoryLine, problems: Problems, *, sentence: str) -> NewNotice:
    """Return the line's notice, for every place that was notified of the problem."""
    return problems.follow_up_notice(
        line.incident.id,
        line.incident.fact,
        sentence=sentence,
        act=line.act,
        needs_somebody=line.incident.state is IncidentState.OPEN,
        transition=f"{line.act}:{line.id}",
        sequence=_LATER_THAN_ANY_REPORT + min(line.id, _LATER_THAN_ANY_REPORT - 1),
        event_id=derived_id("notifier.told", str(line.id)),
        at=line.at,
        muted=_kept_back(line),
    )


def is_notified(line: HistoryLine) -> bool:
    """Whether the line becomes a notice in chats."""
    return line.act in _NOTIFIED_IN_CHATS and _still_matters(line)


def is_commented(line: HistoryLine) -> bool:
    """Whether the line becomes a comment in its ticket."""
    return line.ticket_id is not None and line.act not in _NOT_IN_TICKETS and not _said_in_ticket(line)


def _said_in_ticket(line: HistoryLine) -> bool:
    """Whether it was done by way of the ticket itself, which shows it, and is closed if that was what closed it."""
    return line.origin == f"ticket:{line.ticket_id}"


def ends_ticket(line: HistoryLine) -> bool:
    """Whether the line ends the ticket. One that was closed, and opened again since, stays open."""
    return line.act in _ENDS and not line.summons and not _said_in_ticket(line)


def _kept_back(line: HistoryLine) -> str | None:
    """Return why nobody hears of it, or None. What a person did is told where the problem was, in a silence too: somebody waits for it."""
    return line.incident.muted or (line.silenced if line.act in _CALLS_FOR_SOMEBODY else None)


def _still_matters(line: HistoryLine) -> bool:
    """Whether a notice is still true: a reminder of what was taken or is over since would send people looking for nothing."""
    if line.act in _CALLS_FOR_SOMEBODY:
        return line.incident.state is IncidentState.OPEN
    return True
