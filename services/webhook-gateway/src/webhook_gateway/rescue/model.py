"""An endangered order and its way: new, mended or resubmitted, reported, closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from common.errors import Conflict, FieldError
from common.ids import derived_id, order_number
from common.newer import member
from webhook_gateway.website.model import Category

UNKNOWN_NETWORK = "unknown"
"""Stands for the network of a request whose sender cannot be named."""


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
    CALL = "call"


ClosedAs = Literal["done", "own_test"]
"""Why nothing more is to be done; one's own test is counted apart."""

WITHIN = timedelta(days=1)
"""How far from each other two tries of one customer may be."""

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
    **{(state, Act.CALL): state for state in State if state is not State.CLOSED},
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
    return State.NEW if text == "open" else member(State, text)


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
    source: str
    external_id: str | None
    network: str | None
    anonymous: bool
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedOrder:
    """An endangered order, held by the transaction of a person who works on it. ``body`` is the mended one where there is one.

    ``reported``: a report covers it that was not given up. ``version`` grows with each change.
    """

    order: LostOrder
    state: State
    body: bytes
    reported: bool = False
    version: int = 1

    @property
    def number(self) -> str:
        """The number that the order has, or will have unless a mended body gives it another ``externalId``."""
        order = self.order
        if order.number is not None:
            return order.number
        name = None if order.category == Category.KEY_REUSED else order.external_id
        return order_number(order.source, name or order.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report whose mail is to go. ``attempts`` counts the tries that were begun; ``endangered_id`` is the first order that it covers."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """Another order that may be the same customer's same wish. ``same`` names what both have.

    An order that was taken has a ``number``, an endangered one an ``id`` and a ``state``.
    """

    same: tuple[str, ...]
    received_at: datetime
    number: str | None
    id: str | None = None
    state: str | None = None

    @property
    def name(self) -> str:
        """What people call it by."""
        return self.number or f"endangered {self.id}"


class LikelyDuplicates(Conflict):
    """Other orders look like this one; whoever knows better says ``despite_duplicates``."""

    code = "likely_duplicates"

    @classmethod
    def of(cls, duplicates: Sequence[Duplicate]) -> LikelyDuplicates:
        """Name them, and nothing of a customer's."""
        named = "; ".join(f"{one.name} (same {' and '.join(one.same)})" for one in duplicates)
        return cls(
            f"there are likely duplicates within a day: {named}; with despite_duplicates it is done all the same",
            fields=tuple(
                FieldError(one.name, "likely_duplicate", f"same {' and '.join(one.same)}") for one in duplicates
            ),
        )


def anonymous_fingerprint(network: str | None, at: datetime) -> str:
    """Return what the warning of a network's hour is known by."""
    return derived_id("anonymous-orders", network or UNKNOWN_NETWORK, hour_of(at).isoformat())


def hour_of(at: datetime) -> datetime:
    """Return the hour (UTC) that a request without a valid token is gathered in."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def report_fingerprint(report_id: str) -> str:
    """Return what the incident of a report that could not be sent is known by."""
    return derived_id("endangered-report", report_id)


def endangered_fingerprint(endangered_id: str) -> str:
    """Return what the incident of an endangered order is known by."""
    return derived_id("endangered", endangered_id)
