"""A website's order: what it must have, what its number is, and what is read of one that was refused."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import orjson

from common import reading as reader
from common.errors import FieldError
from common.reading import Contact, Line, OrderContent, identifier
from webhook_gateway.hooks import reading
from webhook_gateway.hooks.model import ORDER_CREATED, WEBSITE
from webhook_gateway.website.callers import words_of


class Category(StrEnum):
    """Where to look for the cause.

    4xx: the front end; 429: a ban; a manager was refused: the bypass; an id or key that another order had before; a body that stopped
    coming: the customer's own network; anything else: the back end.
    """

    FRONT_END = "front_end"
    BACK_END = "back_end"
    BANNED = "banned"
    MANAGER_BYPASS_BROKEN = "manager_bypass_broken"
    KEY_REUSED = "key_reused"
    CUSTOMER_NETWORK = "customer_network"


def is_website(source: str) -> bool:
    """Say whether a source is a website: ``website``, or ``website:kz`` of a token that names its source."""
    return source == WEBSITE or source.startswith(WEBSITE + ":")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether an order may pass the limits. ``by`` names what there are too many of, ``retry_after`` is in seconds.

    ``failed_open``: nobody could be asked, so it passed. ``reused``: another order came under this name before, or (``by`` has ``key``)
    under the key beside it.
    """

    outcome: Literal["passed", "repeated", "limited", "reused", "failed_open"]
    by: tuple[str, ...] = ()
    retry_after: int = 0


_DENIALS = frozenset({401, 403, 429})
"""What a manager never gets while the managers' way past the limits works."""
_CUSTOMERS_NETWORK = frozenset({408, 499})
"""The request stopped coming, or nobody waited for the answer (499 is nginx's)."""


def category_of(status: int, *, manager: bool) -> Category:
    """Say where to look, from the status that the website got.

    ``manager``: something says that a manager placed it, a valid token of theirs, one that was valid before it was rotated, or their
    mark on the order (``marked_by_manager``).
    """
    if manager and status in _DENIALS:
        return Category.MANAGER_BYPASS_BROKEN
    if status == 429:
        return Category.BANNED
    if status in _CUSTOMERS_NETWORK:
        return Category.CUSTOMER_NETWORK
    return Category.FRONT_END if 400 <= status < 500 else Category.BACK_END


def marked_by_manager(body: bytes) -> bool:
    """Say whether the order names a manager who placed it (``manager`` or ``managerId``, anything that is not empty)."""
    if b"manager" not in body:
        return False
    document = reading.parse_leniently(body)
    return isinstance(document, dict) and bool(document.get("manager") or document.get("managerId"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WebsiteOrder:
    """A body that was read. ``problems`` is empty when it can be taken; ``digest`` is that of the canonical payload.

    ``content`` is what was understood; ``currency`` that of its sums.
    """

    external_id: str | None
    digest: str
    content: OrderContent
    currency: str
    problems: tuple[FieldError, ...]

    @property
    def reachable(self) -> bool:
        """Whether somebody can call or write to the customer."""
        return self.content.customer is not None and self.content.customer.reachable

    def identity(self, source: str, name: str) -> bytes:
        """Return a digest of customer, goods and address: of two orders under one name it is equal exactly if they are one order.

        Whatever writes the same thing differently has the same: it is of what was understood. The name salts it.
        """
        said = self.content
        customer = said.customer or Contact()
        lines = sorted(map(_told, said.lines or ()))
        form = [
            [source, name],
            [words_of(customer.name), customer.phone, words_of(customer.email)],
            words_of(None if said.address is None else said.address.full),
            [self.currency, lines],
        ]
        return hashlib.blake2b(orjson.dumps(form), digest_size=32).digest()


def read_order(body: bytes, *, currency: str) -> WebsiteOrder | None:
    """Read the payload object. None when the body is no JSON object at all. ``currency`` is the site's own."""
    document, strict = reading.parse(body)
    if not strict or not isinstance(document, dict):
        return None
    problems: list[FieldError] = []
    external = document.get("externalId")
    external_id = None if external is None else identifier(external)
    if external is not None and external_id is None:
        problems.append(FieldError("externalId", "not_an_id", "an id is 1 to 255 printable characters"))
    content = reader.read_order(document, event=ORDER_CREATED, currency=currency)
    problems += content.problems
    try:
        digest = reading.digest(document)
    except reading.TooDeep:
        problems.append(FieldError("", "too_deep", "the body nests too deep"))
        digest = hashlib.sha256(body).hexdigest()
    return WebsiteOrder(
        external_id=external_id,
        digest=digest,
        content=content,
        currency=content.currency or currency,
        problems=tuple(problems),
    )


def external_id_from_key(idempotency_key: str) -> str:
    """Return the external id of an order that has none of its own but came with an ``Idempotency-Key``."""
    return "key-" + hashlib.sha256(idempotency_key.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _told(line: Line) -> list[str]:
    """Return a line as texts, which can be sorted also where something was not said."""
    counted = "" if line.pieces is None else f"{line.pieces.normalize():f}"
    return [line.id, counted, *("" if price is None else str(price) for price in (line.price, line.discount_price))]
