"""An order's bucket in an experiment is pinned, and a growing share only adds orders."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from openfeature.evaluation_context import EvaluationContext

from orchestrator.tips.experiment import EXPERIMENT_FLAG, FlagProvider, FlagRow, bucket_of

VECTORS = json.loads((Path(__file__).parent / "buckets.json").read_text())


class Rows:
    """Flags that stand still."""

    def __init__(self, share: int) -> None:
        self.share = share

    def fresh(self) -> dict[str, FlagRow]:
        """One flag."""
        return {EXPERIMENT_FLAG: FlagRow(True, self.share)}


def included(share: int, order: str) -> bool:
    provider = FlagProvider(Rows(share))  # type: ignore[arg-type]  # it reads flags in this one way
    found = provider.resolve_boolean_details(EXPERIMENT_FLAG, False, EvaluationContext(order))
    assert found.error_code is None
    return found.value


def test_buckets_are_those_of_the_vector_file() -> None:
    found = [[salt, order, bucket_of(salt, order)] for salt, order, _ in VECTORS]
    assert found == VECTORS


@given(order=st.text(min_size=1, max_size=40), narrow=st.integers(0, 10_000), more=st.integers(0, 10_000))
def test_a_wider_share_only_adds_orders(order: str, narrow: int, more: int) -> None:
    wide = min(narrow + more, 10_000)
    assert included(narrow, order) <= included(wide, order)
    assert included(narrow, order) is (bucket_of(EXPERIMENT_FLAG, order) < narrow)
    assert (included(0, order), included(10_000, order)) == (False, True)


def test_a_share_takes_about_its_part_of_all_orders() -> None:
    inside = sum(included(2_500, f"ORDER{index}") for index in range(4_000))
    assert 900 < inside < 1_100
