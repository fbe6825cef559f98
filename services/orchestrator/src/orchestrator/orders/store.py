"""Orders in the database: their rows, the state as a JSON document (``orders.document``) and back without loss, goods, parked orders."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from common.postgres import Connection, Database, Lent, Record, member
from common.reading import Address, Contact, Line, Window
from orchestrator.engine.append import columns
from orchestrator.engine.model import ORDER_LIFE, Encoded, WorkflowEvent
from orchestrator.engine.store import event_of
from orchestrator.orders.contacts import ContactKeys
from orchestrator.orders.model import (
    Difference,
    HookType,
    Incident,
    IncidentKind,
    Key,
    LineChange,
    OrderState,
    Status,
    StockEntry,
    state_of,
)

_ORDERS = "SELECT number, document, revision, tips_revision FROM orders WHERE number = ANY($1::text[])"
_EVENTS = """
SELECT e.workflow_id, e.seq, e.type, e.event_id, e.attributes, e.payload, e.traceparent, e.received_at, a.seq IS NOT NULL AS aside
FROM unnest($1::bigint[], $2::integer[]) AS wanted (id, upto)
JOIN workflow_event AS e ON e.workflow_id = wanted.id AND e.seq <= wanted.upto
LEFT JOIN set_aside_event AS a ON a.workflow_id = e.workflow_id AND a.seq = e.seq
ORDER BY e.workflow_id, e.seq
"""

_LIFE = "SELECT id, done_seq, pruned_seq FROM workflow WHERE order_number = $1 AND kind = $2 AND key = ''"

# The columns of an order that its workflow writes, with their types, in the order of `_values`.
_COLUMNS = (
    ("number", "text"),
    ("source", "text"),
    ("external_id", "text"),
    ("status", "text"),
    ("aggregate_state", "text"),
    ("closed", "boolean"),
    ("shipped", "boolean"),
    ("paid", "boolean"),
    ("revision", "bigint"),
    ("store_id", "text"),
    ("zone", "text"),
    ("tariff", "text"),
    ("currency", "text"),
    ("payment_method", "text"),
    ("payment_id", "text"),
    ("cost_total", "bigint"),
    ("document", "jsonb"),
    ("finished_at", "timestamptz"),
)
_ORDER_NAMES = ", ".join(name for name, _ in _COLUMNS)
_WRITE_ORDERS = f"""
INSERT INTO orders AS o ({_ORDER_NAMES})
SELECT * FROM unnest({", ".join(f"${place}::{kind}[]" for place, (_, kind) in enumerate(_COLUMNS, 1))})
ON CONFLICT (number) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name, _ in _COLUMNS if name not in {"number", "aggregate_state"})},
    aggregate_state = CASE WHEN o.aggregate_state IN ('stopped', 'crashed') THEN o.aggregate_state
                           ELSE excluded.aggregate_state END,
    updated_at = now()
"""  # noqa: S608 - names and types of columns, from a constant of ours

_MOVE_STOCK = """
INSERT INTO stock_movements (number, revision, store_id, position_id, quantity, kind, occurred_at)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::numeric[], $6::text[], $7::timestamptz[])
"""

_PARK = """
INSERT INTO parked_order (workflow_id, order_number, source, hook)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[])
ON CONFLICT (workflow_id) DO NOTHING
"""
_UNPARK = "DELETE FROM parked_order WHERE workflow_id = ANY($1::bigint[]) RETURNING workflow_id, alerted_at"

_AGGREGATE = {"delivered": "finished", "cancelled": "cancelled"}

_PLAIN = (
    "number", "source", "external_id", "closed", "paid", "shipped", "store_id", "zone", "tariff", "comment", "shipment_method",
    "replacement_policy", "currency", "payment_method", "payment_id", "total_price", "total_discount_price", "told_cancelled",
    "cancel_slug", "cancel_description", "created_digest",
)  # fmt: skip
_MOMENTS = ("paid_at", "shipped_at", "finished_at", "cancelled_at")
_CONTACT = tuple(item.name for item in fields(Contact))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOrder:
    """An order as it was read."""

    state: OrderState
    revision: int
    tips_revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChange:
    """An order to be written: its state, and what is derived from it. ``revision`` is what it will be.

    ``stock`` moves with it, as a correction of earlier movements or not. ``contacts`` are new, to find it by.
    ``unparked`` is what to send if a person had been notified that it waited for ``created``; None where it was not parked.
    """

    state: OrderState
    revision: int
    zone: str
    tariff: str
    stock: Sequence[StockEntry]
    corrects_stock: bool
    unparked: Encoded | None
    contacts: Sequence[ContactKeys] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """An order that waits for its ``created``."""

    order_number: str
    source: str
    hook: str
    contacts: Sequence[ContactKeys] = ()


class OrderStore:
    """Reads what workflows need of orders, set by set."""

    def __init__(self, database: Database | Lent) -> None:
        self._database = database

    async def orders(self, numbers: Sequence[str]) -> dict[str, StoredOrder]:
        """Return the orders that exist, by number."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_ORDERS, numbers)
        return {
            row["number"]: StoredOrder(
                state=decode_state(row["document"]), revision=row["revision"], tips_revision=row["tips_revision"]
            )
            for row in rows
        }

    async def events(
        self, upto: Mapping[int, int], *, partly: Collection[int] = ()
    ) -> dict[int, list[WorkflowEvent] | None]:
        """Return the events of workflows (id → last sequence number) that took effect; None: not all are kept, nor is it in ``partly``."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_EVENTS, list(upto), list(upto.values()))
        found: dict[int, list[Record]] = {workflow_id: [] for workflow_id in upto}
        for row in rows:
            found[row["workflow_id"]].append(row)
        return {
            workflow_id: [event_of(row) for row in kept if not row["aside"]]
            if len(kept) == upto[workflow_id] or workflow_id in partly
            else None
            for workflow_id, kept in found.items()
        }

    async def history(self, number: str) -> list[WorkflowEvent] | None:
        """Return the events of one order that were carried out, in sequence; None when some are no longer kept."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_LIFE, number, ORDER_LIFE)
        if row is None or row["pruned_seq"]:
            return None
        return (await self.events({row["id"]: row["done_seq"]}))[row["id"]]


async def write_orders(connection: Connection, changes: Sequence[OrderChange]) -> None:
    """Write orders and the goods that move, in the caller's transaction. Rows are locked in the order of their numbers."""
    if changes:
        rows = map(_values, sorted(changes, key=lambda change: change.state.number))
        await connection.execute(_WRITE_ORDERS, *(list(column) for column in zip(*rows, strict=True)))
    moves = [(change, entry) for change in changes for entry in change.stock]
    if moves:
        await connection.execute(
            _MOVE_STOCK,
            [change.state.number for change, _ in moves],
            [change.revision for change, _ in moves],
            *columns((entry for _, entry in moves), "store_id", "position_id", "quantity"),
            ["correction" if change.corrects_stock else "shipment" for change, _ in moves],
            [change.state.shipped_at or change.state.last.moment for change, _ in moves],
        )


async def park(connection: Connection, parked: Mapping[int, Parked]) -> None:
    """Note orders, by workflow, that wait for their ``created``. One that waits already goes on waiting since then."""
    if parked:
        waiting = columns(parked.values(), "order_number", "source", "hook")
        await connection.execute(_PARK, list(parked), *waiting)


async def unpark(connection: Connection, messages: Mapping[int, Encoded]) -> list[Encoded]:
    """End the wait of orders, by workflow; return the messages of those that a person had been notified of."""
    if not messages:
        return []
    rows = await connection.fetch(_UNPARK, list(messages))
    return [messages[row["workflow_id"]] for row in rows if row["alerted_at"] is not None]


def encode_state(state: OrderState) -> dict[str, Any]:
    """Return the document of a state."""
    document: dict[str, Any] = {name: getattr(state, name) for name in _PLAIN}
    document["status"] = state.status
    document["created_at"] = state.created_at.isoformat()
    for name in _MOMENTS:
        moment: datetime | None = getattr(state, name)
        document[name] = _iso(moment)
    last = state.last
    document["last"] = [last.after_created, last.moment.isoformat(), last.rank, last.arrival]
    document["customer"] = state.customer and {name: getattr(state.customer, name) for name in _CONTACT}
    document["address"] = (
        None if state.address is None else [state.address.text, [list(part) for part in state.address.parts]]
    )
    window = state.delivery_window
    document["delivery_window"] = None if window is None else [_iso(window.starts), _iso(window.ends), window.text]
    document["positions"] = [_stored_line(line) for line in state.lines]
    # Announced and present positions are the same until an order is paid: one copy is enough then.
    document["told"] = None if state.told_lines == state.lines else [_stored_line(line) for line in state.told_lines]
    if state.known is not None:
        document["known"] = [*state.known[:2], [_stored_line(line) for line in state.known[2]]]
    document["written_off"] = [
        [item.store_id, item.position_id, number_text(item.quantity)] for item in state.written_off
    ]
    document["repeats"] = [[hook, digest] for hook, digest in state.repeats]
    document["incidents"] = [
        {
            "kind": item.kind,
            "event_id": item.event_id,
            "hook": item.hook,
            "moment": item.moment.isoformat(),
            "difference": encode_difference(item.difference),
        }
        for item in state.incidents
    ]
    return document


def decode_state(document: Mapping[str, Any]) -> OrderState:
    """Read a state back. Raises ``KeyError`` or ``ValueError`` on a document that ``encode_state`` did not write."""
    lines = decode_lines(document["positions"])
    told = document["told"]
    after_created, moment, rank, arrival = document["last"]
    values: dict[str, Any] = {name: document[name] for name in _PLAIN}
    for name in _MOMENTS:
        values[name] = _moment(document[name])
    values["status"] = Status(document["status"])
    values["created_at"] = datetime.fromisoformat(document["created_at"])
    values["last"] = Key(after_created, datetime.fromisoformat(moment), rank, arrival)
    values["lines"] = lines
    values["told_lines"] = lines if told is None else decode_lines(told)
    values["written_off"] = tuple(
        StockEntry(store, position, Decimal(amount)) for store, position, amount in document["written_off"]
    )
    values["repeats"] = tuple((HookType(hook), digest) for hook, digest in document["repeats"])
    values["incidents"] = tuple(_decode_incident(item) for item in document["incidents"])
    values["customer"], values["address"], values["delivery_window"] = decode_people(document)
    known = document.get("known")
    values["known"] = known and (*known[:2], decode_lines(known[2]))
    return state_of(values)


def decode_people(document: Mapping[str, Any]) -> tuple[Contact | None, Address | None, Window | None]:
    """Read back from a state's document whom the order is for, where it goes and when; documents of old have none of it."""
    customer, place = document.get("customer"), document.get("address")
    return (
        Contact(**customer) if customer else None,
        Address(text=place[0], parts=tuple((name, value) for name, value in place[1])) if place else None,
        _window(document.get("delivery_window")),
    )


@lru_cache(maxsize=4096)
def encode_line(line: Line) -> dict[str, Any]:
    """Return a position as JSON has it: sums in minor units, quantities as decimal strings (the contract's ``Position``).

    The same line gives the same object: an order's lines are written three times an event. Nobody may change it.
    """
    return {
        "id": line.id,
        "name": line.name,
        "quantity": "0" if line.quantity is None else number_text(line.quantity),
        "original_quantity": None if line.original_quantity is None else number_text(line.original_quantity),
        "price": line.price,
        "discount_price": line.discount_price,
        "total_price": line.total_price,
        "total_discount_price": line.total_discount_price,
        "weight": None if line.weight is None else number_text(line.weight),
        "replaces": line.replaces,
    }


def _stored_line(line: Line) -> dict[str, Any]:
    return {**encode_line(line), "quantity_follows": True} if line.quantity_follows else encode_line(line)


def decode_lines(items: Iterable[Mapping[str, Any]]) -> tuple[Line, ...]:
    """Read positions back."""
    return tuple(
        Line(
            id=item["id"],
            name=item["name"],
            quantity=_number(item["quantity"]),
            original_quantity=_number(item["original_quantity"]),
            price=item["price"],
            discount_price=item["discount_price"],
            total_price=item["total_price"],
            total_discount_price=item["total_discount_price"],
            weight=_number(item["weight"]),
            replaces=item.get("replaces"),
            quantity_follows=item.get("quantity_follows", False),
        )
        for item in items
    )


def encode_difference(difference: Difference) -> dict[str, Any]:
    """Return a difference as JSON has it (the contract's ``OrderDifference``)."""
    return {
        "added": [encode_line(line) for line in difference.added],
        "removed": [encode_line(line) for line in difference.removed],
        "changed": [
            {"before": encode_line(item.before), "after": encode_line(item.after)} for item in difference.changed
        ],
        "fields": [list(item) for item in difference.fields],
    }


@lru_cache(maxsize=4096)
def number_text(value: Decimal) -> str:
    """Return a quantity in its one plain spelling: ``2``, ``0.5``; never ``2.00`` or ``2E+1``."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def _decode_incident(item: Mapping[str, Any]) -> Incident:
    difference = item["difference"]
    return Incident(
        kind=member(IncidentKind, item["kind"]),
        event_id=item["event_id"],
        hook=HookType(item["hook"]),
        moment=datetime.fromisoformat(item["moment"]),
        difference=Difference(
            added=decode_lines(difference["added"]),
            removed=decode_lines(difference["removed"]),
            changed=tuple(
                LineChange(*decode_lines((change["before"], change["after"]))) for change in difference["changed"]
            ),
            fields=tuple((name, before, after) for name, before, after in difference["fields"]),
        ),
    )


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _window(item: Sequence[str | None] | None) -> Window | None:
    return None if item is None else Window(starts=_moment(item[0]), ends=_moment(item[1]), text=item[2])


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _values(row: OrderChange) -> tuple[Any, ...]:
    """Return the values of ``_COLUMNS``."""
    state = row.state
    status = state.status
    return (
        state.number,
        state.source,
        state.external_id,
        status,
        _AGGREGATE.get(status, "in_progress"),
        state.closed,
        state.shipped,
        state.paid,
        row.revision,
        state.store_id,
        row.zone,
        row.tariff,
        state.currency,
        state.payment_method,
        state.payment_id,
        state.cost,
        encode_state(state),
        state.finished_at,
    )
