"""The parts of a notice's lateness add up to it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from notifier.delivery.routes import waited

CAME = datetime(2026, 11, 29, 10, tzinfo=UTC)
STEPS = ("taken_at", "occurred_at", "created_at", "sent_at")


def after(*seconds: float) -> dict[str, Any]:
    """A notice whose steps were so long after its hook."""
    steps = {name: CAME + timedelta(seconds=each) for name, each in zip(STEPS, seconds, strict=True)}
    return {"received_at": CAME, "came_by": "queue", **steps}


@pytest.mark.parametrize(
    "steps",
    [
        (1.4, 2.8, 4.2, 5.6),  # each part is less than it is rounded to
        (1.6, 3.2, 4.8, 6.4),
        (20.0, 20.1, 3.0, 7.0),  # the orchestrator's clock is ahead
        (0.1, -3.0, 4.0, 6.0),  # and is behind
        (259200.0, 259200.2, 259200.4, 259201.0),
    ],
)
def test_the_parts_add_up_to_the_whole(steps: tuple[float, ...]) -> None:
    parts = map(int, re.findall(r"(\d+) s ", waited(after(*steps)) or ""))
    assert abs(sum(parts) - steps[-1]) <= 0.5
