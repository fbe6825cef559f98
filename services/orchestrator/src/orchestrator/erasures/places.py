"""Where the orchestrator holds customers' data, and how each place is blanked, in the caller's transaction and a fixed order.

Whoever works on one of the orders meanwhile has to begin anew: it has read the customer and would write them back. Whose orders they are
is asked once, and contacts are forgotten that were known before all else: an order that comes meanwhile stays whole and is found later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.http.kept_bodies import erase_body, message_mentions
from common.postgres import Connection, Record
from common.reading import phone_key
from common.service import Subject, erase_dead_letters
from orchestrator.documents.model import digest, without_customer
from orchestrator.erasures.blank import blank_attributes, blank_details, blank_state, blank_text
from orchestrator.orders.contacts import Condition, by_email, by_phone
from orchestrator.orders.fill_in import TAKE_BACK
from orchestrator.orders.store import decode_state, encode_state

_NamesOf = Mapping[str, Sequence[str]]
"""By an order's number, what its customers were ever called."""

KEPT = {
    "orders": "numbers, goods, sums, store and time of delivery: what was sold has to be shown for as long as the law says",
    "audit": "who did what and why, phones and mails masked; a name that a person wrote into a reason stays there",
    "stock, refunds, tips": "numbers and sums",
}
"""What stays, and why."""

_OF_CONTACT = "SELECT DISTINCT number FROM order_contact WHERE {}"
# Nothing is known of an event that could not be read: its body is looked through.
_FAILED = """
SELECT w.order_number, e.payload
FROM set_aside_event AS a JOIN workflow AS w ON w.id = a.workflow_id
JOIN workflow_event AS e ON e.workflow_id = a.workflow_id AND e.seq = a.seq
"""
_LOCK = (
    "SELECT id FROM workflow WHERE order_number = ANY($1::text[]) ORDER BY order_number, kind, key FOR NO KEY UPDATE"
)
_EVENTS = """
SELECT e.workflow_id, e.seq, e.payload, e.attributes, w.order_number
FROM workflow_event AS e JOIN workflow AS w ON w.id = e.workflow_id WHERE e.workflow_id = ANY($1::bigint[])
"""
_BLANK_EVENT = "UPDATE workflow_event SET payload = $3, attributes = $4 WHERE workflow_id = $1 AND seq = $2"
_ORDERS = "SELECT number, document FROM orders WHERE number = ANY($1::text[]) ORDER BY number FOR NO KEY UPDATE"
_BLANK_ORDER = "UPDATE orders SET document = $2 WHERE number = $1"
_DOCUMENTS = (
    "SELECT order_number, version, content FROM order_document WHERE order_number = ANY($1::text[]) FOR NO KEY UPDATE"
)
_BLANK_DOCUMENT = "UPDATE order_document SET content = $3, digest = $4 WHERE order_number = $1 AND version = $2"
_LINES = "SELECT order_number, id, summary, details FROM timeline WHERE order_number = ANY($1::text[])"
_BLANK_LINE = "UPDATE timeline SET details = $3, summary = $4 WHERE order_number = $1 AND id = $2"
_CONTACTS = "SELECT number, digest, name FROM order_contact WHERE number = ANY($1::text[]) ORDER BY number, digest"
# What people and programs wrote about an order: table, key, columns; the order's number stands in the table, or in its workflow.
_TEXTS = (
    ("refund_request", ("business_key",), ("reason",), "t.order_number"),
    ("order_document", ("order_number", "version"), ("reason",), "t.order_number"),
    ("set_aside_event", ("workflow_id", "seq"), ("error", "error_stack", "ended_why"), "w.order_number"),
    ("workflow", ("id",), ("error", "error_stack"), "t.order_number"),
)
_WORKFLOW = "JOIN workflow AS w ON w.id = t.workflow_id"
_FORGET = "DELETE FROM order_contact WHERE (number, digest) IN (SELECT * FROM unnest($1::text[], $2::bytea[]))"


async def numbers_of(connection: Connection, subject: Subject) -> list[str]:
    """Return the orders that are the subject's: the named one, or those that the phone or mail was ever given for."""
    if subject.order_number is not None:
        return [subject.order_number]
    wanted = _number(subject.phone) if subject.phone is not None else _whole(subject.email or "")
    places = (f"${place}" for place in range(1, len(wanted.values) + 1))
    rows = await connection.fetch(_OF_CONTACT.format(wanted.text.format(*places)), *wanted.values)
    failed = {
        row["order_number"]
        for row in await connection.fetch(_FAILED)
        if message_mentions(row["payload"], phone=subject.phone, email=subject.email)
    }
    return sorted(failed.union(row["number"] for row in rows))


def _number(phone: str) -> Condition:
    """The whole number: a search finds by last digits, and an erasure must not meet others who have the same."""
    ends = by_phone(phone)
    key = phone_key(phone) or phone
    return Condition(f"{ends.text} AND phone = {{}}", (*ends.values, key.removeprefix("+")))


def _whole(email: str) -> Condition:
    begins = by_email(email)
    return Condition(f"{begins.text} AND email = {{}}", (*begins.values, email.strip().lower()))


async def erase_subject(connection: Connection, subject: Subject) -> dict[str, int]:
    """Blank everything about the subject (``common.service.erasure_routes``)."""
    numbers = await numbers_of(connection, subject)
    letters = await erase_dead_letters(connection, subject, orders=numbers)
    return {"dead_letters": letters, **await erase_orders(connection, numbers)}


async def erase_orders(connection: Connection, numbers: Sequence[str]) -> dict[str, int]:
    """Blank everything about these orders; return in how many places of each kind. What is blank already is not counted."""
    # Whoever is waited for may give contacts, and begin other workflows. Who is known here has all workflows among those that follow.
    await connection.fetch(_LOCK, numbers)
    contacts = await connection.fetch(_CONTACTS, numbers)
    workflows = [row["id"] for row in await connection.fetch(_LOCK, numbers)]
    await connection.execute(TAKE_BACK, workflows)
    names: dict[str, list[str]] = {}
    for row in contacts:
        if row["name"] is not None:
            names.setdefault(row["number"], []).append(row["name"])
    return {
        "events": await _events(connection, workflows, names),
        "orders": await _orders(connection, numbers, names),
        "documents": await _documents(connection, numbers),
        "timeline": await _timeline(connection, numbers, names),
        "texts": await _texts(connection, numbers, names),
        # Last: it is what the others are found by.
        "contacts": await _forget(connection, contacts),
    }


async def _events(connection: Connection, workflows: Sequence[int], names: _NamesOf) -> int:
    blanked = [
        (row["workflow_id"], row["seq"], *left)
        for row in await connection.fetch(_EVENTS, workflows)
        if (left := _blank_event(row, names)) != (row["payload"], row["attributes"])
    ]
    await connection.executemany(_BLANK_EVENT, blanked)
    return len(blanked)


def _blank_event(row: Record, names: _NamesOf) -> tuple[bytes, dict[str, Any]]:
    payload = erase_body(row["payload"]) if row["payload"] else row["payload"]
    return payload, blank_attributes(row["attributes"], names.get(row["order_number"], ()))


async def _orders(connection: Connection, numbers: Sequence[str], names: _NamesOf) -> int:
    states = [decode_state(row["document"]) for row in await connection.fetch(_ORDERS, numbers)]
    blanked = [left for state in states if (left := blank_state(state, names.get(state.number, ()))) != state]
    await connection.executemany(_BLANK_ORDER, [(state.number, encode_state(state)) for state in blanked])
    return len(blanked)


async def _documents(connection: Connection, numbers: Sequence[str]) -> int:
    blanked = [
        (row["order_number"], row["version"], left, digest(left))
        for row in await connection.fetch(_DOCUMENTS, numbers)
        if (left := without_customer(row["content"])) != row["content"]
    ]
    await connection.executemany(_BLANK_DOCUMENT, blanked)
    return len(blanked)


async def _timeline(connection: Connection, numbers: Sequence[str], names: _NamesOf) -> int:
    blanked = []
    for row in await connection.fetch(_LINES, numbers):
        of_order = names.get(row["order_number"], ())
        left = (blank_details(row["details"], of_order), blank_text(row["summary"], of_order))
        if left != (row["details"], row["summary"]):
            blanked.append((row["order_number"], row["id"], *left))
    await connection.executemany(_BLANK_LINE, blanked)
    return len(blanked)


async def _texts(connection: Connection, numbers: Sequence[str], names: _NamesOf) -> int:
    """What people wrote stays, but for whom they named."""
    changed = 0
    for table, key, columns, number in _TEXTS:
        wanted = ", ".join(f"t.{name}" for name in (*key, *columns))
        join = _WORKFLOW if number.startswith("w.") else ""
        read = f"SELECT {number} AS number, {wanted} FROM {table} AS t {join} WHERE {number} = ANY($1::text[]) FOR NO KEY UPDATE OF t"  # noqa: S608 - constants
        sets = ", ".join(f"{name} = ${place}" for place, name in enumerate(columns, 1))
        found = " AND ".join(f"{name} = ${place}" for place, name in enumerate(key, len(columns) + 1))
        for row in await connection.fetch(read, numbers):
            before = [row[name] for name in columns]
            after = [blank_text(text, names.get(row["number"], ())) for text in before]
            if after != before:
                await connection.execute(
                    f"UPDATE {table} SET {sets} WHERE {found}",  # noqa: S608 - as above
                    *after,
                    *(row[name] for name in key),
                )
                changed += 1
    return changed


async def _forget(connection: Connection, contacts: Sequence[Record]) -> int:
    keys = ([row[name] for row in contacts] for name in ("number", "digest"))
    return int((await connection.execute(_FORGET, *keys)).rpartition(" ")[2])
