"""An endangered order and its way: new, mended or resubmitted, reported, closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from common.errors import Conflict
from common.ids import derived_id, order_number
from webhook_gateway.hooks.model import WEBSITE


class State(StrEnum):
    """How far people have come with it. What happened when stands in columns of its own."""

    NEW = "new"
    MENDED = "mended"
    RESUBMITTED = "resubmitted"
    REPORTED = "reported"
    CLOSED = "closed"


class Act(StrEnum):
    """What people do with it."""

    MEND = "mend"
    RESUBMIT = "resubmit"
    REPORT = "report"
    CLOSE = "close"


TO_RESCUE = (State.NEW, State.MENDED)
"""States in which the customer has no order and nobody was informed why."""

_NEXT: dict[tuple[State, Act], State] = {
    (State.NEW, Act.MEND): State.MENDED,
    (State.NEW, Act.RESUBMIT): State.RESUBMITTED,
    (State.NEW, Act.REPORT): State.REPORTED,
    (State.NEW, Act.CLOSE): State.CLOSED,
    (State.MENDED, Act.MEND): State.MENDED,
    (State.MENDED, Act.RESUBMIT): State.RESUBMITTED,
    (State.MENDED, Act.REPORT): State.REPORTED,
    (State.MENDED, Act.CLOSE): State.CLOSED,
    (State.RESUBMITTED, Act.REPORT): State.REPORTED,
    (State.RESUBMITTED, Act.CLOSE): State.CLOSED,
    (State.REPORTED, Act.MEND): State.REPORTED,  # the managers may save the order after the report
    (State.REPORTED, Act.RESUBMIT): State.REPORTED,
    (State.REPORTED, Act.CLOSE): State.CLOSED,
}


def after(state: State, act: Act, *, number: str | None) -> State:
    """Return the state after an act. ``number``: the real order that it has become already.

    Every state and act either stands in the table or raises ``Conflict``: nothing becomes two orders, nothing closed moves.
    """
    if number is not None and act in (Act.MEND, Act.RESUBMIT):
        raise Conflict(f"this order is {state} already, as {number}")
    following = _NEXT.get((state, act))
    if following is None:
        raise Conflict(f"this order is {state}; it cannot be changed by {act}")
    return following


def state_of(text: str) -> State:
    """Read a stored state; ``open`` is what the release before wrote for a new one."""
    return State.NEW if text == "open" else State(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class LostOrder:
    """What the report is about."""

    id: str
    received_at: datetime
    status: int
    category: str
    customer: Mapping[str, str]
    address: str | None
    basket: Sequence[Any]
    number: str | None
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedOrder:
    """An endangered order, held by the transaction of a person who works on it. ``body`` is the mended one where there is one."""

    order: LostOrder
    state: State
    body: bytes
    external_id: str | None

    @property
    def number(self) -> str:
        """The number that the order has, or will have unless a mended body gives it another ``externalId``."""
        return self.order.number or order_number(WEBSITE, self.external_id or self.order.id)


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


def endangered_fingerprint(endangered_id: str) -> str:
    """Return what the incident of an endangered order is known by."""
    return derived_id("endangered", endangered_id)
