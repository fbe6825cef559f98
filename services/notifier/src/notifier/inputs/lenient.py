"""What other systems send, read leniently: any body as JSON, any value as text, any time as a time, their words as ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from unicodedata import normalize

from notifier.incidents.model import RANK, Severity
from notifier.inputs.documents import documents_of, value_of

_SEVERITY_WORDS: Mapping[Severity, str] = {
    "critical": (
        "critical crit emergency emerg fatal page high highest urgent disaster alert blocker major panic severe "
        "catastrophic paging pager phone immediate extreme showstopper outage down критично критический критическая "
        "критичный авария высокий высокая критическое критичная критичное аварийный аварийная аварийное высокое "
        "срочно чрезвычайный чрезвычайная чрезвычайное катастрофа блокер блокирующий катастрофический "
        "катастрофическая блокирующая крит экстренно срочный срочная срочное экстренный экстренная наивысший"
    ),
    "warning": (
        "warning warn error err minor medium moderate average noncritical notcritical noncrit предупреждение средний "
        "средняя"
    ),
    "info": "info informational information none low lowest debug notice ok информация низкий низкая",
}
SEVERITIES = {word: severity for severity, words in _SEVERITY_WORDS.items() for word in words.split()}
"""What other systems call a severity, as ``spelled``; ``NOTIFIER_SEVERITIES`` adds to it. A word that is not there is a warning."""
PRODUCTION = "production"
TESTING = "testing"
ENVIRONMENTS: Mapping[str, str] = {
    **dict.fromkeys(("production", "prod", "prd", "live"), PRODUCTION),
    **dict.fromkeys(("testing", "test", "tst", "staging", "stage", "stg", "development", "develop", "dev"), TESTING),
    **dict.fromkeys(("прод", "продакшен", "продакшн", "боевой", "боевая"), PRODUCTION),
    **dict.fromkeys(("тест", "тестовый", "тестовая", "стейдж", "стейджинг", "разработка"), TESTING),
    **dict.fromkeys(("qa", "uat", "sandbox", "local", "preprod", "preview"), TESTING),
}
"""What other systems call an environment; ``NOTIFIER_ENVIRONMENTS`` adds to it."""
_LONGEST = 10_000
_CONTROL = re.compile(r"[\x00\ud800-\udfff]")
_APART = re.compile(r"[\W_]+")
_HUMP = re.compile(r"(?<=[^\W\d_A-ZА-ЯЁ])(?=[A-ZА-ЯЁ])")
_BESIDE = re.compile("^very|(?:priority|urgency|severity|importance|level|alert)$")
# Letters of one look: whoever says how grave it is on a Russian keyboard means the same.
_LOOKALIKES = str.maketrans("асеіорхувмнткз", "aceiopxybmhtk3")
# Of numbered ones ("sev-1", "s1", "priority 0") the first two are critical.
_NUMBERED = re.compile(r"(?:s|sev|severity|p|pri|prio|priority|level)?0*([0-9])")
_FRACTION = re.compile(r"(\.\d{6})\d+")
# As Go writes it: 2026-11-29 11:00:00 +0000 UTC; a zone's name without an offset is only believed of that one.
_OF_GO = re.compile(r"\s+(?=[+-]\d{4})|(?<=[+-]\d{4})\s.*|\s*(?:UTC|GMT|(?<=\d)z)$")
_NUMBER = re.compile(r"\d{9,19}(\.\d+)?")
_NAMED = r"\s*([^\W\d][\w.\-/]*)\s*="
_ASSIGNED = re.compile(_NAMED + r'\s*(?:("(?:[^"\\]|\\.)*")|([^,"]*))\s*(?:,|$)', re.DOTALL)
_ONE_ASSIGNED = re.compile(_NAMED + r'\s*"?(.*?)"?\s*', re.DOTALL)
_LONGEST_MOMENT = 100
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
        parts = map(self._one_severity, map(spelled, _APART.sub(" ", f"{word} {_HUMP.sub(' ', word)}").split()))
        return max((each for each in parts if each is not None), key=RANK.__getitem__, default=None)

    def _one_severity(self, word: str) -> Severity | None:
        if word not in self.severities and not word.isascii():
            word = word.translate(_LOOKALIKES)
        known = self.severities.get(word)
        if known is None and (numbered := _NUMBERED.fullmatch(word)) is not None:
            return "critical" if numbered[1] in "01" else "warning"
        return known or self.severities.get(_BESIDE.sub("", word))

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
    """Return a word of another system as the vocabulary has it: in one case and width, nothing but letters and digits."""
    return _APART.sub("", normalize("NFKC", word).casefold())


def json_of(content: bytes) -> Any:
    """Return a body's JSON value, whatever its charset and also as a form's field or as a string in itself. Raises ``ValueError``.

    Of several values none is returned: none of them is dropped in silence.
    """
    [found] = documents_of(content)  # ValueError, too, of several
    return value_of(found) if isinstance(found, str) else found


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

    An object may come as its own text, in several parts, or as a list of pairs (``[name, value]``, ``{"name": …, "value": …}``).
    """
    value = opened(value)
    if isinstance(value, list):
        value = {name: each for part in value for name, each in (_pairs(part) or {}).items()}
    if not isinstance(value, Mapping):
        return {}
    return {clean(str(name)): text for name, each in value.items() if (text := text_of(each))}


def labels_of(value: Any) -> dict[str, str]:
    """Return labels, also of ``name=value`` with commas between or in a list; nothing when any part of them is something else."""
    value = opened(value)
    found: dict[str, Any] = {}
    for part in value if isinstance(value, list) else [value]:
        pairs = _pairs(part)
        if isinstance(part, str):
            one = None if part is value else _ONE_ASSIGNED.fullmatch(part)
            pairs = _assigned(part) if one is None else {one[1]: one[2]}
        if pairs is None:
            return {}
        found |= pairs
    return texts_of(found)


def opened(value: Any) -> Any:
    """Return an object or a list that came as text as what it says."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return value_of(value)
    except ValueError:
        return value


def _pairs(value: Any) -> Mapping[str, Any] | None:
    """Return what one part of an object says; None when it is no part of one."""
    if isinstance(value, Mapping):
        name = value.get("name", value.get("key"))
        return {name: value["value"]} if isinstance(name, str) and "value" in value else value
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        return {value[0]: value[1]}
    return None


def _assigned(text: str) -> dict[str, str] | None:
    """Return the pairs of ``name=value, name="value"``, in braces or without; None when it is anything else."""
    inner = text.strip().removeprefix("{").removesuffix("}").strip().rstrip(",")
    found, place = {}, 0
    while place < len(inner):
        pair = _ASSIGNED.match(inner, place)
        if pair is None:
            return None
        found[pair[1]] = pair[3].strip() if pair[2] is None else text_of(_quoted(pair[2]))
        place = pair.end()
    return found or None


def _quoted(text: str) -> Any:
    try:
        return value_of(text)
    except ValueError:  # a backslash that means itself
        return text[1:-1]


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
            text = str(value).strip()
            if len(text) > _LONGEST_MOMENT:  # and to look through it would take as long as it is, squared
                return None
            found = datetime.fromisoformat(_OF_GO.sub("", _FRACTION.sub(r"\1", text)))
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return min(found, now) if found.year > 1970 else None


def first(texts: Mapping[str, str], names: Iterable[str]) -> str:
    """Return the first of these texts that is there and not blank; else an empty one."""
    return next((text for name in names if (text := texts.get(name, "").strip())), "")
