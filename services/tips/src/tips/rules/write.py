"""What is to be written to an order, and what the orders database made of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tips.rules.order import Applied, Feedback, Order


class Write(StrEnum):
    """What to do with a computed sum."""

    NOTHING = "nothing"
    SET = "set"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision on a write: the sum, and what goes with it so that the order remembers where its tips came from."""

    write: Write
    amount: int
    applied: Applied


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


def plan_write(order: Order, feedback: Feedback | None, amount: int, *, forbidden: bool = False) -> Plan:
    """Decide whether ``amount`` is written to the order.

    Feedback older than what was applied before (or gone) writes nothing: the newest feedback wins, whoever is late. Newer feedback is
    always written, also when the sum is equal: it bumps the version, and a call that still holds the older feedback then loses.
    An order seen for the first time is written so that product counters count it once.

    ``forbidden``: the order itself allows no tips. Then they go although the feedback at hand is older than what was applied, which
    stays as it was noted: it is not the feedback that decides.
    """
    applied = Applied.of(feedback)
    stored = order.applied.feedback_at
    if stored is not None and (applied.feedback_at is None or applied.feedback_at < stored):
        if forbidden and order.tips > 0:
            return Plan(Write.SET, 0, order.applied)
        return Plan(Write.STALE, order.tips, order.applied)
    if order.seen and applied == order.applied and amount == order.tips:
        return Plan(Write.NOTHING, amount, applied)
    return Plan(Write.SET, amount, applied)
