"""What taking and saving website orders needs of the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from common.contracts.envelope import Envelope
from webhook_gateway.rescue.letter import LostOrder
from webhook_gateway.rescue.model import State
from webhook_gateway.website.callers import Caller

Passed = Literal["passed", "repeated", "limited", "failed_open", "manager"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether an order may pass. ``by`` names what there are too many of, ``retry_after`` is in seconds."""

    outcome: Passed
    by: tuple[str, ...] = ()
    retry_after: int = 0


class OrderLimits(Protocol):
    """How often one phone, address and network may order; all replicas count together (M5)."""

    async def admit(self, caller: Caller, *, order: str | None) -> Admission:
        """Count an order, or say that there are too many. A refusal counts nothing.

        ``order`` is what the order is called by, if anything: its repeats pass without being counted (M3). Never raises, and answers
        within a short deadline: while the store is away orders pass (``failed_open``).
        """
        ...


class RecordBudget(Protocol):
    """Bounds what refused requests may put into the database, so that a flood cannot fill it (DECISIONS "Gateway")."""

    def take(self, *, proven: bool, ip: str | None, size: int) -> bool:
        """Spend ``size`` bytes; False when there is no room. ``proven``: the sender had a valid token and an order of usual size."""
        ...


class WebsiteObserver(Protocol):
    """Hears what becomes of website orders. Calls must be cheap."""

    def admitted(self, admission: Admission) -> None:
        """The limits were asked."""
        ...

    def endangered(self, category: str) -> None:
        """An order was refused."""
        ...

    def not_kept(self, reason: Literal["flood", "nowhere"]) -> None:
        """An endangered order could not be kept."""
        ...

    def reported(self, outcome: Literal["sent", "postponed", "failed"]) -> None:
        """A report's mail was tried."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endangered:
    """An endangered order under a person's hands. ``body`` is the mended one where there is one."""

    order: LostOrder
    state: State
    body: bytes
    external_id: str | None
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report whose mail is to go. ``attempts`` counts the tries that were begun."""

    id: str
    endangered_id: str
    created_at: datetime
    created_by: str
    cause: str
    remedy: str
    sender: str
    recipient: str
    copies: tuple[str, ...]
    subject: str
    text: str
    message_id: str
    traceparent: str | None
    attempts: int = 0


class RescueUnit(Protocol):
    """One transaction of a person who saves an order. In a dry run it reads and changes nothing."""

    async def lock(self, endangered_id: str) -> Endangered:
        """Return an endangered order and hold it until the transaction ends. Raises ``NotFound``."""
        ...

    async def mended(self, endangered_id: str, *, body: bytes, state: State, at: datetime) -> None:
        """Keep a mended body beside the original."""
        ...

    async def resubmitted(self, endangered_id: str, *, number: str, body: bytes, state: State, at: datetime) -> None:
        """Say which real order it has become, and of which body."""
        ...

    async def closed(self, endangered_id: str, *, at: datetime) -> None:
        """Say that nothing more is to be done."""
        ...

    async def add_report(self, report: Report) -> None:
        """Keep the intention to send a report. Raises ``Conflict`` when there is one that was not given up."""
        ...

    async def publish(self, events: Sequence[Envelope]) -> None:
        """Promise events by the outbox."""
        ...


class ReportQueue(Protocol):
    """Reports that wait for their mail. Each method is a transaction of its own; ``Unavailable`` when the database is away."""

    async def claim(self, *, lease: timedelta) -> Report | None:
        """Take a report that is due, so that nobody else sends it until the lease ends; its attempt is counted at once."""
        ...

    async def sent(self, report: Report, *, at: datetime) -> None:
        """The mail server has taken it: the order is reported."""
        ...

    async def postpone(self, report: Report, *, pause: timedelta, error: str) -> None:
        """Try again after the pause."""
        ...

    async def give_up(self, report: Report, *, error: str, problem: Envelope) -> None:
        """Try no more, and tell a person."""
        ...


@dataclass(frozen=True, slots=True)
class MailOutcome:
    """What became of a mail. ``error`` names no person."""

    kind: Literal["sent", "later", "refused"]
    error: str = ""


class Mailer(Protocol):
    """A mail server."""

    async def send(self, report: Report) -> MailOutcome:
        """Send one mail within a deadline; never raises for what the server says. Silence is ``later``."""
        ...


class RescueReads(Protocol):
    """Lists for people who save orders. Rows are looked up by column name; lists are the newest first."""

    async def endangered(
        self,
        *,
        states: Sequence[str] | None,
        category: str | None,
        only: Any,
        after: tuple[Any, ...] | None,
        limit: int,
    ) -> Sequence[Any]:
        """Return endangered orders behind a position."""
        ...

    async def order(self, endangered_id: Any) -> LostOrder | None:
        """Return what a report would be about."""
        ...

    async def reports(self, endangered_id: Any) -> Sequence[Any]:
        """Return the reports on an endangered order, the newest first."""
        ...
