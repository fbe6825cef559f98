"""Every alert of tips names whom the notifier is to tag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def alerts(repository: Path) -> dict[str, dict[str, Any]]:
    """Return the alerts of both files by name."""
    return {
        rule["alert"]: rule
        for path in sorted((repository / "deploy" / "prometheus" / "rules").glob("tips*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


def test_every_alert_of_tips_tags_the_responsible_person(repository: Path) -> None:
    labels = {name: rule["labels"] for name, rule in alerts(repository).items()}
    assert {name: (each["service"], each["responsible"]) for name, each in labels.items()} == dict.fromkeys(
        labels, ("tips", "tips-owner")
    )


def test_errors_latency_database_and_share_each_have_an_alert(repository: Path) -> None:
    assert set(alerts(repository)) == {
        "TipsDown",
        "TipsErrors",
        "TipsSlow",
        "TipsDatabaseSlow",
        "TipsDatabaseErrors",
        "TipsSheds",
        "TipsContended",
        "TipsShareUnlikeLastWeek",
    }
