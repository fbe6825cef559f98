"""What other systems send, read leniently: any body as JSON, any value as text, any time as a time, their words as ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from notifier.incidents.model import RANK, Severity

SEVERITIES: Mapping[str, Severity] = {
    **dict.fromkeys(
        ("critical", "crit", "emergency", "emerg", "fatal", "page", "high", "highest", "urgent", "disaster"), "critical"
    ),
    **dict.fromkeys(("alert", "blocker", "major", "panic", "severe", "catastrophic"), "critical"),
    **dict.fromkeys(
        ("критично", "критический", "критическая", "критичный", "авария", "высокий", "высокая"), "critical"
    ),
    **dict.fromkeys(("warning", "warn", "error", "err", "minor", "medium", "moderate", "average"), "warning"),
    **dict.fromkeys(("noncritical", "notcritical", "noncrit", "предупреждение", "средний", "средняя"), "warning"),
    **dict.fromkeys(("info", "informational", "information", "none", "low", "lowest", "debug", "notice", "ok"), "info"),
    **dict.fromkeys(("информация", "низкий", "низкая"), "info"),
}
"""What other systems call a severity, as ``spelled``; ``NOTIFIER_SEVERITIES`` adds to it. A word that is not there is a warning."""
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
_APART = re.compile(r"[\W_]+")
# Of numbered ones ("sev-1", "s1", "priority 0") the first two are critical.
_NUMBERED = re.compile(r"(?:s|sev|severity|p|pri|prio|priority|level)?0*([0-9])")
_FRACTION = re.compile(r"(\.\d{6})\d+")
_NUMBER = re.compile(r"\d{9,19}(\.\d+)?")
_LATEST = 10**11  # seconds since 1970 that can be meant


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Their words for severities and environments. ``own`` is this service's environment."""

    severities: Mapping[str, Severity] = field(default_factory=lambda: SEVERITIES)
    environments: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENTS)

    def severity(self, word: str) -> Severity:
        """Return what a word means; a warning when nobody knows it."""
        return self.known_severity(word) or "warning"

    def known_severity(self, word: str) -> Severity | None:
        """Return what a word means, in whatever case and with whatever between its parts ("SEV-1"); None when nobody knows it.

        Of several words that are known ("high priority") the gravest counts.
        """
        whole = self._one_severity(spelled(word))
        if whole is not None:
            return whole
        parts = (self._one_severity(part) for part in _APART.sub(" ", word.casefold()).split())
        return max((each for each in parts if each is not None), key=RANK.__getitem__, default=None)

    def _one_severity(self, word: str) -> Severity | None:
        known = self.severities.get(word)
        if known is None and (numbered := _NUMBERED.fullmatch(word)) is not None:
            return "critical" if numbered[1] in "01" else "warning"
        return known

    def environment(self, word: str) -> tuple[str | None, str | None]:
        """Return the environment that a word means (None: it says nothing), and the word itself when nobody knows it.

        What nobody knows may be production, and is treated so: an alert of it must not go where only testers look.
        """
        said = word.strip()
        if not said:
            return None, None
        known = self.environments.get(said.casefold())
        return (PRODUCTION, said) if known is None else (known, None)


def spelled(word: str) -> str:
    """Return a word of another system as the vocabulary has it: in one case, nothing but letters and digits."""
    return _APART.sub("", word.casefold())


def json_of(content: bytes) -> Any:
    """Return a body's JSON value, whatever its charset and also as a form's field or as a string in itself. Raises ``ValueError``."""
    found = _parsed(content)
    if isinstance(found, str):
        return _parsed(found.encode("utf-8", "replace"))
    return found


def _parsed(content: bytes) -> Any:
    for charset in ("utf-8-sig", json.detect_encoding(content)):
        try:
            return json.loads(content.decode(charset, "replace"))
        except (ValueError, RecursionError):
            continue
    if content.lstrip()[:1] not in (b"{", b"["):
        for values in parse_qs(content.decode("utf-8", "replace"), max_num_fields=100).values():
            try:
                found = json.loads(values[0])
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict | list):
                return found
    raise ValueError("the body is no JSON")


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
    """Return a JSON object's values as texts; of anything else nothing. Empty ones are left out.

    An object may come as its own text, or as a list of pairs (``[name, value]``, ``{"name": …, "value": …}``).
    """
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    if isinstance(value, list):
        value = dict(pair for pair in map(_pair, value) if pair is not None)
    if not isinstance(value, Mapping):
        return {}
    return {clean(str(name)): text for name, each in value.items() if (text := text_of(each))}


def _pair(value: Any) -> tuple[str, Any] | None:
    if isinstance(value, Mapping):
        name = value.get("name", value.get("key"))
        return (name, value.get("value")) if isinstance(name, str) else None
    return (value[0], value[1]) if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) else None


def moment_of(value: Any, *, now: datetime) -> datetime | None:
    """Return a time that can be meant, never later than now; None for none, zero (the year 1) and what is no time.

    Alertmanager writes nanoseconds; a time without zone is UTC; a number is seconds since 1970, or thousandths of them, and so on.
    """
    try:
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            value = float(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            scale = next((each for each in (1, 10**3, 10**6) if abs(value) <= _LATEST * each), 10**9)
            found = datetime.fromtimestamp(value / scale, UTC)
        else:
            found = datetime.fromisoformat(_FRACTION.sub(r"\1", str(value).strip()))
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return min(found, now) if found.year > 1970 else None


def first(texts: Mapping[str, str], names: Iterable[str]) -> str:
    """Return the first of these texts that is there and not blank; else an empty one."""
    return next((text for name in names if (text := texts.get(name, "").strip())), "")
