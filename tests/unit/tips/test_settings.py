"""The rules by place, as the environment gives them."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from common.errors import ConfigurationError
from common.service import load_settings
from tips.settings import TipsSettings


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
