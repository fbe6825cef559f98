"""The words of notices, in Russian and English, and how quantities and sums are written."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from typing import Literal

from common.moments import rewritten
from common.money import to_decimal_string

Language = Literal["ru", "en"]

_LANGUAGES: tuple[Language, ...] = ("ru", "en")
_WORDS: dict[Language, Mapping[str, str]] = {
    each: tomllib.loads(files(__package__).joinpath(f"words_{each}.toml").read_text("utf-8")) for each in _LANGUAGES
}
_SIGNS = {"RUB": "₽", "USD": "$", "EUR": "€", "KZT": "₸"}


class Words:
    """The words of one language, and the clock of those who read them. Looking up a key that is not there raises ``KeyError``: both
    languages have the same keys."""

    def __init__(self, language: Language, zone: tzinfo = UTC) -> None:
        self.language = language
        self._zone = zone
        self._words = _WORDS[language]

    def __getitem__(self, key: str) -> str:
        return self._words[key]

    def named(self, prefix: str, value: str) -> str:
        """Return our words for a marketplace's code (``callOrReplace`` and ``call_or_replace`` alike), or the code itself."""
        return self._words.get(f"{prefix}.{value.replace('_', '').replace('-', '').lower()}", value)

    def label(self, name: str) -> str:
        """Return our word for the name of a detail, or the name itself."""
        return self._words.get(name, name)

    def quantity(self, value: str) -> str:
        """Write a quantity without needless zeros, with this language's decimal sign: ``"0.50"`` → ``0,5``."""
        try:
            number = Decimal(value)
        except InvalidOperation:
            return value
        if not number.is_finite() or abs(number) > 10**12:
            return value
        text = f"{number:f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        return text.replace(".", ",") if self.language == "ru" else text

    def there(self, at: datetime) -> datetime:
        """Return a moment as the clocks of who reads the messages show it."""
        return at.astimezone(self._zone)

    def moments(self, text: str) -> str:
        """Return a sentence with the moments in it as people's clocks show them."""
        day = "%d.%m.%Y" if self.language == "ru" else "%Y-%m-%d"
        return rewritten(text, lambda at: self.there(at).strftime(f"{day} %H:%M{':%S' if at.second else ''} %Z"))

    def money(self, minor: int, currency: str) -> str:
        """Write a sum: ``16000`` → ``160,00 ₽`` or ``160.00 ₽``."""
        text = to_decimal_string(minor, currency)
        if self.language == "ru":
            text = text.replace(".", ",")
        return f"{text} {_SIGNS.get(currency, currency)}"


def languages() -> Mapping[Language, Mapping[str, str]]:
    """Return every language's words, for the test that compares their keys."""
    return _WORDS
