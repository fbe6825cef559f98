"""A customer's names in texts that people wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable

from common.telemetry.masking import mask_name

_WORD = re.compile(r"\w+")
_SHORTEST_NAME = 3  # letters; shorter ones are words of their own too often
_SHORT_STEM = 3  # letters; in small letters they begin too many other words ("левый")
_ENDINGS = "аяйьоеиыую"
_ADJECTIVES = ("ий", "ый", "ой", "ая", "яя")  # "Вознесенский, Вознесенского": both letters change
_FLEETING = {"павел": "павл", "любовь": "любв"}
"""Names that lose a vowel in all other cases; so do surnames in -ец."""
_SHORT_ENDING, _LONG_ENDING = 2, 3  # letters that may follow a stem
_PLAIN = re.compile(r"[\x00-\x7fА-Яа-яЁё–—«»№…]*")
"""Letters whose small and capital forms are one each: comparing small letters is all there is to ignoring case."""


def mask_names(text: str | None, names: Iterable[str | None]) -> str | None:
    """Return a text that people wrote with the customer's names in it masked, with whatever Russian ending they stand there.

    ``names`` as the order has them: first and last name, in any order. A word that only begins like a name is masked too, rather than
    the other way round.
    """
    words = [
        word for name in names for word in _WORD.findall(name or "") if len(word) >= _SHORTEST_NAME and word.isalpha()
    ]
    if not text or not words:
        return text
    words += [other for word in words if (other := _otherwise(word)) is not None]
    if _PLAIN.fullmatch(text) and all(map(_PLAIN.fullmatch, words)):
        return _mask_plain(text, words)
    longest_first = "|".join(sorted(set(map(_stem, words)), key=len, reverse=True))
    return re.sub(rf"\b(?:{longest_first})\b", lambda match: mask_name(match[0]), text, flags=re.IGNORECASE)


def _mask_plain(text: str, words: Iterable[str]) -> str:
    """The same by comparing words. Everybody's names are others, and to compile an expression for each costs more than to carry an
    event out.
    """
    bare = [_bare(word) for word in words]
    stems = [_alike(each) for each in bare if len(each) > _SHORT_STEM]
    short = [each.capitalize() for each in bare if len(each) <= _SHORT_STEM]
    whole = _alike(text)
    if not any(stem in whole for stem in stems) and not any(stem in text for stem in short):
        return text

    def shown(match: re.Match[str]) -> str:
        word, like = match[0], _alike(match[0])
        if any(word.startswith(stem) and len(word) <= len(stem) + _SHORT_ENDING for stem in short) or any(
            like.startswith(stem) and len(like) <= len(stem) + _LONG_ENDING for stem in stems
        ):
            return mask_name(word)
        return word

    return _WORD.sub(shown, text)


def _stem(word: str) -> str:
    bare = _bare(word)
    if len(bare) <= _SHORT_STEM:
        return rf"(?-i:{bare.capitalize()})\w{{0,{_SHORT_ENDING}}}"
    return re.sub("[её]", "[её]", bare, flags=re.IGNORECASE) + rf"\w{{0,{_LONG_ENDING}}}"


def _otherwise(word: str) -> str | None:
    like = word.lower()
    return f"{like[:-2]}ц" if like.endswith("ец") and len(like) > _SHORT_STEM + 1 else _FLEETING.get(like)


def _bare(word: str) -> str:
    if word.lower().endswith(_ADJECTIVES) and len(word) - 2 > _SHORT_STEM:
        return word[:-2]
    return word[:-1] if word[-1].lower() in _ENDINGS else word


def _alike(word: str) -> str:
    return word.lower().replace("ё", "е")
