"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tips.rules.order import Applied, Feedback, Order


@dataclass(frozen=True, slots=True)
class Place:
    """Where an order belongs, for product figures."""

    zone: str
    tariff: str


class Outcome(StrEnum):
    """What the orders database made of a write. The last three wrote nothing because the order is not what the call had read."""

    CHANGED = "changed"
    STORED = "stored"
    UNCHANGED = "unchanged"
    STALE_VERSION = "stale_version"
    STALE_FEEDBACK = "stale_feedback"
    ZEROED = "zeroed"


REFUSED = frozenset({Outcome.STALE_VERSION, Outcome.STALE_FEEDBACK, Outcome.ZEROED})


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a write.

    ``marks`` are those that this write is the first of its order to earn (``order``, ``tipped``, ``choice:…``, ``type:…``,
    ``increase``, ``decrease``, ``removed``, ``refunded``), each at most once an order whoever wins a race: the database decides.
    """

    outcome: Outcome
    marks: frozenset[str] = frozenset()


class Orders(Protocol):
    """The orders database, as far as tips may see it. ``until`` is a moment of ``time.monotonic()``, here and below."""

    async def find(self, number: str, *, until: float) -> Order | None:
        """Read one order. Raises ``Unavailable`` when the database does not answer in time."""
        ...

    async def set_tips(
        self, order: Order, *, amount: int, applied: Applied, until: float, late: Callable[[Written], None]
    ) -> Written:
        """Set the tips if the order still has the version that was read.

        ``late`` is told what came of the write when that is known only after this call has raised for lack of time. Raises
        ``UnknownOrder`` or ``OrderNotFinished`` when it has become that, ``Unavailable`` when the database does not answer in time.
        After ``Unavailable`` the write may have happened: it is an absolute value, so asking again is safe.
        """
        ...

    async def take_refunded(self) -> tuple[tuple[Place, ...], bool]:
        """Return the places of orders whose tips have gone with a refund, each order once, and whether there may be more.

        Two callers never get the same order. Who dies after this call has counted less than happened, never more.
        """
        ...


class FeedbackSource(Protocol):
    """The feedback service."""

    async def find(self, number: str, *, until: float) -> Feedback | None:
        """Return the feedback on an order, None when there is none. Raises ``Unavailable`` when it does not answer in time."""
        ...


class Observer(Protocol):
    """Where product figures go (M19). Never raises."""

    def decided(self, order: Order, written: Written, *, amount: int, applied: Applied) -> None:
        """A set-tips-sum asked for ``amount``; ``order`` is as it was read, ``written`` what came of it."""
        ...

    def nothing_to_write(self, order: Order) -> None:
        """A set-tips-sum found the order as it should be."""
        ...

    def refunded(self, place: Place) -> None:
        """The tips of an order have gone with a refund."""
        ...
