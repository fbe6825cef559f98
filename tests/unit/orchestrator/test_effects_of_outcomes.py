"""A cursor never moves without the effect that it stands for: an effect of a foreign type is an error, not nothing."""

from __future__ import annotations

import pytest

from orchestrator.engine.model import ORDER_LIFE, Claim, Outcome, effects_of


def outcome(effect: object | None) -> Outcome:
    """An outcome with this effect."""
    claim = Claim(workflow_id=1, order_number="N1", kind=ORDER_LIFE, key="", done_seq=0, fence=1, attempts=0, events=())
    return Outcome(claim=claim, upto=1, effect=effect)


def test_effects_of_the_handler_s_own_kinds_are_returned_in_order() -> None:
    outcomes = [outcome("a"), outcome(None), outcome(2), outcome("b")]
    assert [effect for _, effect in effects_of(outcomes, str, int)] == ["a", 2, "b"]


def test_an_effect_of_another_kind_is_an_error() -> None:
    with pytest.raises(TypeError, match="the handler of order_life writes no list"):
        effects_of([outcome("a"), outcome([1])], str)
