"""Orders, feedback and counted figures for the tests of tips."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from prometheus_client import CollectorRegistry

from tips.rules.constants import TipsRules
from tips.rules.order import Applied, Choice, ChosenTips, Feedback, Order, TipsType

END = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
RULES = TipsRules(maximum={"RUB": 500_000})


def an_order(**changes: object) -> Order:
    """A finished order of 160 roubles, paid cashless, that nobody has decided yet."""
    values: dict[str, object] = {
        "number": "7Q3M0V9XK2TDW8RC",
        "version": 6,
        "finished": True,
        "finished_at": END,
        "cashless": True,
        "refunded": False,
        "zeroed": False,
        "currency": "RUB",
        "cost": 16_000,
        "tips": 0,
        "held_sum": None,
        "applied": Applied(),
        "seen": False,
        "zone": "moscow",
        "tariff": "express",
    }
    return Order(**(values | changes))  # type: ignore[arg-type]  # the names are those of the dataclass


def feedback(kind: TipsType = TipsType.PERCENT, value: str = "10", **changes: object) -> Feedback:
    """A good rating, and ten percent of tips that were suggested."""
    values: dict[str, object] = {
        "rating": 5,
        "tips": ChosenTips(kind, Decimal(value)),
        "choice": Choice.SUGGESTED,
        "done": False,
        "updated_at": END,
    }
    return Feedback(**(values | changes))  # type: ignore[arg-type]  # as above


def counts(registry: CollectorRegistry, name: str, label: str) -> dict[str, float]:
    """Return the series of one metric that are not zero, by one of their labels."""
    return {
        sample.labels[label]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == name and sample.value
    }
