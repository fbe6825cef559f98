"""The report of a play: per order every answer, the numbers given, repeats and auto-cancels, and a summary."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sandbox.marketplace.orders import Event, OrderPlan, expected_outcome


@dataclass(frozen=True, slots=True)
class AnswerSeen:
    """One attempt at one hook. `status` None: no answer in time, see `error`. `seconds` from first byte to last."""

    event: Event
    delivery: str
    attempt: int
    status: int | None
    body: Any
    seconds: float
    error: str | None
    url: str
    traceparent: str | None
    request_id: str | None

    @property
    def accepted(self) -> bool:
        """A 2xx; anything else makes the marketplace repeat."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def number(self) -> str | None:
        """The number our side gave in an accepted answer."""
        if not self.accepted or not isinstance(self.body, dict):
            return None
        number = self.body.get("number")
        return str(number) if isinstance(number, str | int) and not isinstance(number, bool) else None

    def as_json(self) -> dict[str, Any]:
        """The answer's line in the report."""
        return {
            "event": f"order.{self.event}",
            "delivery": self.delivery,
            "attempt": self.attempt,
            "status": self.status,
            "body": self.body,
            "seconds": round(self.seconds, 4),
            "error": self.error,
            "url": self.url,
            "traceparent": self.traceparent,
            "request_id": self.request_id,
        }


@dataclass(slots=True)
class OrderReport:
    """What became of one order, as far as the marketplace can know."""

    plan: OrderPlan
    answers: list[AnswerSeen] = field(default_factory=list)
    gave_up: list[Event] = field(default_factory=list)
    auto_cancelled: bool = False
    done: bool = False

    @property
    def numbers(self) -> list[str]:
        """Different numbers received, in order of arrival; more than one is a fault of our side."""
        return list(dict.fromkeys(answer.number for answer in self.answers if answer.number is not None))

    @property
    def repeats(self) -> int:
        """Attempts after the first, over all deliveries."""
        return sum(answer.attempt > 1 for answer in self.answers)

    @property
    def violations(self) -> list[str]:
        """Answers that break the marketplace's protocol, in words."""
        found = []
        if len(self.numbers) > 1:
            found.append("more than one number for one order")
        for answer in self.answers:
            if answer.accepted and answer.number is None:
                found.append(f"order.{answer.event} answered without a number")
            wanted = "created" if answer.event == "created" else "ok"
            if answer.accepted and isinstance(answer.body, dict) and answer.body.get("status") != wanted:
                found.append(f"order.{answer.event} answered with another status than {wanted}")
        return list(dict.fromkeys(found))

    @property
    def expected(self) -> dict[str, Any] | None:
        """What the order must be by the hooks that were accepted; None when the marketplace gave it up."""
        if self.auto_cancelled:
            return None
        accepted = {answer.event for answer in self.answers if answer.accepted}
        return expected_outcome(tuple(hook for hook in self.plan.hooks if hook.event in accepted))

    def as_json(self, *, detail: bool) -> dict[str, Any]:
        """The order's part of the report; `certain` is false where a hook that was never accepted may have been kept."""
        shown: dict[str, Any] = {
            "external_id": self.plan.external_id,
            "lifecycle": self.plan.lifecycle,
            "mode": self.plan.mode,
            "sent": [f"order.{self.plan.hooks[index].event}" for index in self.plan.sequence],
            "payment_id": self.plan.payment_id,
            "number": self.numbers[0] if self.numbers else None,
            "numbers": self.numbers,
            "repeats": self.repeats,
            "duplicates": sum(answer.delivery != "original" and answer.attempt == 1 for answer in self.answers),
            "gave_up": [f"order.{event}" for event in self.gave_up],
            "auto_cancelled": self.auto_cancelled,
            "violations": self.violations,
            "certain": not self.gave_up and not self.auto_cancelled,
            "expected": self.expected,
        }
        if detail:
            shown["answers"] = [answer.as_json() for answer in self.answers]
        return shown


def summary_of(orders: list[OrderReport], *, wanted: int, seconds: float) -> dict[str, Any]:
    """The play in a few figures; times in seconds over the answers that came."""
    answers = [answer for order in orders for answer in order.answers]
    times = sorted(answer.seconds for answer in answers if answer.status is not None)
    statuses = Counter(str(answer.status) if answer.status is not None else str(answer.error) for answer in answers)
    numbers = Counter(number for order in orders for number in order.numbers)
    return {
        "orders": wanted,
        "orders_begun": len(orders),
        "orders_done": sum(order.done for order in orders),
        "hooks": sum(len(order.plan.hooks) for order in orders),
        "attempts": len(answers),
        "accepted": sum(answer.accepted for answer in answers),
        "repeats": sum(order.repeats for order in orders),
        "duplicates": sum(answer.delivery != "original" and answer.attempt == 1 for answer in answers),
        "shuffled": sum(order.plan.mode != "in_order" for order in orders),
        "auto_cancelled": sum(order.auto_cancelled for order in orders),
        "gave_up": sum(len(order.gave_up) for order in orders),
        "violations": sum(bool(order.violations) for order in orders),
        "numbers": len(numbers),
        "numbers_shared": sum(count > 1 for count in numbers.values()),
        "answers": dict(sorted(statuses.items())),
        "seconds": round(seconds, 3),
        "answer_seconds": {name: _quantile(times, share) for name, share in _QUANTILES.items()},
    }


_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def _quantile(times: list[float], share: float) -> float | None:
    if not times:
        return None
    return round(times[min(len(times) - 1, int(share * len(times)))], 4)
