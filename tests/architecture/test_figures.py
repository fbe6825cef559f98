"""The tree stays as small and as readable as it has become: each figure has a limit, which goes up only with what the suite can do."""

from __future__ import annotations

import pytest

from tests.architecture.figures import CASE, OUTSIDE, Tree, figures

LIMITS = {
    "product lines": 86_460,
    "protocols": 6,
    "outside references": 0,
    "port files": 0,
    "pattern folders": 0,
    "longest file": 400,
    "files in the largest feature": 30,
    "imports from test modules": 0,
    "test names over 80 characters": 0,
}


@pytest.fixture(scope="module")
def tree() -> Tree:
    """The checkout that this test stands in."""
    return Tree()


def test_no_figure_is_over_its_limit(tree: Tree) -> None:
    over = {name: value for name, value in figures(tree).items() if value > LIMITS.get(name, value)}
    assert over == {}, "python -m tests.architecture.figures tells which lines, classes and files they are"


@pytest.mark.parametrize(
    "line",
    [
        "stops the hook (M5)",
        "see DECISIONS",
        "as in research/notifier.md",
        "the seed's number",
        "the gateway, issue 7",
    ],
)
def test_a_line_that_names_what_is_not_here_is_found(line: str) -> None:
    assert OUTSIDE.search(line)


@pytest.mark.parametrize(
    "line", ["the queue's message 5", "docs/requirements.md#repeats", "see docs/adr/0004", "seed=1"]
)
def test_a_line_that_names_what_is_here_is_not_found(line: str) -> None:
    assert OUTSIDE.search(line) is None


def test_a_case_number_is_told_from_an_order_number() -> None:
    assert CASE.search("off where another replica does (P1)")
    assert CASE.search('api.all("P3")') is None
