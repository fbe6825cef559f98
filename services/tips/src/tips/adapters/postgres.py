"""The orders database, through the one door that tips has into it: view ``tips_order``, function ``tips_set_sum``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

from common.errors import Unavailable
from common.postgres import Database, Record, worth_repeating
from tips.application.errors import OrderNotFinished, UnknownOrder
from tips.application.ports import Outcome, Written
from tips.domain.order import Applied, Choice, Order, TipsType

# Prepared once a connection by asyncpg; one round trip each.
_FIND = """
SELECT number, version, finished, finished_at, lower(payment_method) = ANY($2::text[]) AS cashless, refunded,
       tips_zeroed_at IS NOT NULL AS zeroed, currency, coalesce(cost_total, 0) AS cost, tips_amount, tips_held_amount,
       tips_feedback_at, tips_type, tips_choice, tips_done, 'order' = ANY(tips_seen) AS seen, zone, tariff
FROM tips_order WHERE number = $1
"""
_SET = "SELECT outcome, first_seen FROM tips_set_sum($1, $2, $3, $4, $5, $6, $7)"
_CHECK = """
SELECT has_function_privilege('tips_set_sum(text, bigint, bigint, text, text, timestamptz, boolean)', 'EXECUTE')
       AND NOT EXISTS (SELECT FROM tips_order WHERE false) AS allowed
"""


class PostgresOrders:
    """Port ``Orders`` on PostgreSQL.

    Every call is one statement under ``deadline`` seconds, the wait for a connection included: a stalled orders database costs the
    caller no more than that. ``observe`` gets the operation (``read``, ``update``) and its seconds, also of a failure (M18).
    ``cashless_methods``: the payment methods (lower case) that are cashless; an order with another or none is not.
    """

    def __init__(
        self,
        database: Database,
        *,
        cashless_methods: frozenset[str],
        deadline: float,
        observe: Callable[[str, float], None],
    ) -> None:
        self._database = database
        self._cashless_methods = sorted(cashless_methods)
        self._deadline = deadline
        self._observe = observe
        self._abandoned: set[asyncio.Task[Record | None]] = set()

    async def find(self, number: str) -> Order | None:
        """Read one order by its number, which is the primary key."""
        row = await self._fetch("read", _FIND, number, self._cashless_methods)
        return None if row is None else _order(row)

    async def set_tips(self, order: Order, *, amount: int, applied: Applied) -> Written:
        """Compare-and-set by version, decided by the function under the order's row lock."""
        row = await self._fetch(
            "update",
            _SET,
            order.number,
            order.version,
            amount,
            applied.type,
            applied.choice,
            applied.feedback_at,
            applied.done,
        )
        if row is None or row["outcome"] == "not_found":
            raise UnknownOrder(f"there is no order {order.number}")
        if row["outcome"] == "not_finished":
            raise OrderNotFinished(f"order {order.number} is not finished")
        return Written(Outcome(row["outcome"]), frozenset(row["first_seen"]))

    async def check(self) -> None:
        """Readiness: raises with the reason when the view cannot be read or the function not be called by this role."""
        row = await self._fetch("check", _CHECK)
        if row is None or not row["allowed"]:
            raise Unavailable("this role may not call tips_set_sum")

    async def _fetch(self, operation: str, query: str, *arguments: object) -> Record | None:
        started = perf_counter()
        task = asyncio.create_task(self._statement(query, *arguments))
        try:
            # Not a plain time-out: giving a hanging connection back waits for the server too, and nobody should wait for that.
            await asyncio.wait({task}, timeout=self._deadline)
        finally:
            self._observe(operation, perf_counter() - started)
            if not task.done():
                self._abandon(task)
        if not task.done():
            raise Unavailable(f"the orders database did not answer within {self._deadline:g} s", retry_after=1.0)
        try:
            return task.result()
        except Exception as error:
            if not worth_repeating(error):
                raise
            raise Unavailable(
                f"the orders database does not answer ({type(error).__name__})", retry_after=1.0
            ) from error

    async def _statement(self, query: str, *arguments: object) -> Record | None:
        async with self._database.acquire(timeout=self._deadline) as connection:
            return await connection.fetchrow(query, *arguments)

    def _abandon(self, task: asyncio.Task[Record | None]) -> None:
        """Cancel a statement and let it end by itself; whatever it ends with has nobody to tell."""
        self._abandoned.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: asyncio.Task[Record | None]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()


def _order(row: Record) -> Order:
    return Order(
        number=row["number"],
        version=row["version"],
        finished=row["finished"],
        finished_at=row["finished_at"],
        cashless=bool(row["cashless"]),
        refunded=row["refunded"],
        zeroed=row["zeroed"],
        currency=row["currency"],
        cost=row["cost"],
        tips=row["tips_amount"],
        held_sum=row["tips_held_amount"],
        applied=Applied(
            feedback_at=row["tips_feedback_at"],
            type=None if row["tips_type"] is None else TipsType(row["tips_type"]),
            choice=None if row["tips_choice"] is None else Choice(row["tips_choice"]),
            done=row["tips_done"],
        ),
        seen=row["seen"],
        zone=row["zone"],
        tariff=row["tariff"],
    )
