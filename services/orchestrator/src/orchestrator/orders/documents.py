"""The order's state as a JSON document, and back without loss: what the column ``orders.document`` holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from orchestrator.orders.difference import Difference, LineChange
from orchestrator.orders.events import Hook, Key, Line
from orchestrator.orders.model import Incident, IncidentKind, OrderState, Status, StockEntry

_PLAIN = (
    "number", "source", "external_id", "closed", "paid", "shipped", "store_id", "zone", "tariff", "comment", "shipment_method",
    "replacement_policy", "currency", "payment_method", "payment_id", "total_price", "total_discount_price", "told_cancelled",
    "cancel_slug", "cancel_description", "created_digest",
)  # fmt: skip
_MOMENTS = ("paid_at", "shipped_at", "finished_at", "cancelled_at")


def encode_state(state: OrderState) -> dict[str, Any]:
    """Return the document of a state."""
    document: dict[str, Any] = {name: getattr(state, name) for name in _PLAIN}
    document["status"] = state.status
    document["created_at"] = state.created_at.isoformat()
    for name in _MOMENTS:
        moment: datetime | None = getattr(state, name)
        document[name] = None if moment is None else moment.isoformat()
    last = state.last
    document["last"] = [last.after_created, last.moment.isoformat(), last.rank, last.arrival]
    document["positions"] = [encode_line(line) for line in state.lines]
    # Told and present positions are the same until an order is paid: one copy is enough then.
    document["told"] = None if state.told_lines == state.lines else [encode_line(line) for line in state.told_lines]
    document["written_off"] = [
        [item.store_id, item.position_id, number_text(item.quantity)] for item in state.written_off
    ]
    document["repeats"] = [[hook, digest] for hook, digest in state.repeats]
    document["incidents"] = [encode_incident(item) for item in state.incidents]
    return document


def decode_state(document: Mapping[str, Any]) -> OrderState:
    """Read a state back. Raises ``KeyError`` or ``ValueError`` on a document that ``encode_state`` did not write."""
    lines = decode_lines(document["positions"])
    told = document["told"]
    after_created, moment, rank, arrival = document["last"]
    plain: dict[str, Any] = {name: document[name] for name in _PLAIN}
    moments: dict[str, Any] = {name: _moment(document[name]) for name in _MOMENTS}
    return OrderState(
        **plain,
        **moments,
        status=Status(document["status"]),
        created_at=datetime.fromisoformat(document["created_at"]),
        last=Key(after_created, datetime.fromisoformat(moment), rank, arrival),
        lines=lines,
        told_lines=lines if told is None else decode_lines(told),
        written_off=tuple(
            StockEntry(store, position, Decimal(amount)) for store, position, amount in document["written_off"]
        ),
        repeats=tuple((Hook(hook), digest) for hook, digest in document["repeats"]),
        incidents=tuple(_decode_incident(item) for item in document["incidents"]),
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
    }


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


def encode_incident(incident: Incident) -> dict[str, Any]:
    """Return an incident as JSON has it."""
    return {
        "kind": incident.kind,
        "event_id": incident.event_id,
        "hook": incident.hook,
        "moment": incident.moment.isoformat(),
        "difference": encode_difference(incident.difference),
    }


@lru_cache(maxsize=4096)
def number_text(value: Decimal) -> str:
    """Return a quantity in its one plain spelling: ``2``, ``0.5``; never ``2.00`` or ``2E+1``."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def _decode_incident(item: Mapping[str, Any]) -> Incident:
    difference = item["difference"]
    return Incident(
        kind=IncidentKind(item["kind"]),
        event_id=item["event_id"],
        hook=Hook(item["hook"]),
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


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
