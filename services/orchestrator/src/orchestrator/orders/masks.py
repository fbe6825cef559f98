"""What is left of a customer's data where it must not be whole: enough to tell two apart, too little to reach or to find anybody."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from common.reading import Address, Contact
from common.telemetry.masking import mask_contact, mask_name

_HIDDEN = "***"
_WORD = re.compile(r"\w+")
_SHORTEST_NAME = 3  # letters; shorter ones are words of their own too often
_SHORT_STEM = 3  # letters; in small letters they begin too many other words ("левый")
_ENDINGS = "аяйьоеиыую"
_LONGEST_KEPT = 3  # letters of words like "ул" and "кв"


def mask_address(text: str) -> str:
    """``Москва, ул. Тверская, д. 1`` → ``Мо***, ул. Тв***, д. ***``: short words and a third of the longer ones, no digit."""
    return _WORD.sub(_mask_word, text)


_MASKS: Mapping[str, Callable[[str], str]] = {
    "customer.name": mask_name,
    "customer.phone": mask_contact,
    "customer.email": mask_contact,
    "address": mask_address,
}


def masked(name: str, value: str | None) -> str | None:
    """Return what may be shown of the value of a field of an order's content: the value itself unless it is a customer's."""
    mask = _MASKS.get(name)
    return value if value is None or mask is None else mask(value)


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


def masked_contact(contact: Contact) -> dict[str, str | None]:
    """Return what may be shown of a contact."""
    return {name: masked(f"customer.{name}", getattr(contact, name)) for name in ("name", "phone", "email")}


def masked_address(address: Address) -> str:
    """Return what may be shown of an address."""
    return mask_address(address.full)


def _mask_word(match: re.Match[str]) -> str:
    word = match[0]
    if not word.isalpha():
        return _HIDDEN
    return word if len(word) <= _LONGEST_KEPT else word[: len(word) // 3] + _HIDDEN
