"""A customer's names in texts that people wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable

from common.telemetry.masking import mask_name

_WORD = re.compile(r"\w+")
_SHORTEST_NAME = 3  # letters; shorter ones are words of their own too often
_SHORT_STEM = 3  # letters; in small letters they begin too many other words ("левый")
_ENDINGS = "аяйьоеиыую"


def mask_names(text: str | None, names: Iterable[str | None]) -> str | None:
    """Return a text that people wrote with the customer's names in it masked, with whatever Russian ending they stand there.

    ``names`` as the order has them: first and last name, in any order. A word that only begins like a name is masked too, rather than
    the other way round.
    """
    stems = {stem for name in names for word in _WORD.findall(name or "") if (stem := _stem(word)) is not None}
    if not text or not stems:
        return text
    longest_first = "|".join(sorted(stems, key=len, reverse=True))
    return re.sub(rf"\b(?:{longest_first})\b", lambda match: mask_name(match[0]), text, flags=re.IGNORECASE)


def _stem(word: str) -> str | None:
    if len(word) < _SHORTEST_NAME or not word.isalpha():
        return None
    bare = word[:-1] if word[-1].lower() in _ENDINGS else word
    if len(bare) <= _SHORT_STEM:
        return f"(?-i:{bare.capitalize()})\\w{{0,2}}"
    return re.sub("[её]", "[её]", bare, flags=re.IGNORECASE) + r"\w{0,3}"
