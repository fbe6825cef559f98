"""The steps of a decision: what each rule said, why, and where the rule comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_SET = "docs/requirements.md#set-tips-sum"
_HOLD = "docs/requirements.md#need-hold-tips"
_ZERO = "docs/requirements.md#five-places-that-zero-tips"

SOURCES: Mapping[str, str] = {
    "cashless": f"{_SET}: only an order that is paid cashless has tips",
    "not refunded": f"{_ZERO}: a refund in full sets the tips to zero",
    "not zeroed": f"{_ZERO}: the caller may set the tips to zero for good",
    "feedback": f"{_SET}: the tips are those of the customer's feedback on the order",
    "rating": f"{_SET}: a negative rating means no tips (configurable: 3 or lower)",
    "sum": f"{_SET}: percent of the final cost, or a flat sum in major units, rounded half up once",
    "cap": f"{_SET}: at most the cost, and the configured maximum",
    "finished": "docs/requirements.md#tips-rollout-and-fallback: both endpoints are for finished orders",
    "tips": f"{_HOLD}: only tips above zero are held",
    "done": f"{_HOLD}: not once the customer has pressed Done",
    "window": f"{_HOLD}: from 30 minutes to 24 hours after the end (configurable)",
    "held": f"{_HOLD}: not if that sum is held already",
}
"""Where each rule comes from, by the name of its step."""


@dataclass(frozen=True, slots=True)
class Step:
    """One rule's part in a decision: its name, what it said, and in words why."""

    rule: str
    outcome: str
    detail: str

    @property
    def source(self) -> str:
        """Where the rule comes from."""
        return SOURCES[self.rule]


def passed(rule: str, detail: str) -> Step:
    """Return the step of a rule that lets the next one speak."""
    return Step(rule, "pass", detail)
