"""Constants by zone and tariff, and what the settings make of them."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from common.errors import ConfigurationError
from common.service import load_settings
from tips.rules.constants import LocalRules, RuleBook
from tips.rules.target import TipsRules
from tips.settings import TipsSettings

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


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """What the settings cannot do without."""
    monkeypatch.setenv("TIPS_FEEDBACK_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("TIPS_TOKENS_FILE", str(tmp_path / "tokens.json"))
    return monkeypatch


def test_places_come_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    places = [
        {"zone": "moscow", "tariff": "express", "hold_after": 60, "default_maximum": None, "maximum": {"RUB": 1}},
        {"tariff": "planned", "cashless_methods": ["card"], "maximum_share": "12.5"},
    ]
    environment.setenv("TIPS_PLACES", json.dumps(places))
    environment.setenv("TIPS_DEFAULT_MAXIMUM", "777")
    book = load_settings(TipsSettings).book
    express, planned = book.rules_for("moscow", "express"), book.rules_for("spb", "planned")
    assert (express.hold_after, express.maximum_for("RUB"), express.maximum_for("EUR")) == (
        timedelta(minutes=1),
        1,
        None,
    )
    assert (planned.cashless_methods, planned.maximum_share) == (frozenset({"card"}), Decimal("12.5"))
    assert (planned.maximum_for("RUB"), planned.maximum_for("EUR")) == (500_000, 777)


@pytest.mark.parametrize(
    "places",
    [
        [{"zone": "moscow", "negativ_rating": 2}],
        [{"zone": "moscow", "negative_rating": None}],
        [{"zone": "moscow", "hold_after": 100_000}],
        [{}],
    ],
)
def test_a_misspelt_or_contradicting_place_is_one_clear_line(
    environment: pytest.MonkeyPatch, places: list[dict[str, object]]
) -> None:
    environment.setenv("TIPS_PLACES", json.dumps(places))
    with pytest.raises(ConfigurationError, match=r"^configuration: TIPS_"):
        load_settings(TipsSettings)
