"""``docs/measured.md`` tells every goal of the benchmarks, and each as it is."""

from __future__ import annotations

import re

from suite_local.paths import repository_root
from tests.bench.goals import AIMS

_ROW = re.compile(r"^\| ([^|]+?) \| [≥≤] ([0-9.]+) \|(?: [^|]+ \|){3} `(\w+)` \|$", re.MULTILINE)


def test_the_page_of_what_was_measured_tells_every_goal_as_it_is() -> None:
    page = (repository_root() / "docs" / "measured.md").read_text()
    assert {name: float(goal) for name, goal, _ in _ROW.findall(page)} == dict(AIMS)


def test_each_row_of_the_page_names_a_benchmark_that_there_is() -> None:
    root = repository_root()
    rows = _ROW.findall((root / "docs" / "measured.md").read_text())
    assert rows
    assert [file for _, _, file in rows if not (root / "tests" / "bench" / f"{file}.py").is_file()] == []
