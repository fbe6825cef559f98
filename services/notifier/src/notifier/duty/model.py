"""What the use cases around people need of the world: timers, calls, tickets, presses, recipes, the roster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from notifier.delivery.model import Incident
from notifier.delivery.notices import Ledger
from notifier.duty.escalation import Duty
from notifier.duty.roster import Override, Plan, Shift
from notifier.tickets.model import Instruction, NewTicket


class Timer(Protocol):
    """A due timer, its incident locked, inside one transaction."""

    incident: Incident
    step: int
    round: int
    due_at: datetime
    now: datetime

    async def duty(self) -> Duty:
        """Return who answers now."""
        ...

    async def reopen(self) -> None:
        """End the acknowledgement: the incident is open again."""
        ...

    async def note(self, act: str, text: str) -> None:
        """Write a line of the incident's history, to be told."""
        ...

    async def call(self, person: str, *, occasion: str) -> None:
        """Have somebody phoned; the same (incident, person, occasion) is one call."""
        ...

    async def set(self, *, step: int, round_: int, due: datetime | None) -> None:
        """Set the timer."""
        ...


class Timers(Protocol):
    """The timers of all incidents. Any number of replicas may fire them; each due time fires once."""

    async def start(self, *, first_after: timedelta | None) -> int:
        """Give a timer to critical incidents that have none yet; returns how many."""
        ...

    async def due(self, *, limit: int) -> Sequence[int]:
        """Return incidents whose timer is due, the oldest first."""
        ...

    def open(self, incident_id: int) -> AbstractAsyncContextManager[Timer | None]:
        """Lock an incident and its due timer; None when it is not due any more or somebody else has it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallClaim:
    """The right to phone somebody once, under the id that makes a repeat ring no second time. ``others``: problems this call covers too."""

    id: str
    person: str
    attempts: int
    incident_id: int | None
    summary: str
    order_number: str | None
    others: int
    taken_at: float


@dataclass(frozen=True, slots=True)
class Placed:
    """The robot took the call, under its own id."""

    outside_id: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """This call will never be made: a bad number, no number, a refusal for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class TryLater:
    """It may work later, under the same id; ``seconds`` as the robot asks, None when it does not say."""

    reason: str
    seconds: float | None = None


CallOutcome = Placed | Unreachable | TryLater


class Calls(Protocol):
    """The calls that are to be made."""

    async def claim(self, *, lease: timedelta, pause: timedelta, taken_at: float) -> CallClaim | None:
        """Claim the next call under its incident's lock, if that is still open; None when there is none to make now.

        A person is not phoned again within ``pause`` of the last call. What needs no call any more is ended on the way.
        """
        ...

    async def record(self, claim: CallClaim, outcome: CallOutcome, *, give_up_after: int) -> str:
        """Write down what came of it; returns the call's state. Unreachable makes the chain's next step due at once."""
        ...


class Robot(Protocol):
    """The call webhook. Never raises for what it says."""

    async def call(self, *, key: str, phone: str, text: str, deadline: float) -> CallOutcome:
        """Ask for one call; the same ``key`` rings once."""
        ...


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketComment:
    """A remark to a ticket. ``history_id`` makes it unique where it tells a line of history; ``summon`` are people to be tagged."""

    ticket_id: int
    author: str
    text: str
    history_id: int | None = None
    summon: tuple[str, ...] = ()


class FollowUps(Protocol):
    """What is to be followed up, inside one transaction that no other replica has at the same time."""

    @property
    def ledger(self) -> Ledger: ...
    @property
    def now(self) -> datetime: ...

    async def unfollowed(self, *, limit: int) -> Sequence[Incident]:
        """Lock and return incidents for which no ticket was decided on, the oldest first."""
        ...

    async def followed(self, incident_ids: Sequence[int]) -> None:
        """Mark them as decided on."""
        ...

    async def instructions(self) -> Sequence[Instruction]:
        """Return what operators are to do, by kind."""
        ...

    async def duty(self) -> Duty:
        """Return who answers now."""
        ...

    async def open_tickets(self, tickets: Sequence[NewTicket]) -> Mapping[int, str]:
        """Open a ticket for each incident that has none; returns incident → key (or number) of the new ones."""
        ...

    async def lines(self, *, limit: int) -> Sequence[HistoryLine]:
        """Return lines of history that are to be told, in order."""
        ...

    async def comment(self, comments: Sequence[TicketComment]) -> None:
        """Add remarks to tickets, each line of history once."""
        ...

    async def close_tickets(self, ticket_ids: Sequence[int]) -> None:
        """Close tickets whose problem is over."""
        ...

    async def told(self, line_ids: Sequence[int]) -> None:
        """Mark lines as told."""
        ...


class FollowUpsOpen(Protocol):
    """Opens the follow-up transaction."""

    def transaction(self) -> AbstractAsyncContextManager[FollowUps | None]:
        """None while another replica has it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A pressed button, as it was kept."""

    id: int
    channel: str
    who: str
    data: str
    address: str
    traceparent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeRequest:
    """A recipe that somebody asked for."""

    id: int
    incident_id: int
    recipe: str
    target: str
    version: int | None
    person: str
    state: str
    asked_at: datetime
    attempts: int = 0


class PressBook(Protocol):
    """Recipes and handovers under a press, inside the press's transaction."""

    async def ask(
        self,
        *,
        incident_id: int,
        recipe: str,
        target: str,
        version: int | None,
        person: str,
        channel: str,
        lasts: timedelta,
    ) -> tuple[RecipeRequest, bool]:
        """Keep that somebody wants a recipe; returns the open request and whether it is new. One an incident and recipe is open."""
        ...

    async def request(self, request_id: int) -> RecipeRequest | None:
        """Lock and return a request; one whose time is over is ``expired``."""
        ...

    async def decide(self, request_id: int, *, state: str, traceparent: str | None) -> None:
        """Confirm or decline a request."""
        ...

    async def confirm_handover(self, handover_id: int, *, person: str) -> str | None:
        """Confirm a handover if it is that person's and not confirmed yet; returns whose it is, None when there is none."""
        ...

    async def silence(self, incident: Incident, *, person: str, lasts: timedelta, reason: str) -> None:
        """Keep quiet about the incident's problem for a while: no notices, and the chain waits."""
        ...

    async def note(self, incident_id: int, *, actor: str, act: str, text: str) -> None:
        """Write a line of the incident's history, to be told."""
        ...


@dataclass(frozen=True, slots=True)
class RecipeDone:
    """The service carried it out."""


@dataclass(frozen=True, slots=True)
class RecipeRefused:
    """The service refuses, for good; ``reason`` is its own sentence."""

    reason: str


RecipeOutcome = RecipeDone | RecipeRefused | TryLater


class RecipeBook(Protocol):
    """Confirmed recipes that are to be carried out."""

    async def claim(self, *, lease: timedelta) -> RecipeRequest | None:
        """Claim the next one, None when there is none."""
        ...

    async def record(self, request: RecipeRequest, outcome: RecipeOutcome, *, text: str, give_up_after: int) -> str:
        """Write down what came of it, with a line of history; returns the request's state. Done ends the incident it was for."""
        ...


class RecipeRunner(Protocol):
    """The services' admin addresses. Never raises for what they say."""

    async def run(self, request: RecipeRequest, *, token: str, reason: str, key: str, deadline: float) -> RecipeOutcome:
        """Carry a recipe out with somebody's own token; the same ``key`` acts once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A shift that was announced."""

    id: int
    starts_at: datetime
    ends_at: datetime
    person: str
    previous: str | None
    confirmed_at: datetime | None
    escalated_at: datetime | None


class Rosters(Protocol):
    """The roster and its handovers, inside one transaction that no other replica has at the same time."""

    @property
    def ledger(self) -> Ledger: ...
    @property
    def now(self) -> datetime: ...

    async def plan(self) -> Plan | None:
        """Return the plan, None before anybody made one."""
        ...

    async def overrides(self, *, since: datetime, until: datetime) -> Sequence[Override]:
        """Return the overrides that touch that time."""
        ...

    async def announced(self, shift: Shift, *, previous: str | None, due: datetime) -> int | None:
        """Keep that a shift is announced; returns the handover's id, None when it was announced before."""
        ...

    async def unconfirmed(self) -> Sequence[Handover]:
        """Return announced handovers that nobody confirmed in time, each once."""
        ...

    async def give_back(self, handover: Handover, *, occasion: str) -> None:
        """Have the previous person answer again, and be phoned."""
        ...

    async def is_open(self, fingerprint: str) -> bool:
        """Whether an incident with this fingerprint is not resolved."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideComment:
    """A comment as the outside tracker has it."""

    id: int
    author: str
    text: str


class Tracker(Protocol):
    """The outside tracker. Raises ``Unavailable`` for what may work later and ``TrackerRefused`` for what will not."""

    async def create(self, *, queue: str, summary: str, description: str, unique: str) -> str:
        """Return the key of the issue with this ``unique``, made now or before."""
        ...

    async def comment(self, key: str, text: str, *, summon: Sequence[str]) -> str:
        """Add a comment; returns its id."""
        ...

    async def comments(self, key: str, *, after: int) -> Sequence[OutsideComment]:
        """Return the comments after one."""
        ...

    async def link(self, key: str, other: str) -> None:
        """Link an issue to another; a link that is there already is fine."""
        ...
