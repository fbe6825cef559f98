"""Whether words of a person say that nobody needs to call (M12: "Разбираюсь с проблемой. Звонить не нужно.")."""

from __future__ import annotations

import re
from collections.abc import Sequence

NO_CALL = (
    "звонить не нужно",
    "звонить не надо",
    "не нужно звонить",
    "не надо звонить",
    "не звоните",
    "no need to call",
    "no call needed",
    "do not call",
    "don't call",
    "dont call",
)
"""What counts unless the settings say otherwise."""
_NOT_WORDS = re.compile(r"[^\w']+")
_QUOTED = re.compile(r"^\s*>.*$", re.MULTILINE)


def says_no_call(text: str, wordings: Sequence[str] = NO_CALL) -> bool:
    """Whether one of the wordings stands in the text as whole words. Case, punctuation, ё and quoted lines ("> …") do not count."""
    said = f" {_plain(_QUOTED.sub(' ', text))} "
    return any(f" {words} " in said for words in map(_plain, wordings) if words)


def _plain(text: str) -> str:
    lowered = text.casefold().replace("ё", "е").replace("\u2019", "'")
    return " ".join(_NOT_WORDS.sub(" ", lowered).split())
