"""How a delivery is found by its customer without the customer standing in an index: keyed digests of phone, mail and name."""

from __future__ import annotations

import hmac
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.reading import phone_key
from common.reading.customers import words_in
from common.reading.people import read_people
from common.telemetry import contacts_in
from webhook_gateway.hooks.reading import parse_leniently

_WORD = re.compile(r"[^\W_]+")
_LONGEST_WORD = 64
_MOST_WORDS = 8
_SHORTEST_PHONE = 7  # digits; fewer are no number to call


class PeopleDigests:
    """Digests of 64 bits by HMAC-SHA-256. The first key writes, all of them find: a key is changed by putting a new one before it, and
    the old one goes when the deliveries of its time are gone.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take the keys, the newest first; at least one."""
        self._keys = tuple(keys)

    def of_body(self, body: bytes, *, form: str) -> tuple[int, ...]:
        """Return the digests of whom a kept body is about, sorted; none where it names nobody. Never raises."""
        return self.of_payload(payload_of(body, form=form))

    def of_payload(self, payload: Mapping[str, Any] | None) -> tuple[int, ...]:
        """Return the digests of whom a payload is about, by the key that writes."""
        if payload is None:
            return ()
        return tuple(sorted({_digest(self._keys[0], token) for token in tokens_of(payload)}))

    def asked(self, tokens: Iterable[str]) -> list[list[int]]:
        """Return for each key the digests that all have to be there."""
        wanted = sorted(set(tokens))
        return [[_digest(key, token) for token in wanted] for key in self._keys]


def payload_of(body: bytes, *, form: str) -> dict[str, Any] | None:
    """Return the order's payload in a kept body, None when there is none."""
    document = parse_leniently(body)
    payload = document.get("payload") if form == "envelope" and isinstance(document, dict) else document
    return payload if isinstance(payload, dict) else None


def tokens_of(payload: Mapping[str, Any]) -> set[str]:
    """Return what a payload's customer is found by: also by a second phone, or one that stands in a comment."""
    contact, _, _ = read_people(payload)
    found = set() if contact is None else name_tokens(contact.name or "")
    reached = [] if contact is None else [contact.phone or "", contact.email or ""]
    reached += [each for text in words_in(payload) for each in contacts_in(text)]
    found.update(token for each in reached for token in (phone_token(each), mail_token(each)) if token is not None)
    return found


def phone_token(text: str) -> str | None:
    """Return what a phone is found by, whatever its spelling; None when the text is none."""
    if sum(character.isdigit() for character in text) < _SHORTEST_PHONE:
        return None
    key = phone_key(text)
    return None if key is None else "phone:" + key


def mail_token(text: str) -> str | None:
    """Return what a mail address is found by, in any case; None when the text is none."""
    plain = text.strip().casefold()
    name, at, host = plain.rpartition("@")
    return f"mail:{plain}" if at and name and host and not any(map(str.isspace, plain)) else None


def name_tokens(text: str) -> set[str]:
    """Return what a name is found by: each of its words, in any case, ё as е."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("ё", "е")
    return {"name:" + word[:_LONGEST_WORD] for word in _WORD.findall(plain)[:_MOST_WORDS]}


def array_text(digests: Sequence[int]) -> str:
    """Return digests as PostgreSQL writes an array: an array of arrays would be unnested whole."""
    return "{" + ",".join(map(str, digests)) + "}"


def _digest(key: bytes, token: str) -> int:
    return int.from_bytes(hmac.digest(key, token.encode("utf-8", "replace"), "sha256")[:8], "big", signed=True)
