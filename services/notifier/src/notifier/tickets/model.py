"""Tickets: which problems open one, in which queue, and what the operator reads first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase

from common.errors import SuiteError
from notifier.duty.escalation import Duty
from notifier.incidents.kinds import KINDS, runbook_of
from notifier.incidents.model import Incident, ProblemFact
from notifier.messages.document import one_line, shorten
from notifier.messages.links import Links, links_of
from notifier.messages.words import Language, Words
from notifier.people.model import Directory, Person

PROBLEMS = "TRAVELORDERSUP"
"""Where problem orders open tickets by themselves."""
REQUESTS = "TRAVELSUP"
"""Where people's requests live."""
SUMMONS = "problem.ticket.summons"
"""The kind of the incident by which the on-call person is summoned to a ticket."""
_LONGEST_SUMMARY = 250
_LONGEST_DETAIL = 1000
NO_CALL = (
    "звонить не нужно",
    "звонить не надо",
    "не нужно звонить",
    "не надо звонить",
    "не звоните",
    "звонить не требуется",
    "звонок не нужен",
    "no need to call",
    "no call needed",
    "do not call",
    "don't call",
    "dont call",
)
"""What counts unless the settings say otherwise."""
_NOT_WORDS = re.compile(r"[^\w']+")
# A question is looked for from where a sentence begins, and nowhere else: a pasted text has no end of one for kilobytes.
_QUOTED = re.compile(r"^[^\S\n]*>.*$|(?:^|(?<=[.!?]))[^.!?\n]*\?", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What the operator does about a kind of problem, which may be a pattern (``problem.*``). ``call``: and phones the person on duty."""

    kind: str
    text: str
    call: bool = False
    queue: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTicket:
    """A ticket to be opened for an incident (or, without one, for a person's request)."""

    queue: str
    kind: str
    summary: str
    description: str
    created_by: str
    incident_id: int | None = None
    order_number: str | None = None
    develops: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLine:
    """A line of an incident's history that ticket, other chats and timeline do not know yet."""

    id: int
    incident: Incident
    actor: str
    act: str
    text: str
    at: datetime
    origin: str | None
    ticket_id: int | None
    summons: bool = False
    """Whether the incident only summons somebody to the ticket: its end is not the ticket's."""
    silenced: str | None = None
    """The silence that covers it now, told or not."""
    ticket: str | None = None
    """How people call the ticket."""
    ticket_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketComment:
    """A remark to a ticket. ``history_id`` makes it unique where it repeats a line of history; ``summon`` are people to be tagged."""

    ticket_id: int
    author: str
    text: str
    history_id: int | None = None
    summon: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideComment:
    """A comment as the outside tracker has it."""

    id: int
    author: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideIssue:
    """An issue as the outside tracker has it: "open" or "closed", and the login of whose it is."""

    key: str
    state: str
    assignee: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketToCreate:
    """A ticket that the tracker does not have yet."""

    id: int
    queue: str
    summary: str
    description: str
    incident_id: int | None
    attempts: int

    @property
    def unique(self) -> str:
        """What makes creating it twice one issue."""
        return f"ticket:{self.id}" if self.incident_id is None else f"incident:{self.incident_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentToSend:
    """A comment that the tracker does not have yet; ``seen`` is the tracker's last comment that was read."""

    id: int
    key: str
    text: str
    summon: tuple[str, ...]
    link: str | None
    assign: str | None
    seen: int
    attempts: int

    @property
    def repeated(self) -> bool:
        """Whether an earlier try may have arrived."""
        return self.attempts > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketToRead:
    """An open ticket whose comments are to be read after ``seen``."""

    id: int
    key: str
    seen: int
    incident_id: int | None
    summons_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketToLook:
    """A ticket that may have changed in the tracker: what is known of it there. ``revision`` tells an older look from a newer one."""

    reading: TicketToRead
    revision: int
    state: str | None
    assignee: str | None

    def moved(self, issue: OutsideIssue) -> bool:
        """Whether it is in another state there than is known."""
        return issue.state != self.state

    def assigned(self, issue: OutsideIssue) -> bool:
        """Whether it is another's there than is known."""
        return issue.assignee != self.assignee


def done_there(*, here: str, known: str | None, there: str) -> bool:
    """Whether the state there is somebody's act: both sides had agreed, and now it is another.

    What differs while our own move is on its way, or has arrived and its answer was lost, is nobody's.
    """
    return known == here != there


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketToMove:
    """A ticket that the tracker has in another state: "open" or "closed" is what it is to be."""

    id: int
    key: str
    state: str


def wants_ticket(fact: ProblemFact) -> bool:
    """Whether a problem opens a ticket: as its kind says, and where nobody has heard of the kind."""
    kind = KINDS.get(fact.kind)
    return kind is None or kind.opens_ticket(fact)


def built_in(kind: str, language: Language) -> Instruction | None:
    """Return what operators do about a kind unless people wrote something else."""
    known = KINDS.get(kind)
    if known is None:
        return None
    return Instruction(kind=kind, text=known.ru if language == "ru" else known.en, call=known.call)


def instruction_for(kind: str, instructions: Sequence[Instruction]) -> Instruction | None:
    """Return what people wrote about a kind: its own, else the longest pattern that fits, else None."""
    fitting = [each for each in instructions if each.kind == kind or fnmatchcase(kind, each.kind)]
    return max(fitting, key=lambda each: (each.kind == kind, len(each.kind)), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """Where tickets of problems are opened: in the queue of the team that owns the service, else in that of the kind."""

    teams: Mapping[str, str] = field(default_factory=dict)
    development: str = "TRAVELBACK"

    def of(self, fact: ProblemFact) -> str:
        """Return the queue of a problem's ticket."""
        kind = KINDS.get(fact.kind)
        own = self.development if kind is not None and kind.queue == "development" else PROBLEMS
        return self.teams.get(fact.service) or own


def ticket_for(
    incident_id: int,
    fact: ProblemFact,
    *,
    instructions: Sequence[Instruction],
    duty: Duty,
    directory: Directory,
    environment: str,
    words: Words,
    queues: Queues,
    links: Links | None = None,
) -> NewTicket:
    """Return the ticket of an incident: the instruction comes first, then what is known. No customer's data.

    What the problem itself says that is to be done stands with the instruction; where people wrote one for its kind, after the summary.
    """
    links = links or Links()
    written = instruction_for(fact.kind, instructions)
    instruction = written or built_in(fact.kind, words.language)
    own = [one_line(line) for line in (fact.what_to_do or "").splitlines()]
    lines = [f"{words['what_to_do']}:"]
    if instruction is not None:
        lines.append(instruction.text)
    if written is None:
        lines += own
    if instruction is None or instruction.call:
        lines += whom_to_phone(fact, duty=duty, directory=directory, words=words)
    lines += ["", one_line(fact.summary)]
    if written is not None:
        lines += own
    linked = links_of(fact, incident_id, links=links, words=words, runbook=runbook_of(fact))
    for label, value in (
        (words["order"], fact.order_number),
        (words["environment"], environment),
        (words["source"], fact.source),
        (words["store"].capitalize(), fact.store_id),
        (words["service"], fact.service),
        *((words.label(name), text) for name, text in fact.details.items()),
        *((span.text, span.link) for span in linked if span.link),
        (words["page.o"], None if fact.order_number is None else links.page("o", fact.order_number)),
    ):
        if value:
            lines.append(
                f"{label}: {one_line(value) if fact.alert is None else shorten(one_line(value), _LONGEST_DETAIL)}"
            )
    return NewTicket(
        queue=(instruction.queue if instruction is not None else None) or queues.of(fact),
        kind=fact.kind,
        summary=shorten(one_line(f"[{environment}] {words.moments(fact.summary)}"), _LONGEST_SUMMARY),
        description=words.moments("\n".join(lines)),
        created_by="notifier",
        incident_id=incident_id,
        order_number=fact.order_number,
    )


def whom_to_phone(fact: ProblemFact, *, duty: Duty, directory: Directory, words: Words) -> list[str]:
    """Return the lines that say to the operator whom to phone, with the number, and who comes next."""
    lines: list[str] = []
    ids: tuple[str | None, ...] = (duty.on_duty, duty.previous, duty.backup)
    people = [person for person in map(directory.person, dict.fromkeys(ids)) if person is not None]
    if not people:
        owners = directory.owners_of(source=fact.source, service=fact.service)
        people = [person for person in map(directory.person, owners) if person is not None]
    for index, person in enumerate(people):
        lines.append(f"{words['phone.first'] if index == 0 else words['phone.next']}: {_reach(person)}")
    return lines or [words["phone.nobody"]]


def _reach(person: Person) -> str:
    return f"{person.name}, {person.phone}" if person.phone else person.name


class TrackerRefused(SuiteError):
    """The tracker refuses for good; asking again will not help."""

    code = "tracker_refused"


def says_no_call(text: str, wordings: Sequence[str] = NO_CALL) -> bool:
    """Whether one of the wordings stands in the text as whole words; quoted lines ("> …") and questions do not count."""
    said = f" {_plain(_QUOTED.sub(' ', text))} "
    return any(f" {words} " in said for words in map(_plain, wordings) if words)


def _plain(text: str) -> str:
    lowered = text.casefold().replace("ё", "е").replace("\u2019", "'")
    return " ".join(_NOT_WORDS.sub(" ", lowered).split())
