"""Operators have aggregate states derived again: of one order, of many, of all (docs/requirements.md#recalculation)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from common.contracts.orders import OrderStatus
from common.errors import NotFound
from common.http import Bulk, BulkAnswer, BulkChange, BulkDone, BulkFilter, BulkItem, Change, ChangeAnswer, Moment
from common.postgres import Connection
from orchestrator.engine.model import ORDER_LIFE
from orchestrator.engine.search import Filters
from orchestrator.engine.select import OrderNumbers, Text
from orchestrator.engine.store import request_derivation
from orchestrator.orders.contacts import Condition, by_email, by_phone, by_words, telling_phone
from orchestrator.orders.fill_in import fill_in

_SHOWN = 100

# As everybody locks: the workflow before its order.
_LOCK_LIVES = "SELECT FROM workflow WHERE order_number = ANY($1::text[]) AND kind = $2 ORDER BY order_number, kind, key FOR NO KEY UPDATE"
_LOCK_ORDERS = (
    "SELECT number, aggregate_state FROM orders WHERE number = ANY($1::text[]) ORDER BY number FOR NO KEY UPDATE"
)
_LOCK_VERSIONS = """
SELECT number, (revision + tips_revision) || ':' || aggregate_state AS version FROM orders WHERE number = ANY($1::text[])
ORDER BY number FOR NO KEY UPDATE
"""
_DERIVE_MANY = """
WITH asked AS (DELETE FROM order_aggregate_change WHERE order_number = ANY($1::text[]))
UPDATE orders SET aggregate_state = order_aggregate_state(number, status) WHERE number = ANY($1::text[])
RETURNING number, aggregate_state
"""
_ASK_ALL = """
WITH asked AS (INSERT INTO order_aggregate_change (order_number) SELECT number FROM orders RETURNING 1)
SELECT count(*) FROM asked
"""
# All orders at once: one pass over both tables, never a look-up an order.
_DIFFERENCES = """
WITH troubled AS (
    SELECT order_number, bool_or(state = 4 OR failed_events > 0 AND state <> 2) AS crashed
    FROM workflow WHERE state IN (2, 4) OR failed_events > 0 GROUP BY order_number
), derived AS (
    SELECT o.number, o.aggregate_state AS before,
           CASE WHEN t.crashed THEN 'crashed' WHEN t.crashed IS NOT NULL THEN 'stopped' WHEN o.status = 'cancelled' THEN 'cancelled'
                WHEN o.status = 'delivered' THEN 'finished' ELSE 'in_progress' END AS after
    FROM orders AS o LEFT JOIN troubled AS t ON t.order_number = o.number
)
SELECT number, before, after, count(*) OVER () AS total, (SELECT count(*) FROM derived) AS orders
FROM derived WHERE before <> after ORDER BY number LIMIT $1
"""
_COUNT = "SELECT count(*) FROM orders"


class Recalculated(ChangeAnswer):
    """An order's aggregate state before and after. Nobody is told of it: it sums up what has been told."""

    number: str
    dry_run: bool
    before: str
    after: str


class OrderFilter(BulkFilter):
    """Which orders; all that is given has to hold. `since` and `until` bound when we learned of the order."""

    status: OrderStatus | None = None
    aggregate_state: Text | None = None
    source: Text | None = None
    store_id: Text | None = None
    external_id: Text | None = None
    payment_id: Text | None = None
    number: Text | None = None
    q: Text | None = None
    phone: Annotated[Text | None, AfterValidator(telling_phone)] = None
    email: Text | None = None
    since: Moment | None = None
    until: Moment | None = None


class RecalculateOrders(BulkChange[Text, OrderFilter]):
    """Which orders: by ids (their numbers) or by a filter, with a plan; or, without one, some `numbers`, or all."""

    numbers: OrderNumbers | None = None
    all: bool = False

    @model_validator(mode="after")
    def _either(self) -> Self:
        given = [self.ids is not None, self.filter is not None, self.numbers is not None, self.all]
        if sum(given) != 1 and not (sum(given) == 0 and self.plan is not None):
            raise ValueError("say which, in one way: ids, a filter, numbers, or all")
        return self


class RecalculatedOrder(BulkItem):
    """An order's aggregate state as stored and as derived; both null when there is no such order."""

    number: str | None = None
    before: str | None = None
    after: str | None = None


class OrdersRecalculated(BulkAnswer):
    """How many orders were looked at, how many were stored otherwise than derived, and which (of all: the first hundred).

    With `all` and no `dry_run` the orders were put into the change table, `queued`; a job works it off within minutes.
    """

    plan: str | None = None  # type: ignore[assignment]  # there is none of `numbers` and `all`
    matched: int = 0
    more: bool = False
    orders: int = 0
    differing: int = 0
    queued: int = 0
    items: list[RecalculatedOrder]  # type: ignore[assignment]  # narrower than the base's, and only ever read


async def recalculate_order(change: Change, number: str) -> Recalculated:
    """Derive one order's aggregate state again and record it; fill in whom it is for, if an earlier release did not know.

    Raises ``NotFound``.
    """
    await fill_in(change.connection, [number])
    ((_, before, after),) = await derive_again(change.connection, [number])
    if before is None or after is None:
        raise NotFound(f"there is no order {number}")
    await _record(change, f"order:{number}", before, after)
    return Recalculated(number=number, dry_run=change.dry_run, before=before, after=after)


async def recalculate_orders(change: Change, asked: RecalculateOrders) -> OrdersRecalculated:
    """Derive the named orders' states again and record each; of all orders, say what differs and have them derived by the job."""
    if asked.numbers is None:
        return await _recalculate_all(change)
    await fill_in(change.connection, asked.numbers)
    found = await derive_again(change.connection, list(dict.fromkeys(asked.numbers)))
    for number, before, after in found:
        if before is not None:
            await _record(change, f"order:{number}", before, after)
    items = [_item(*each) for each in found]
    differing = sum(item.before != item.after for item in items)
    return OrdersRecalculated(dry_run=change.dry_run, orders=len(items), differing=differing, items=items)


async def _recalculate_all(change: Change) -> OrdersRecalculated:
    orders, differing, found = await differences(change.connection, limit=_SHOWN)
    queued = 0 if change.dry_run else await request_all(change.connection)
    await _record(change, "orders:all", None, f"{queued} asked for")
    items = [_item(*each) for each in found]
    return OrdersRecalculated(dry_run=change.dry_run, orders=orders, differing=differing, queued=queued, items=items)


def _item(number: str, before: str | None, after: str | None) -> RecalculatedOrder:
    outcome = "not_found" if before is None else "recalculated"
    return RecalculatedOrder(id=number, version=None, outcome=outcome, number=number, before=before, after=after)


async def derive_again(connection: Connection, numbers: Sequence[str]) -> list[tuple[str, str | None, str | None]]:
    """Derive the aggregate states of these orders again; return each with its state before and after, None: unknown."""
    before = {row["number"]: row["aggregate_state"] for row in await connection.fetch(_LOCK_ORDERS, numbers)}
    known = sorted(before)
    await request_derivation(connection, known)
    after = {row["number"]: row["aggregate_state"] for row in await connection.fetch(_DERIVE_MANY, known)}
    return [(number, before.get(number), after.get(number)) for number in numbers]


async def differences(connection: Connection, *, limit: int) -> tuple[int, int, list[tuple[str, str, str]]]:
    """Return how many orders there are, how many of them are stored otherwise than derived, and the first of those."""
    rows = await connection.fetch(_DIFFERENCES, limit)
    if not rows:
        return await connection.fetchval(_COUNT), 0, []
    found = [(row["number"], row["before"], row["after"]) for row in rows]
    return rows[0]["orders"], rows[0]["total"], found


async def request_all(connection: Connection) -> int:
    """Put every order into the change table; the job works it off. Returns how many there are."""
    count: int = await connection.fetchval(_ASK_ALL)
    return count


async def _find(connection: Connection, wanted: OrderFilter, among: Sequence[str] | None, limit: int) -> Sequence[str]:
    filters = Filters()
    filters.add_given("aggregate_state = {}", wanted.aggregate_state)
    for column in ("status", "source", "store_id", "external_id", "payment_id", "number"):
        filters.add_given(f"{column} = {{}}", getattr(wanted, column))
    filters.add_given("created_at >= {}", wanted.since)
    filters.add_given("created_at < {}", wanted.until)
    filters.add_given("number = ANY({}::text[])", among)
    for said, by in ((wanted.phone, by_phone), (wanted.email, by_email)):
        if said is not None:
            _of_contact(filters, by(said))
    if wanted.q is not None:
        _of_contact(filters, by_words(wanted.q), or_id=wanted.q)
    query = f"SELECT number FROM orders {filters.where} ORDER BY created_at, number LIMIT {filters.place(limit)}"  # noqa: S608 - constants and parameters
    return [row["number"] for row in await connection.fetch(query, *filters.values)]


def _of_contact(filters: Filters, meaning: Condition | None, *, or_id: str | None = None) -> None:
    """Whose contact fits, now or ever; or whose number or external id it is."""
    either: list[str] = []
    values: list[str | list[str]] = []
    if meaning is not None:
        indexed = "true" if meaning.indexed is None else meaning.indexed[0]
        either.append(f"number IN (SELECT number FROM order_contact WHERE {indexed} AND {meaning.text})")  # noqa: S608 - constants of ours
        values += [*(() if meaning.indexed is None else meaning.indexed[1]), *meaning.values]
    if or_id is not None:
        either += ["number = upper({})", "external_id = {}"]
        values += [or_id, or_id]
    filters.add(f"({' OR '.join(either)})", *values)


async def _lock(connection: Connection, numbers: Sequence[str]) -> Mapping[str, str]:
    await connection.execute(_LOCK_LIVES, numbers, ORDER_LIFE)
    return {row["number"]: row["version"] for row in await connection.fetch(_LOCK_VERSIONS, numbers)}


async def _derive(change: Change, number: str) -> BulkDone:
    found = await recalculate_order(change, number)
    said = {"number": number, "before": found.before, "after": found.after}
    return BulkDone(outcome="recalculated", extra=said)


RECALCULATE: Bulk[str] = Bulk(
    operation="order.recalculate", find=_find, lock=_lock, work=_derive, answer=OrdersRecalculated
)
"""Derives the states of orders again, chosen by ids or a filter."""


async def _record(change: Change, target: str, before: str | None, after: str | None) -> None:
    await change.record(
        "order.recalculate", target, before={"aggregate_state": before}, after={"aggregate_state": after}
    )
