"""What people and services look up of orders and goods. Keyset pages only; each list asks for one row more than it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from common.postgres import Connection, Database, Record
from orchestrator.engine.model import WorkflowState
from orchestrator.engine.search import Filters, in_state
from orchestrator.orders.contacts import Condition

_ORDER = "SELECT * FROM orders WHERE number = $1"
_ORDERS = "SELECT * FROM orders"
_NEWEST_FIRST = "created_at DESC, number DESC"

# Orders in trouble are few among many: they are found by their workflows.
_TROUBLED = "number = ANY(ARRAY(SELECT w.order_number FROM workflow AS w WHERE {}))"
_TROUBLE = {"stopped": WorkflowState.STOPPED, "crashed": WorkflowState.CRASHED}

# With a number its own unique index answers; the planner would otherwise be tempted to walk the primary key.
_STOCK_OF_ORDER = "(SELECT * FROM stock_movements WHERE number = {} OFFSET 0) AS moved"

_FEW = 2000
"""So many orders with a contact are read and sorted; what more have is met soon enough by walking back from the newest."""
_WINDOW, _COMMON = 4000, 4
"""What so many of the newest contacts have is met again soon enough; only what fewer have is worth asking an index for."""
_BY_ID = """
SELECT number, created_at FROM orders WHERE number = upper($1)
UNION SELECT number, created_at FROM (SELECT number, created_at FROM orders WHERE external_id = $1 LIMIT 2000) AS of_sources
"""
# Newest first without sorting, and no further than it takes: what is looked for is compared outside, whatever it is. By a name, an index
# alone answers.
_WALK = """
SELECT number, created_at
FROM (SELECT number, created_at, name, phone, email FROM order_contact {where} ORDER BY {order} {window}) AS part
WHERE {wanted} ORDER BY {order} LIMIT {many}
"""
_Known = tuple[datetime, str]
"""An order: when we learned of it, and its number."""


def select_orders(
    *,
    aggregate_state: str | None,
    since: datetime | None,
    until: datetime | None,
    after: tuple[Any, ...] | None,
    limit: int,
    **equal: str | None,
) -> tuple[str, list[Any]]:
    """Return the statement of orders by what is no customer's, the newest first, and its values; see ``OrderSearch.orders``."""
    filters = _filters(aggregate_state, since=since, until=until, after=after, equal=equal)
    return filters.select(_ORDERS, order=_NEWEST_FIRST, limit=limit)


def select_stock_movements(
    *, store_id: str | None, number: str | None, after: tuple[Any, ...] | None, limit: int
) -> tuple[str, list[Any]]:
    """Return the statement of stock movements, the oldest first, from after the position (id), and its values."""
    filters = Filters()
    source = "stock_movements" if number is None else _STOCK_OF_ORDER.format(filters.place(number))
    filters.add_given("store_id = {}", store_id)
    filters.add_given("id > {}", None if after is None else after[0])
    return filters.select(f"SELECT * FROM {source}", order="id", limit=limit)  # noqa: S608 - constants of ours


class OrderSearch:
    """Reads orders by what a customer says, or one by its number."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def order(self, number: str) -> Record | None:
        """Return one order."""
        async with self.database.acquire() as connection:
            return await connection.fetchrow(_ORDER, number)

    async def orders(
        self,
        *,
        aggregate_state: str | None,
        since: datetime | None,
        until: datetime | None,
        after: tuple[Any, ...] | None,
        limit: int,
        said: str | None = None,
        meaning: Condition | None = None,
        contact: Sequence[Condition] = (),
        **equal: str | None,
    ) -> list[Record]:
        """Return orders, the newest first, from after the position (created_at, number), one more than ``limit`` when there is more.

        ``equal``: status, source, store_id …

        ``contact``: the order's contact fits all of these conditions. ``said``: it is the order's number or external id, or the contact
        fits ``meaning``. A contact that an order had once finds it, too.
        """

        def filters() -> Filters:
            """Make the conditions anew: each statement numbers its own values."""
            return _filters(aggregate_state, since=since, until=until, after=after, equal=equal)

        def among(position: tuple[Any, ...] | None) -> Filters:
            """Make the conditions that hold of a contact, too."""
            return _between(Filters(), since=since, until=until, after=position)

        async with self.database.acquire() as connection:
            ids = [] if said is None else [_known(row) for row in await connection.fetch(_BY_ID, said)]
            wanted = list(contact)
            if said is not None:
                wanted.append(_either(meaning, [number for _, number in ids]))
            met: list[_Known] = []
            if not ids and any(each.common for each in wanted):
                met = await _walk(connection, among(after), wanted, limit + 1, f"LIMIT {_WINDOW}")
            if len(met) < min(_COMMON, limit + 1):
                few = await _few(connection, wanted)
                if few is not None:
                    return await _newest(connection, few if contact else [*few, *ids], filters, limit + 1)
            found: list[Record] = []
            many, more = limit + 1, True
            while True:
                numbers = list(dict.fromkeys(number for _, number in met))
                fit = await _of(connection, numbers, filters(), limit + 1 - len(found)) if numbers else []
                found += fit
                if not more or len(found) > limit:
                    return found
                # Those that are in another status, say, are passed over in bigger and bigger steps.
                many = limit + 1 - len(found) if len(fit) == len(numbers) else min(many * 4, _FEW)
                after = met[-1] if met else after
                met = await _walk(connection, among(after), wanted, many)
                more = len(met) == many


def _filters(
    aggregate_state: str | None,
    *,
    since: datetime | None,
    until: datetime | None,
    after: tuple[Any, ...] | None,
    equal: Mapping[str, str | None],
) -> Filters:
    made = Filters()
    made.add_given("aggregate_state = {}", aggregate_state)
    if aggregate_state in _TROUBLE:
        made.add(_TROUBLED.format(in_state(_TROUBLE[aggregate_state])))
    for column in ("status", "source", "store_id", "external_id", "payment_id", "number"):
        made.add_given(f"{column} = {{}}", equal.get(column))
    return _between(made, since=since, until=until, after=after)


def _between(
    filters: Filters, *, since: datetime | None, until: datetime | None, after: tuple[Any, ...] | None
) -> Filters:
    filters.add_given("created_at >= {}", since)
    filters.add_given("created_at < {}", until)
    if after is not None:
        filters.add("(created_at, number) < ({}, {})", *after)
    return filters


def _either(meaning: Condition | None, ids: list[str]) -> Condition:
    one_of = "number = ANY({}::text[])"
    if meaning is None:
        return Condition(one_of, (ids,))
    text, values = meaning.indexed or (meaning.text, meaning.values)
    return Condition(
        f"({meaning.text} OR {one_of})",
        (*meaning.values, ids),
        indexed=(f"({text} OR {one_of})", (*values, ids)),
        common=meaning.common,
    )


def _joined(filters: Filters, wanted: Sequence[Condition]) -> str:
    """Write conditions with parameters of these filters."""
    return " AND ".join(each.text.format(*(filters.place(value) for value in each.values)) for each in wanted)


def _known(row: Record) -> _Known:
    return row["created_at"], row["number"]


async def _few(connection: Connection, wanted: Sequence[Condition]) -> list[_Known] | None:
    """Return the orders whose contact fits, None when they are many."""
    filters = Filters()
    indexed = [Condition(*each.indexed) for each in wanted if each.indexed is not None]
    statement = (
        f"SELECT number, created_at FROM order_contact WHERE {_joined(filters, [*indexed, *wanted])} LIMIT {_FEW + 1}"  # noqa: S608 - conditions are constants of ours
    )
    async with connection.transaction():
        # A limit would tempt the planner to read the table until enough have been met: of what nobody has, all of it.
        await connection.execute("SET LOCAL enable_seqscan = off")
        rows = await connection.fetch(statement, *filters.values)
    return None if len(rows) > _FEW else [_known(row) for row in rows]


async def _walk(
    connection: Connection, part: Filters, wanted: Sequence[Condition], many: int, window: str = "OFFSET 0"
) -> list[_Known]:
    """Return so many contacts that fit, the newest first: of the newest ``window`` of this part, or of all of it."""
    where, condition = part.where, _joined(part, wanted)
    statement = _WALK.format(where=where, order=_NEWEST_FIRST, window=window, wanted=condition, many=many)
    return [_known(row) for row in await connection.fetch(statement, *part.values)]


async def _newest(
    connection: Connection, known: Sequence[_Known], filters: Callable[[], Filters], limit: int
) -> list[Record]:
    """Return those of these orders that fit, the newest first. No more of them are read than it takes."""
    numbers = [number for _, number in sorted(set(known), reverse=True)]
    found: list[Record] = []
    read = limit
    while numbers and len(found) < limit:
        found += await _of(connection, numbers[:read], filters(), limit - len(found))
        numbers, read = numbers[read:], read * 4
    return found


async def _of(connection: Connection, numbers: Sequence[str], filters: Filters, limit: int) -> list[Record]:
    """Return those of these orders that fit, the newest first."""
    chosen = f"(SELECT * FROM orders WHERE number = ANY({filters.place(numbers)}::text[]) OFFSET 0) AS chosen"  # noqa: S608 - parameters only
    statement = f"SELECT * FROM {chosen} {filters.where} ORDER BY {_NEWEST_FIRST} LIMIT {filters.place(limit)}"  # noqa: S608 - constants and parameters
    return await connection.fetch(statement, *filters.values)
