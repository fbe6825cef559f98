"""Sentences that services, checks and ``ordersctl`` say in English, in the language of who reads them.

They are whole sentences in the catalogue, where ``{}`` stands for what varies; a sentence within a sentence is said in that language, too.
Names, states, options and commands stay as they are: people copy them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

Language = Literal["en", "ru"]
Say = Callable[[str], str]
_REFUSED = re.compile(r"([a-z-]+): (.+) \(([a-z_]+)\)", re.DOTALL)
_CODED = re.compile(r"(.+) \(([a-z_]+)\)", re.DOTALL)
OF_SENTENCES = frozenset(
    {
        *("checks", "detail", "figures", "held_by", "instruction", "message", "muted", "reason", "result"),
        *("summary", "text", "waited", "what"),
    }
)
"""Fields that hold sentences of services and checks, and what people wrote, which no catalogue has."""
_VARIES = "{}"
_ANYTHING = "((?:(?!; ).)*?)"
"""But for the end of one sentence of several."""


@cache
def sentences(language: str) -> Say:
    """Return what says a sentence in a language; one that the catalogue does not have is said as it came."""
    if language != "ru":
        return str
    known = catalogue("client/locale/ru.po")
    return Sentences(known, catalogue("web/locale/ru.services.po"))


def catalogue(path: str) -> Mapping[str, str]:
    """Return the texts of a file of words, each with its translation."""
    from babel.messages.pofile import read_po

    with files("console").joinpath(path).open("rb") as file:
        return {str(each.id): str(each.string) for each in read_po(file) if each.id}


class Sentences:
    """Says the sentences of two catalogues; those ``known`` may vary."""

    def __init__(self, known: Mapping[str, str], of_services: Mapping[str, str]) -> None:
        self._known, self._whole = known, {**of_services, **known}
        varying = sorted((text for text in known if _VARIES in text), key=_plain, reverse=True)
        self._patterns = [
            (re.compile(_ANYTHING.join(map(re.escape, text.split(_VARIES))), re.DOTALL), known[text])
            for text in varying
        ]

    def __call__(self, said: str) -> str:
        text = said.strip()
        if found := self._whole.get(text) or self._refusal(text):
            return said.replace(text, found)
        for pattern, translated in self._patterns:
            if fits := pattern.fullmatch(text):
                return said.replace(text, translated.format(*map(self, fits.groups())))
        if "; " in text:  # several, one after the other
            return said.replace(text, "; ".join(map(self, text.split("; "))))
        if fits := _CODED.fullmatch(text):
            return said.replace(text, f"{self(fits[1])} ({fits[2]})")
        for between in (": ", " - "):  # what it is about, or how it came out, and why
            about, found_between, why = text.partition(between)
            if why:
                about = self._known.get(about, about) if about[:1].isupper() else about
                return said.replace(text, about + found_between + self(why))
        return said

    def _refusal(self, text: str) -> str | None:
        """What a service refused, by the code that it gave, and its reason, which is English where no catalogue has it."""
        fits = _REFUSED.fullmatch(text)
        meant = fits and self._whole.get(f"error {fits[3]}")
        return f"{fits[1]}: {meant.rstrip('.')}: {self(fits[2])} ({fits[3]})" if fits and meant else None


def _plain(text: str) -> int:
    """How much of a sentence does not vary: the one that says most is looked for first."""
    return len(text.replace(_VARIES, ""))


def language_of(environment: Mapping[str, str], own: str | None = None) -> str:
    """Return the language of a person at a terminal: her own choice, else that of the variables by which terminals say it, else English."""
    asked = own or next((held for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (held := environment.get(name))), "")
    return "ru" if asked.lower().startswith("ru") else "en"
