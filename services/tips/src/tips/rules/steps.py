"""The steps of a decision: what each rule said, why, and where the rule comes from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

_SET = "docs/requirements.md#set-tips-sum"
_HOLD = "docs/requirements.md#need-hold-tips"
_ZERO = "docs/requirements.md#five-places-that-zero-tips"


class Rule(StrEnum):
    """A rule by the name that its step has, and its ``source``: where it comes from."""

    source: str

    def __new__(cls, name: str, source: str) -> Self:
        rule = str.__new__(cls, name)
        rule._value_ = name
        rule.source = source
        return rule

    CASHLESS = "cashless", f"{_SET}: only an order that is paid cashless has tips"
    NOT_REFUNDED = "not refunded", f"{_ZERO}: a refund in full sets the tips to zero"
    NOT_ZEROED = "not zeroed", f"{_ZERO}: the caller may set the tips to zero for good"
    FEEDBACK = "feedback", f"{_SET}: the tips are those of the customer's feedback on the order"
    RATING = "rating", f"{_SET}: a negative rating means no tips (configurable: 3 or lower)"
    SUM = "sum", f"{_SET}: percent of the final cost, or a flat sum in major units, rounded half up once"
    CAP = "cap", f"{_SET}: at most the cost, the configured share of it (maximum_share) and the configured maximum"
    FINISHED = "finished", "docs/requirements.md#tips-rollout-and-fallback: both endpoints are for finished orders"
    TIPS = "tips", f"{_HOLD}: only tips above zero are held"
    DONE = "done", f"{_HOLD}: not once the customer has pressed Done"
    WINDOW = "window", f"{_HOLD}: from 30 minutes to 24 hours after the end (configurable)"
    HELD = "held", f"{_HOLD}: not if that sum is held already"


@dataclass(frozen=True, slots=True)
class Step:
    """One rule's part in a decision: the rule, what it said, and in words why."""

    rule: Rule
    outcome: str
    detail: str

    @property
    def source(self) -> str:
        """Where the rule comes from."""
        return self.rule.source


def passed(rule: Rule, detail: str) -> Step:
    """Return the step of a rule that lets the next one speak."""
    return Step(rule, "pass", detail)
