"""What is left of a customer's data where it must not be whole: enough to tell two apart, too little to reach or to find anybody."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from common.reading import Address, Contact
from common.telemetry.masking import mask_contact, mask_name

_HIDDEN = "***"
_WORD = re.compile(r"\w+")
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
