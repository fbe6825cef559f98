"""Faults that a check orders for one outside system: what goes wrong, how often, and on which calls."""

import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class FaultMode(StrEnum):
    """What can go wrong. `lost_response`, `slow`, `late`, `error` if asked, and `declined` inside a system take effect.

    `late`: the connection is cut at once, and the call takes effect when it is let go (`POST /sandbox/{system}/late`), by then after
    whatever was called in between: answers out of order.
    """

    ERROR = "error"
    TIMEOUT = "timeout"
    LOST_RESPONSE = "lost_response"
    RATE_LIMIT = "rate_limit"
    RESET = "reset"
    SLOW = "slow"
    LATE = "late"
    DECLINED = "declined"


DEFAULT_DELAY_S = {
    FaultMode.TIMEOUT: 60.0,
    FaultMode.SLOW: 1.0,
    FaultMode.RATE_LIMIT: 1.0,
}
"""Seconds used when an order names none: how long to hang, to wait, or to ask the caller to wait."""


class FaultOrder(BaseModel):
    """The body of `POST /sandbox/{system}/faults`. Without `count` and `share` it holds until it is healed.

    `effect` goes with `error` only: the call takes effect, and the answer says that it failed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: FaultMode
    count: int | None = Field(default=None, ge=1)
    share: float | None = Field(default=None, gt=0, le=1)
    delay_s: float | None = Field(default=None, ge=0)
    match: str | None = Field(default=None, min_length=1)
    effect: bool = False

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if self.count is not None and self.share is not None:
            raise ValueError("give count or share, not both")
        if self.effect and self.mode is not FaultMode.ERROR:
            raise ValueError("effect goes with the mode error only")
        return self

    @property
    def delay(self) -> float:
        """Seconds that this fault takes."""
        return self.delay_s if self.delay_s is not None else DEFAULT_DELAY_S.get(self.mode, 0.0)


@dataclass(slots=True)
class _Rule:
    order: FaultOrder
    left: int | None
    hits: int = 0


@dataclass(slots=True)
class FaultPlan:
    """The faults ordered for one system. The newest order that applies to a call wins; a counted one ends by itself."""

    rng: random.Random
    _rules: list[_Rule] = field(default_factory=list)

    def add(self, order: FaultOrder) -> None:
        """From now on, play `order` before the older ones."""
        self._rules.insert(0, _Rule(order=order, left=order.count))

    def heal(self) -> None:
        """Forget every order."""
        self._rules.clear()

    def draw(self, call: str) -> FaultOrder | None:
        """The fault to play on this call, or None. `call` is its "METHOD path operation", searched without case."""
        for rule in self._rules:
            if rule.order.match is not None and rule.order.match.lower() not in call.lower():
                continue
            if rule.order.share is not None and self.rng.random() >= rule.order.share:
                continue
            rule.hits += 1
            if rule.left is not None:
                rule.left -= 1
                if rule.left == 0:
                    self._rules.remove(rule)
            return rule.order
        return None

    def as_json(self) -> list[dict[str, Any]]:
        """The orders still in force, newest first."""
        return [rule.order.model_dump(mode="json") | {"left": rule.left, "hits": rule.hits} for rule in self._rules]
