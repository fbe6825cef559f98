"""Keeps refused website orders as endangered, and settles one when the website sends it again under its name."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from common.contracts.intake import FRONTEND_ERROR_REPORTED, HOOK_RECEIVED, WEBSITE_ORDER_REFUSED, IntakeMessage
from common.postgres import Connection
from common.reading import storable
from webhook_gateway.hooks.model import REPLAY_OF
from webhook_gateway.website.basket import Rescue, rescue_from
from webhook_gateway.website.model import Category, category_of, is_website

_DEEPEST = 64
_ENDANGERING = frozenset({WEBSITE_ORDER_REFUSED, FRONTEND_ERROR_REPORTED})
_SAVE = """
INSERT INTO endangered_orders (
    id, received_at, status, category, answer, customer, address, basket, body, external_id, replica, origin, link, source, phone, email,
    basket_key, network, anonymous
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT (id) DO NOTHING RETURNING true
"""
# An order whose name was another's is not the one that has it.
_SETTLE_ARRIVED = """
UPDATE endangered_orders AS e SET state = 'resubmitted', number = taken.number, arrived_at = taken.received_at
FROM (
    SELECT DISTINCT ON (d.source, d.external_id) d.source, d.external_id, d.number, d.received_at
    FROM unnest($1::text[], $2::text[]) AS tried (source, external_id)
    JOIN deliveries AS d ON d.external_id = tried.external_id AND d.source = tried.source
    WHERE d.type = $3 AND d.number IS NOT NULL
    ORDER BY d.source, d.external_id, d.received_at
) AS taken
WHERE e.source = taken.source AND e.external_id = taken.external_id AND e.state IN ('open', 'new', 'mended') AND e.category <> $4
RETURNING e.id::text AS endangered_id, e.number, e.arrived_at, e.anonymous, e.network, e.received_at, now() AS settled_at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndangeredRow:
    """A website order that was not answered 201. ``origin``: who saw it fail; ``link`` leads to the front end's own report."""

    hook: IntakeMessage
    status: int
    category: str
    answer: Any
    rescue: Rescue
    origin: Literal["server", "front_end"] = "server"
    link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedOrder:
    """An endangered order that the website or the customer sent again, and that was taken; ``network``: a stranger's."""

    endangered_id: str
    number: str
    arrived_at: datetime
    anonymous: bool
    network: str | None
    received_at: datetime
    settled_at: datetime


async def save_endangered(connection: Connection, rows: Sequence[EndangeredRow]) -> list[EndangeredRow]:
    """Insert endangered orders, each once, in the caller's transaction; return those that were not known."""
    return [row for row in rows if await connection.fetchval(_SAVE, *_values(row))]


async def settle_arrived(connection: Connection, names: Sequence[tuple[str, str]]) -> Sequence[ArrivedOrder]:
    """Mark those that the website sent again itself under their names (source, external id), and that were taken."""
    if not names:
        return ()
    sources, external_ids = zip(*names, strict=True)
    rows = await connection.fetch(
        _SETTLE_ARRIVED, list(sources), list(external_ids), HOOK_RECEIVED, Category.KEY_REUSED.value
    )
    return [ArrivedOrder(**dict(row)) for row in rows]


def endangered_rows(hooks: Sequence[IntakeMessage]) -> list[EndangeredRow]:
    """Return the orders among the deliveries that are endangered, with what a person needs to get the customer back."""
    return [_row(hook) for hook in hooks if hook.type in _ENDANGERING]


def reused_row(hook: IntakeMessage) -> EndangeredRow:
    """Return an order that was answered 201 although its name was another's, because nobody could be asked."""
    return EndangeredRow(
        hook=hook,
        status=hook.status or 0,
        category=Category.KEY_REUSED.value,
        answer=None,
        rescue=rescue_from(hook.body),
    )


def tried_again(hooks: Sequence[IntakeMessage]) -> list[tuple[str, str]]:
    """Return source and external id of the website orders that somebody tried to place with these deliveries."""
    return sorted({(hook.source, hook.external_id) for hook in hooks if hook.external_id is not None and _is_try(hook)})


def _is_try(hook: IntakeMessage) -> bool:
    tried = hook.type in _ENDANGERING or (hook.type == HOOK_RECEIVED and is_website(hook.source))
    return tried and not (hook.reason or "").startswith(REPLAY_OF)


def _row(hook: IntakeMessage) -> EndangeredRow:
    status = hook.status or 0
    reported = hook.type == FRONTEND_ERROR_REPORTED
    named = hook.reason if hook.reason in set(Category) else None
    notes = json_or_none(hook.headers)
    link = notes.get("link") if reported and isinstance(notes, dict) else None
    return EndangeredRow(
        hook=hook,
        status=status,
        category=named or (Category.FRONT_END if reported else category_of(status, manager=False)).value,
        answer=json_or_none(hook.answer),
        rescue=rescue_from(hook.body),
        origin="front_end" if reported else "server",
        link=link if isinstance(link, str) else None,
    )


def json_or_none(text: str | None) -> Any:
    """Read JSON that came with a delivery, as a table holds it; None when there is none, or it is none."""
    try:
        return None if text is None else _as_a_table_holds_it(orjson.loads(text))
    except orjson.JSONDecodeError:
        return None


def _as_a_table_holds_it(value: Any, depth: int = 0) -> Any:
    """Return a value without NUL, and without what nests deeper than anybody reads: a front end's report holds what it likes."""
    if isinstance(value, str):
        return storable(value)
    if not isinstance(value, dict | list):
        return value
    if depth >= _DEEPEST:
        return None
    if isinstance(value, list):
        return [_as_a_table_holds_it(item, depth + 1) for item in value]
    return {storable(name): _as_a_table_holds_it(item, depth + 1) for name, item in value.items()}


def _values(row: EndangeredRow) -> tuple[Any, ...]:
    hook = row.hook
    return (
        uuid.UUID(hook.delivery_id),
        hook.received_at,
        row.status,
        row.category,
        row.answer,
        dict(row.rescue.customer),
        row.rescue.address,
        row.rescue.basket,
        hook.body,
        hook.external_id,
        hook.replica,
        row.origin,
        row.link,
        hook.source,
        row.rescue.phone,
        row.rescue.email,
        row.rescue.basket_key,
        hook.network,
        hook.anonymous,
    )
