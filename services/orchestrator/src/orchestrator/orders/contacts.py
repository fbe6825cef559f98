"""Finding orders by whom they are for: what is kept of a contact to be looked for, and what a person's words look for.

Any part of a name, any spelling of a phone or its last digits, the beginning of a mail address. No extension of PostgreSQL is needed.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.digits import digits_of
from common.postgres import Connection
from common.reading import Contact, phone_key
from common.reading.values import LONGEST_MAIL
from common.telemetry import contacts_in
from orchestrator.engine.append import columns
from orchestrator.orders.fold import Step
from orchestrator.orders.model import OrderFact

FEWEST_DIGITS = 4
_SHORTEST_PART = 3  # letters of a word that are found in its middle; two are found at its beginning
_TELLING = 4
"""No more of a word's grams are looked for in the index."""
_OF_A_NUMBER = 10  # digits that all spellings of a phone have in common, without the country's
_LONGEST_NAME = 2000
"""Bytes of a name that are kept: an index holds it whole, and no name is to make an order's row impossible to write."""
_WORD = re.compile(r"\w+")
_SPELLED = re.compile(r"[\d\s()+./\u2010-\u2015-]+")

_WRITE = """
INSERT INTO order_contact (number, digest, created_at, name, phone, email, grams)
SELECT c.number, c.digest, coalesce(o.created_at, now()), c.name, c.phone, c.email, string_to_array(c.grams, '|')
FROM unnest($1::text[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::text[])
     AS c (number, digest, name, phone, email, grams)
LEFT JOIN orders AS o ON o.number = c.number
ORDER BY c.number, c.digest
ON CONFLICT (number, digest) DO UPDATE SET created_at = excluded.created_at
WHERE order_contact.created_at <> excluded.created_at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactKeys:
    """A contact of an order as it is looked for."""

    number: str
    name: str | None
    phone: str | None
    email: str | None
    grams: str
    digest: bytes = field(default=b"")


def keys_of(number: str, contact: Contact) -> ContactKeys:
    """Return what is kept of a contact. The same contact gives the same keys."""
    words = words_of(contact.name or "")
    name = "".join(f" {word}" for word in words).encode()[:_LONGEST_NAME].decode(errors="ignore") or None
    phone = digits_of(phone_key(contact.phone or "") or contact.phone or "") or None
    email = (contact.email or "").strip().lower() or None
    said = "\x00".join((name or "", phone or "", email or ""))
    return ContactKeys(
        number=number,
        name=name,
        phone=phone,
        email=email,
        grams="|".join(sorted({gram for word in words for gram in _grams(f" {word}")})),
        digest=hashlib.blake2b(said.encode(), digest_size=16).digest(),
    )


def contacts_of(number: str, steps: Iterable[Step]) -> list[ContactKeys]:
    """Return the contacts that events named and their order did not have before, whether they took effect or not.

    An order of which only an address or a comment is known has an empty one: whatever holds a customer's data is found here.
    """
    found: list[ContactKeys] = []
    for taken in steps:
        fact, before = taken.fact, taken.before
        if fact.customer is None and fact.address is None and fact.comment is None:
            continue
        known = before is not None and (before.customer or before.address or before.comment)
        other = before is not None and fact.customer is not None and fact.customer != before.customer
        if other or not known:
            found.append(keys_of(number, fact.customer or Contact()))
        found += (keys_of(number, each) for each in _further(fact))
    return found


def _further(fact: OrderFact) -> Iterator[Contact]:
    """By what else the customer is reached: a second phone in the field of the first, one in words."""
    phone = None if fact.customer is None else fact.customer.phone
    said = [phone, fact.comment]
    if fact.address is not None:
        said += [fact.address.text, *(value for _, value in fact.address.parts)]
    for text in filter(None, said):
        for each in contacts_in(text):
            if each != phone and len(each) <= LONGEST_MAIL:  # an index holds it whole
                yield Contact(email=each) if "@" in each else Contact(phone=each)


async def write_contacts(connection: Connection, found: Sequence[ContactKeys]) -> None:
    """Keep contacts, in the transaction that writes their orders and after them; what is known already is left alone."""
    if found:
        different = {(keys.number, keys.digest): keys for keys in found}.values()
        await connection.execute(_WRITE, *columns(different, "number", "digest", "name", "phone", "email", "grams"))


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on ``order_contact``, with ``{}`` where each value belongs.

    ``indexed`` finds a superset by an index of its own, and ``text`` decides. ``common``: half the customers may fit.
    """

    text: str
    values: tuple[Any, ...]
    indexed: tuple[str, tuple[Any, ...]] | None = None
    common: bool = False


def by_phone(said: str) -> Condition:
    """Whose phone it is, however it is spelled; fewer digits are the last ones. Raises ``ValueError`` below four."""
    digits = digits_of(phone_key(said) or said)
    if len(digits) < FEWEST_DIGITS:
        raise ValueError(f"a phone is looked for by {FEWEST_DIGITS} digits or more")
    return _begins("reverse(phone)", digits[-_OF_A_NUMBER:][::-1])


def telling_phone(said: str | None) -> str | None:
    """Return it as it is. Raises ``ValueError`` for fewer digits: they are in everybody's number."""
    if said is not None:
        by_phone(said)
    return said


def by_email(said: str) -> Condition:
    """Whose mail address begins so."""
    return _begins("email", said.strip().lower())


def by_name(said: str) -> Condition | None:
    """Whose name holds every one of these words or parts of words, in any order; None when there is no word of two letters."""
    words = [word for word in words_of(said) if len(word) > 1]
    if not words:
        return None
    # A part of a word may stand anywhere in it; two letters begin it.
    parts = [word if len(word) >= _SHORTEST_PART else f" {word}" for word in words]
    # How a word begins tells most, and each row that is read in vain is a page of its own. Half of all names end alike: to look that
    # up costs more than it spares.
    fewest = 3 if len(parts) == 1 else 2
    grams = sorted({gram for part in parts for gram in _telling(_grams(part), fewest)})
    return Condition(
        " AND ".join(["strpos(name, {}) > 0"] * len(parts)),
        tuple(parts),
        indexed=("grams @> {}::text[]", (grams,)),
        common=True,
    )


def by_words(said: str) -> Condition | None:
    """Return what a person's words may mean of a contact: a mail address, a phone, else a name; None when they can be none of it."""
    if "@" in said:
        return by_email(said)
    if _SPELLED.fullmatch(said):
        try:
            return by_phone(said)
        except ValueError:
            return None
    return by_name(said)


def words_of(text: str) -> list[str]:
    """Return the words of a name as they are compared: letters and digits in lower case, ё as е."""
    return _WORD.findall(unicodedata.normalize("NFC", text).casefold().replace("ё", "е").replace("_", " "))


def _begins(column: str, text: str) -> Condition:
    """A range instead of LIKE: the index is used whichever plan the server takes."""
    return Condition(f"{column} ~>=~ {{}} AND {column} ~<~ {{}}", (text, text + "\U0010ffff"))


def _grams(text: str) -> list[str]:
    return [text[start : start + 3] for start in range(max(1, len(text) - 2))]


def _telling(grams: list[str], fewest: int) -> list[str]:
    return grams[: max(fewest, min(_TELLING, len(grams) - 2))]
