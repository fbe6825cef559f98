"""How many bodies of unproven requests are read."""

from __future__ import annotations

from webhook_gateway.source_watch.budget import ReadingBudget


def test_a_flood_has_its_first_bodies_read_and_then_a_few_a_second() -> None:
    now = 0.0
    budget = ReadingBudget(lambda: now)
    assert sum(budget.take() for _ in range(1_000)) == 50
    now = 2.0
    assert sum(budget.take() for _ in range(1_000)) == 10
    now = 1_000.0
    assert sum(budget.take() for _ in range(1_000)) == 50
