"""What a person has in hand: which kinds of thing a word may name, and whether it is a customer's. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ORDER = re.compile(r"[0-9A-HJKMNP-TV-Z]{16}", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_TICKET = re.compile(r"[A-Z]{2,20}-[0-9]{1,12}", re.IGNORECASE)
_SMALL = re.compile(r"#?[0-9]{1,9}")
_PHONE = re.compile(r"\+?[0-9][0-9 ()\-]{8,18}[0-9]")
_EXTERNAL = re.compile(r"[A-Za-z]{1,12}[0-9_-]*[0-9][A-Za-z0-9_-]{0,60}")
_MAIL = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True)
class Guess:
    """A kind of thing to look among: by its own name (``by`` None), or by a filter of its list."""

    noun: str
    text: str
    by: str | None = None


def is_private(text: str) -> bool:
    """Tell whether it may name a customer: all that is not plainly a thing's name."""
    text = text.strip()
    return not any(form.fullmatch(text) for form in (_ORDER, _UUID, _TICKET, _SMALL, _EXTERNAL))


def guesses(text: str) -> tuple[Guess, ...]:
    """Return where to look."""
    text = " ".join(text.split())
    found = []
    if _ORDER.fullmatch(text):
        found.append(Guess("order", text.upper()))
    if _UUID.fullmatch(text):
        found += [Guess("refund", text), Guess("intake", text), Guess("endangered", text)]
    if _TICKET.fullmatch(text):
        found.append(Guess("ticket", text.upper()))
    if _SMALL.fullmatch(text):
        found += [Guess("incident", text.lstrip("#")), Guess("workflow", text.lstrip("#"))]
    if _MAIL.fullmatch(text):
        found += [Guess("order", text, "email"), Guess("endangered", text, "email")]
    elif _PHONE.fullmatch(text):
        found += [Guess("order", text, "phone"), Guess("endangered", text, "phone"), Guess("order", text, "external_id")]
    elif not found or _SMALL.fullmatch(text) or _TICKET.fullmatch(text):
        found += [Guess("order", text, "external_id"), Guess("endangered", text, "external_id")]
    if not found or all(guess.by == "external_id" for guess in found):
        found += [Guess("order", text, "q"), Guess("endangered", text, "q")]
    return tuple(found)
