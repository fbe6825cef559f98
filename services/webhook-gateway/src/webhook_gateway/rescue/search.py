"""Finding endangered orders: by anything that a customer says, for a list or for a bulk change. An index carries each way to find one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from common.digits import digits_of
from common.postgres import Connection, Database, Record
from common.reading import phone_key
from webhook_gateway.rescue.model import TO_RESCUE, UNKNOWN_NETWORK
from webhook_gateway.rescue.store import cursor_uuid, uuid_or_none
from webhook_gateway.rescue.views import EndangeredFilter
from webhook_gateway.website.basket import email_key

_LIST = """
SELECT id::text AS id, version, source, received_at, status, category, answer, customer, address, basket, body, mended_body, external_id,
       replica, network, anonymous, CASE state WHEN 'open' THEN 'new' ELSE state END AS state, outcome, origin, link, number,
       report_id::text AS report_id, mended_at, resubmitted_at, reported_at, closed_at, arrived_at, called_at, called_by, reached
FROM endangered_orders WHERE {conditions} ORDER BY received_at DESC, id DESC LIMIT {limit}
"""
_IDS = "SELECT id::text AS id FROM endangered_orders WHERE {conditions} ORDER BY received_at, id LIMIT {limit}"
_EXACT = ("number", "external_id", "source", "category", "anonymous", "outcome")
_FEWEST_DIGITS = 4  # of the end of a phone
_NAMED = "text_parts(lower(customer ->> 'name')) @> {}::text[] AND lower(customer ->> 'name') LIKE {}"
_PHONE_ENDS = "reverse(phone) ~>=~ {} AND reverse(phone) ~<~ {}"
_LONGEST_PART = 3  # letters that the index holds together
_MOST_PARTS = 8


def select_endangered(
    wanted: EndangeredFilter, *, only: uuid.UUID | None = None, after: tuple[Any, ...] | None = None, limit: int
) -> tuple[str, list[Any]]:
    """Return the statement of endangered orders, the newest first, behind the position (received_at, id), and its values.

    ``only``: that one alone.
    """
    conditions = _Conditions(wanted)
    if only is not None:
        conditions.add("id = {}", only)
    if after is not None:
        conditions.add("(received_at, id) < ({}, {})", after[0], cursor_uuid(after[1]))
    return conditions.of(_LIST, limit)


class EndangeredSearch:
    """Read only."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def one(self, endangered_id: uuid.UUID) -> Record | None:
        """Return one endangered order."""
        statement, values = select_endangered(EndangeredFilter(), only=endangered_id, limit=1)
        async with self.database.acquire() as connection:
            return await connection.fetchrow(statement, *values)

    async def find(
        self, connection: Connection, wanted: EndangeredFilter, among: Sequence[str] | None, limit: int
    ) -> list[str]:
        """Return the ids of those that match, the oldest first; of ``among`` where that is given. Locks nothing."""
        conditions = _Conditions(wanted)
        if among is not None:
            conditions.add("id = ANY({}::uuid[])", [found for found in map(uuid_or_none, among) if found is not None])
        statement, values = conditions.of(_IDS, limit)
        return [row["id"] for row in await connection.fetch(statement, *values)]


class _Conditions:
    """Only the conditions asked for: one plan for all would fit none."""

    def __init__(self, wanted: EndangeredFilter) -> None:
        self._values: list[Any] = []
        self._conditions: list[str] = ["true"]
        for name in _EXACT:
            value = getattr(wanted, name)
            if value is not None:
                self.add(f"{name} = {{}}", value)
        if wanted.state is not None:
            states = ["open", *TO_RESCUE] if wanted.state == "open" else [wanted.state]
            self.add("state = ANY({}::text[])", ["open", *states] if "new" in states else states)
        if wanted.since is not None:
            self.add("received_at >= {}", wanted.since)
        if wanted.until is not None:
            self.add("received_at < {}", wanted.until)
        if wanted.network is not None:
            network = None if wanted.network == UNKNOWN_NETWORK else wanted.network
            self.add("network IS NOT DISTINCT FROM {}", network)
        if wanted.phone is not None:
            self.add("phone = {}", phone_key(wanted.phone) or wanted.phone)
        if wanted.email is not None:
            self.add("email = {}", email_key(wanted.email))
        if wanted.name is not None:
            self.add(_NAMED, *_part(wanted.name))
        if wanted.q is not None:
            self._anything(wanted.q.strip())

    def add(self, condition: str, *values: Any) -> None:
        """Add one that has to hold; each ``{}`` stands for a value."""
        self._conditions.append(condition.format(*map(self._bind, values)))

    def of(self, statement: str, limit: int) -> tuple[str, list[Any]]:
        """Return the statement and its values."""
        rows = self._bind(limit)
        return statement.format(conditions=" AND ".join(self._conditions), limit=rows), self._values

    def _anything(self, text: str) -> None:
        """Each way is a search of its own: one condition for all of them has no index."""
        ways: list[tuple[str, tuple[Any, ...]]] = [
            ("external_id = {}", (text,)),
            ("number = {}", (text.upper(),)),
            ("email = {}", (email_key(text),)),
            (_NAMED, _part(text)),
        ]
        digits = digits_of(text)
        key = phone_key(text)
        if key is not None:
            ways.append(("phone = {}", (key,)))
        if len(digits) >= _FEWEST_DIGITS and not any(character.isalpha() for character in text):
            ways.append((_PHONE_ENDS, (digits[::-1], digits[::-1] + "\U0010ffff")))
        if (found := uuid_or_none(text)) is not None:
            ways.append(("id = {}", (found,)))
        found_by = (f"SELECT id FROM endangered_orders WHERE {way}" for way, _ in ways)  # noqa: S608 - constants and parameters
        self.add(f"id IN ({' UNION ALL '.join(found_by)})", *(value for _, values in ways for value in values))

    def _bind(self, value: Any) -> str:
        self._values.append(value)
        return f"${len(self._values)}"


def _part(text: str) -> tuple[list[str], str]:
    """Return what the index holds of a part of a name, and the pattern of it."""
    plain = text.strip().lower()
    size = min(_LONGEST_PART, len(plain))
    parts = dict.fromkeys(plain[start : start + size] for start in range(len(plain) - size + 1))
    escaped = plain.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return list(parts)[:_MOST_PARTS], f"%{escaped}%"
