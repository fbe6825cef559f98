"""What is left of a customer's data where it must not be whole: enough to tell two apart, too little to reach or to find anybody."""

from __future__ import annotations

import re

from common.reading import Address, Contact

HIDDEN = "***"
_WORD = re.compile(r"\w+")
_LONGEST_KEPT = 3  # letters of words like "ул" and "кв"


def mask_name(text: str) -> str:
    """``Анна Смирнова`` → ``А*** С***``."""
    return " ".join(word[0] + HIDDEN for word in text.split())


def mask_phone(text: str) -> str:
    """``+79161234567`` → ``+7***67``."""
    return f"{text[:2]}{HIDDEN}{text[-2:]}" if text.startswith("+") and len(text) > 7 else HIDDEN


def mask_email(text: str) -> str:
    """``anna@example.org`` → ``a***@example.org``."""
    name, at, host = text.rpartition("@")
    return f"{name[0]}{HIDDEN}@{host}" if name and at else HIDDEN


def mask_address(text: str) -> str:
    """``Москва, ул. Тверская, д. 1`` → ``Мо***, ул. Тв***, д. ***``: short words and a third of the longer ones, no digit."""
    return _WORD.sub(_mask_word, text)


MASKS = {
    "customer.name": mask_name,
    "customer.phone": mask_phone,
    "customer.email": mask_email,
    "address": mask_address,
}
"""Names of an order's content that is a customer's → what may be shown of it."""


def masked(name: str, value: str | None) -> str | None:
    """Return what may be shown of a field's value: the value itself unless the field is a customer's."""
    mask = MASKS.get(name)
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
        return HIDDEN
    return word if len(word) <= _LONGEST_KEPT else word[: len(word) // 3] + HIDDEN
