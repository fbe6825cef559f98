"""Constants of the rules by zone and tariff."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tips.rules.constants import LocalRules, RuleBook, TipsRules

DEFAULT = TipsRules(maximum={"RUB": 500_000})


def test_the_more_particular_place_wins_constant_by_constant() -> None:
    book = RuleBook(
        DEFAULT,
        [
            LocalRules(None, "express", {"negative_rating": 1, "default_maximum": 1}),
            LocalRules("moscow", None, {"negative_rating": 2, "hold_after": timedelta(minutes=5)}),
            LocalRules("moscow", "express", {"maximum_share": Decimal(50)}),
        ],
    )
    moscow = {"negative_rating": 2, "hold_after": timedelta(minutes=5), "maximum": {"RUB": 500_000}}
    assert book.rules_for("moscow", "express") == TipsRules(**moscow, default_maximum=1, maximum_share=Decimal(50))  # type: ignore[arg-type]  # mixed values
    assert book.rules_for("moscow", "planned") == TipsRules(**moscow)  # type: ignore[arg-type]  # as above
    assert book.rules_for("spb", "express") == TipsRules(maximum={"RUB": 500_000}, negative_rating=1, default_maximum=1)
    assert book.rules_for("nowhere", "never") == book.rules_for("other", "other") == DEFAULT


@pytest.mark.parametrize(
    ("local", "said"),
    [
        ([LocalRules(None, None, {})], "a place names a zone, a tariff, or both"),
        ([LocalRules("spb", None, {}), LocalRules("spb", None, {})], "zone spb is named twice"),
        ([LocalRules("spb", "x", {"hold_until": timedelta(1), "hold_after": timedelta(2)})], "hold_after has to come"),
        (
            [
                LocalRules("spb", None, {"hold_after": timedelta(hours=2)}),
                LocalRules(None, "x", {"hold_until": timedelta(hours=1)}),
            ],
            "zone spb and tariff x: hold_after has to come",
        ),
        ([LocalRules("spb", None, {"maximum_share": Decimal(101)})], "zone spb: maximum_share is a percentage"),
    ],
)
def test_places_that_contradict_each_other_are_refused_at_start(local: list[LocalRules], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RuleBook(DEFAULT, local)
