"""One line of JSON for each figure, with how busy the machine was when it was taken."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence


def figure(goal_of: str, what: str, value: float | str, *, goal: float | None = None, **more: object) -> None:
    """Print a figure. `goal_of` is its group (P1 to P9, or what it is of), `goal` what it should reach where there is one."""
    line = {
        "of": goal_of,
        "figure": what,
        "value": value,
        "goal": goal,
        "load_average": round(os.getloadavg()[0], 1),
        **more,
    }
    present = {name: entry for name, entry in line.items() if entry is not None}
    sys.stdout.write(json.dumps(present, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that so many per cent are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
