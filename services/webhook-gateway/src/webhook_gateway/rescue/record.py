"""Keeps refused website orders as endangered, raises an alert for each, and ends it when the website sends the order again."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.envelope import Envelope
from common.contracts.intake import FRONTEND_ERROR_REPORTED, HOOK_RECEIVED, WEBSITE_ORDER_REFUSED, IntakeMessage
from common.ids import derived_id
from common.postgres import Connection
from webhook_gateway.hooks.model import REPLAY_OF, SERVICE, WEBSITE
from webhook_gateway.rescue.model import endangered_fingerprint
from webhook_gateway.website.model import Category, Rescue, category_of, rescue_from

_MASK = "***"
_SHOWN_DIGITS = 2
_ENDANGERING = frozenset({WEBSITE_ORDER_REFUSED, FRONTEND_ERROR_REPORTED})
_WHERE_TO_LOOK: Mapping[str, str] = {
    Category.FRONT_END: "Искать на фронтенде: чем заказ не понравился серверу",
    Category.BACK_END: "Искать на бэкенде",
    Category.BANNED: "Слишком частые заказы: спам или сломан обход лимитов для менеджеров",
    Category.MANAGER_BYPASS_BROKEN: "Сломан механизм, который разрешает менеджерам заказы без ограничений",
}
_SAVE = """
INSERT INTO endangered_orders (
    id, received_at, status, category, answer, customer, address, basket, body, external_id, replica, origin, link
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (id) DO NOTHING
"""
_SETTLE_ARRIVED = """
UPDATE endangered_orders AS e SET state = 'resubmitted', number = taken.number, arrived_at = taken.received_at
FROM (
    SELECT DISTINCT ON (external_id) external_id, number, received_at FROM deliveries
    WHERE external_id = ANY($1) AND source = $2 AND type = $3 AND number IS NOT NULL
    ORDER BY external_id, received_at
) AS taken
WHERE e.external_id = taken.external_id AND e.state IN ('open', 'new', 'mended')
RETURNING e.id::text AS endangered_id, e.number, e.arrived_at
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
    """An endangered order that the website sent again itself, and that was taken."""

    endangered_id: str
    number: str
    arrived_at: datetime


async def save_endangered(connection: Connection, rows: Sequence[EndangeredRow]) -> None:
    """Insert endangered orders, each once, in the caller's transaction."""
    if rows:
        await connection.executemany(_SAVE, [_values(row) for row in rows])


async def settle_arrived(connection: Connection, names: Sequence[str]) -> Sequence[ArrivedOrder]:
    """Mark those that the website sent again itself, and that were taken, in the caller's transaction."""
    if not names:
        return ()
    rows = await connection.fetch(_SETTLE_ARRIVED, list(names), WEBSITE, HOOK_RECEIVED)
    return [ArrivedOrder(**dict(row)) for row in rows]


def endangered_rows(hooks: Sequence[IntakeMessage]) -> list[EndangeredRow]:
    """Return the orders among the deliveries that are endangered, with what a person needs to get the customer back."""
    return [_row(hook) for hook in hooks if hook.type in _ENDANGERING]


def tried_again(hooks: Sequence[IntakeMessage]) -> list[str]:
    """Return the external ids of the website orders that somebody tried to place with these deliveries."""
    return sorted({hook.external_id for hook in hooks if hook.external_id is not None and _is_try(hook)})


def _is_try(hook: IntakeMessage) -> bool:
    tried = hook.type in _ENDANGERING or (hook.type == HOOK_RECEIVED and hook.source == WEBSITE)
    return tried and not (hook.reason or "").startswith(REPLAY_OF)


def endangered_alert(row: EndangeredRow, *, public_url: str) -> Envelope:
    """Return the alert of an endangered order. The customer's data is masked: it goes to chats."""
    hook, customer = row.hook, row.rescue.customer
    reported = row.origin == "front_end"
    what = "сайт сообщил об ошибке с корзиной" if reported else f"POST /api/v1/orders/ отвечен {row.status}"
    problem = ProblemRaisedV1(
        kind="website_order.endangered",
        severity="critical",
        fingerprint=endangered_fingerprint(hook.delivery_id),
        summary=f"Заказ с сайта под угрозой: {what}. {_WHERE_TO_LOOK[row.category]}",
        details={
            "endangered_id": hook.delivery_id,
            "category": row.category,
            "status": str(row.status),
            "name": mask_name(customer.get("name")),
            "phone": mask_contact(customer.get("phone")),
            "email": mask_contact(customer.get("email")),
            "positions": str(len(row.rescue.basket)),
        },
        service=SERVICE,
        order_number=hook.number,
        source=hook.source,
        link=f"{public_url}/admin/v1/endangered-orders?id={hook.delivery_id}",
        occurred_at=hook.received_at,
    )
    return Envelope.of(
        problem,
        event_id=derived_id("problem", "website_order.endangered", hook.delivery_id),
        source=f"/{SERVICE}",
        subject=hook.number,
        time=hook.received_at,
        traceparent=hook.traceparent,
    )


def no_longer_endangered(order: ArrivedOrder) -> Envelope:
    """Return the end of an endangered order's incident: the website sent the order again, and it was taken."""
    over = ProblemResolvedV1(
        fingerprint=endangered_fingerprint(order.endangered_id),
        summary="Сайт прислал этот заказ снова, и он принят",
        service=SERVICE,
        occurred_at=order.arrived_at,
    )
    return Envelope.of(
        over,
        event_id=derived_id("problem-resolved", order.endangered_id, "arrived"),
        source=f"/{SERVICE}",
        subject=order.number,
        time=order.arrived_at,
    )


def _row(hook: IntakeMessage) -> EndangeredRow:
    status = hook.status or 0
    reported = hook.type == FRONTEND_ERROR_REPORTED
    named = hook.reason if hook.reason in _WHERE_TO_LOOK else None
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


def mask_contact(value: str | None) -> str:
    """Return a phone or mail with all but its last two characters hidden."""
    if not value:
        return "-"
    return f"{_MASK}{value[-_SHOWN_DIGITS:]}" if len(value) > 2 * _SHOWN_DIGITS else _MASK


def mask_name(value: str | None) -> str:
    """Return the first letter of a name."""
    return f"{value.strip()[:1]}{_MASK}" if value and value.strip() else "-"


def json_or_none(text: str | None) -> Any:
    """Read JSON that came with a delivery; None when there is none, or it is none."""
    try:
        return None if text is None else orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


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
    )
