"""Two checkouts' benchmarks in turn, and the ratios of what they print."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from suite_local.benchmarks import compare, in_words, run_in_turn
from suite_local.errors import SuiteLocalError

_BENCHMARK = """
import json, os
with open(os.environ["RAN"], "a") as file:
    file.write("{name} ")
print("wrk says something")
print(json.dumps({{"of": "P1", "figure": "hooks/s", "value": {rate}, "cpu_us": 100, "load_average": 1.0}}))
raise SystemExit({code})
"""


def checkout(directory: Path, *, rate: int, code: int = 0) -> Path:
    """A checkout with one benchmark, whose environment is this test's own."""
    (directory / ".venv/bin").mkdir(parents=True)
    (directory / ".venv/bin/python").symlink_to(sys.executable)
    (directory / "tests/bench").mkdir(parents=True)
    (directory / "tests/bench/bench_x.py").write_text(_BENCHMARK.format(name=directory.name, rate=rate, code=code))
    return directory


def test_both_checkouts_run_in_turn_and_the_median_ratio_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_PAIRS", "3")
    new, base = checkout(tmp_path / "new", rate=110), checkout(tmp_path / "base", rate=100, code=3)
    environment = {"RAN": str(tmp_path / "ran"), "PYTHONPATH": ""}
    code, ratios = run_in_turn(new, base, "bench_x", environment)
    assert (tmp_path / "ran").read_text().split() == ["new", "base"] * 3
    assert code == 3
    assert [(line["figure"], line["value"], line["pairs"]) for line in ratios] == [
        ("hooks/s: new / base", 1.1, 3),
        ("hooks/s · cpu_us: new / base", 1.0, 3),
    ]


def test_a_checkout_without_an_environment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteLocalError, match="BENCH_BASE"):
        run_in_turn(tmp_path, tmp_path, "bench_x", {})


def test_ratios_are_taken_pair_by_pair_and_what_has_none_is_left_out() -> None:
    def printed(value: float | str, **more: object) -> list[dict[str, object]]:
        return [{"of": "P2", "figure": "events/s", "value": value, "goal": 5000, **more}]

    pairs = [(printed(90, lost=0), printed(100, lost=0)), (printed(400), printed(200)), (printed(100), printed("none"))]
    assert list(compare(pairs)) == [
        {
            "of": "P2",
            "figure": "events/s: new / base",
            "value": 1.45,
            "middle_half": "1.175–1.725",
            "pairs": 2,
            "new": 245.0,
            "base": 150.0,
            "means": "gain",
        }
    ]


def test_figures_of_the_same_name_are_compared_in_their_order() -> None:
    def printed(*values: float) -> list[dict[str, object]]:
        return [{"of": "P4", "figure": "p50, ms", "value": value} for value in values]

    assert [line["value"] for line in compare([(printed(2, 9), printed(1, 3))])] == [2.0, 3.0]


def of_pairs(name: str, *ratios: float) -> list[str]:
    """What is said in words of a figure whose pairs had these ratios."""

    def printed(value: float) -> list[dict[str, object]]:
        return [{"of": "P1", "figure": name, "value": value}]

    return list(in_words(list(compare([(printed(ratio), printed(1.0)) for ratio in ratios]))))


@pytest.mark.parametrize(
    ("name", "ratios", "said"),
    [
        ("hooks/s", (0.9, 0.91, 0.92), "LOSS"),
        ("p99, ms", (0.9, 0.91, 0.92), "GAIN"),
        ("gateway / bare", (1.1, 1.1, 1.1), "GAIN"),
        ("gateway / bare: processor time for a hook", (1.1, 1.1, 1.1), "LOSS"),
        ("idle suite, share of a core: postgres", (2.0, 2.0, 2.0), "LOSS"),
        ("hooks/s", (0.98, 0.98, 0.99), "neither"),  # as near as noise
        ("hooks/s", (0.5, 0.9, 1.2), "neither"),  # the pairs do not agree
        ("orders", (0.5, 0.5, 0.5), "neither"),  # nobody knows which is better
    ],
)
def test_a_loss_is_said_in_words_when_it_is_more_than_noise(name: str, ratios: tuple[float, ...], said: str) -> None:
    [words] = of_pairs(name, *ratios)
    assert words.startswith(said)
