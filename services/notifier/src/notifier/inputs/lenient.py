"""What other systems send, read leniently: any value as text, any time as a time, their words as ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from notifier.incidents.model import Severity

SEVERITIES: Mapping[str, Severity] = {
    **dict.fromkeys(
        ("critical", "crit", "emergency", "emerg", "fatal", "page", "high", "highest", "urgent", "disaster"), "critical"
    ),
    **dict.fromkeys(("blocker", "major", "panic", "p0", "p1", "sev0", "sev1"), "critical"),
    **dict.fromkeys(("warning", "warn", "error", "err", "minor", "medium", "moderate", "average"), "warning"),
    **dict.fromkeys(("info", "informational", "information", "none", "low", "lowest", "debug", "notice", "ok"), "info"),
}
"""What other systems call a severity; ``NOTIFIER_SEVERITIES`` adds to it. A word that is not there is a warning."""
PRODUCTION = "production"
TESTING = "testing"
ENVIRONMENTS: Mapping[str, str] = {
    **dict.fromkeys(("production", "prod", "prd", "live"), PRODUCTION),
    **dict.fromkeys(("testing", "test", "tst", "staging", "stage", "stg", "development", "develop", "dev"), TESTING),
    **dict.fromkeys(("qa", "uat", "sandbox", "local", "preprod", "preview"), TESTING),
}
"""What other systems call an environment; ``NOTIFIER_ENVIRONMENTS`` adds to it."""
_LONGEST = 10_000
_CONTROL = re.compile(r"[\x00\ud800-\udfff]")
_FRACTION = re.compile(r"(\.\d{6})\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Their words for severities and environments. ``own`` is this service's environment."""

    severities: Mapping[str, Severity] = field(default_factory=lambda: SEVERITIES)
    environments: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENTS)

    def severity(self, word: str) -> Severity:
        """Return what a word means, whatever its case; a warning when nobody knows it."""
        return self.severities.get(word.strip().casefold(), "warning")

    def environment(self, word: str) -> tuple[str | None, str | None]:
        """Return the environment that a word means (None: it says nothing), and the word itself when nobody knows it.

        What nobody knows may be production, and is treated so: an alert of it must not go where only testers look.
        """
        said = word.strip()
        if not said:
            return None, None
        known = self.environments.get(said.casefold())
        return (PRODUCTION, said) if known is None else (known, None)


def clean(text: str) -> str:
    """Return a text that PostgreSQL and providers take: NUL and halves of surrogate pairs become U+FFFD; very long ones are cut."""
    return _CONTROL.sub("\ufffd", text[:_LONGEST])


def text_of(value: Any) -> str:
    """Return any JSON value as text; nothing is an empty one."""
    if value is None:
        return ""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool | int | float):
        return clean(json.dumps(value))
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return clean(value[0])
    try:
        return clean(json.dumps(value, ensure_ascii=False))
    except (ValueError, RecursionError):
        return "\ufffd"


def texts_of(value: Any) -> dict[str, str]:
    """Return a JSON object's values as texts; of anything else nothing. Empty ones are left out."""
    if not isinstance(value, Mapping):
        return {}
    return {clean(str(name)): text for name, each in value.items() if (text := text_of(each))}


def moment_of(value: Any, *, now: datetime) -> datetime | None:
    """Return a time that can be meant, never later than now; None for none, zero (the year 1) and what is no time.

    Alertmanager writes nanoseconds; a time without zone is UTC; a number is seconds or milliseconds since 1970.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            found = datetime.fromtimestamp(value / 1000 if abs(value) > 10**11 else value, UTC)
        else:
            found = datetime.fromisoformat(_FRACTION.sub(r"\1", str(value).strip()))
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return min(found, now) if found.year > 1970 else None


def first(texts: Mapping[str, str], names: Iterable[str]) -> str:
    """Return the first of these texts that is there and not blank; else an empty one."""
    return next((text for name in names if (text := texts.get(name, "").strip())), "")
