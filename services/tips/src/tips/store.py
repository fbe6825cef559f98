"""The orders database, as far as tips may see it: the view ``tips_order`` and two functions, under a role that may do nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic

import asyncpg

from common.errors import Unavailable
from common.postgres import Database, Record, is_transient, member
from tips.batched_reads import BatchedReads
from tips.errors import OrderNotFinished, TooLate, UnknownOrder
from tips.metrics import TipsMetrics
from tips.overload.bulkhead import Bulkhead
from tips.rules.constants import RuleBook
from tips.rules.order import Applied, Choice, Order, TipsType
from tips.rules.write import Outcome, Plan, Written

# Prepared once a connection by asyncpg; one round trip each.
_FIND = """
SELECT number, version, finished, finished_at, payment_method, refunded, tips_zeroed_at IS NOT NULL AS zeroed, currency,
       coalesce(cost_total, 0) AS cost, tips_amount, tips_held_amount, tips_feedback_at, tips_type, tips_choice, tips_done,
       'order' = ANY(tips_seen) AS seen, zone, tariff
FROM tips_order WHERE number = ANY($1::text[])
"""
_SET = "SELECT outcome, first_seen FROM tips_set_sum($1, $2, $3, $4, $5, $6, $7)"
_TAKE_REFUNDED = "SELECT zone, tariff, looked_at FROM tips_take_refunded($1)"
_CHECK = """
SELECT has_function_privilege('tips_set_sum(text, bigint, bigint, text, text, timestamptz, boolean)', 'EXECUTE')
       AND has_function_privilege('tips_take_refunded(integer)', 'EXECUTE')
       AND NOT EXISTS (SELECT FROM tips_order WHERE false) AS allowed
"""
_AT_A_TIME = 100
_OUTCOMES = frozenset(Outcome)

_Late = Callable[[list[Record]], None]


class TipsStore:
    """Reads orders and sets their tips.

    Every call is one statement, or a part of one that reads several orders. It takes at most ``deadline`` seconds, or what its caller
    has left until ``until``, a moment of ``time.monotonic()``; at most ``wait`` of them go by waiting for a connection. A call raises
    ``TooLate`` when that time is over, ``Overloaded`` when the bulkhead lets nobody in, ``Unavailable`` when the database is away.
    """

    def __init__(
        self,
        database: Database,
        *,
        book: RuleBook,
        deadline: float,
        wait: float,
        bulkhead: Bulkhead,
        metrics: TipsMetrics,
    ) -> None:
        self._database = database
        self._book = book
        self._deadline = deadline
        self._wait = wait
        self._bulkhead = bulkhead
        self._metrics = metrics
        self._abandoned: set[asyncio.Task[list[Record]]] = set()
        self._reads = BatchedReads(partial(self._bounded, deadline, _FIND))

    async def find(self, number: str, *, until: float) -> Order:
        """Read one order by its number, as it is now or later. Raises ``UnknownOrder``."""
        started = monotonic()
        left = self._time_left(started, until)
        self._bulkhead.enter(started)
        answered = False
        try:
            row = await self._reads.find(number, seconds=left)
            answered = True
        finally:
            self._leave("read", started, answered=answered)
        if row is None:
            raise UnknownOrder(f"there is no order {number}")
        return self._order(row)

    async def set_tips(self, order: Order, plan: Plan, *, until: float, late: Callable[[Written], None]) -> Written:
        """Set the tips if the order still has the version that was read; the database decides under the order's row lock.

        A write that its caller no longer waits for goes on until ``deadline``, and ``late`` is called with what came of it: after
        ``Unavailable`` it may have happened. It is an absolute value, so asking again is safe. Raises ``UnknownOrder`` or
        ``OrderNotFinished`` when the order has become that.
        """
        applied = plan.applied
        kept = (applied.type, applied.choice, applied.feedback_at, applied.done)
        arguments = (order.number, order.version, plan.amount, *kept)
        rows = await self._fetch("update", until, _SET, *arguments, late=lambda rows: late(_written(rows[0])))
        outcome = rows[0]["outcome"]
        if outcome == "not_found":
            raise UnknownOrder(f"there is no order {order.number}")
        if outcome == "not_finished":
            raise OrderNotFinished(f"order {order.number} is not finished")
        return _written(rows[0])

    async def take_refunded(self) -> tuple[list[tuple[str, str]], bool]:
        """Return zone and tariff of orders whose tips have gone with a refund, and whether there may be more.

        Two callers never get the same order: up to a hundred rows are shortly locked, in the order of their numbers. Who dies after
        this call has counted less than happened, never more.
        """
        rows = await self._fetch("refunded", monotonic() + self._deadline, _TAKE_REFUNDED, _AT_A_TIME)
        places = [(row["zone"], row["tariff"]) for row in rows if row["zone"] is not None]
        return places, rows[-1]["looked_at"] >= _AT_A_TIME

    async def check(self) -> None:
        """Readiness: raises with the reason when the view cannot be read or a function not be called by this role."""
        started = monotonic()
        try:
            # Past the bulkhead: what shows whether the database is back must not wait until it is.
            rows = await self._bounded(self._deadline, _CHECK)
        finally:
            self._metrics.observe_database("check", monotonic() - started)
        if not rows[0]["allowed"]:
            raise Unavailable("this role may not call tips_set_sum and tips_take_refunded")

    def _time_left(self, started: float, until: float) -> float:
        left = min(self._deadline, until - started)
        if left <= 0:
            raise TooLate("no time was left for the orders database", retry_after=1.0)
        return left

    def _leave(self, operation: str, started: float, *, answered: bool) -> None:
        now = monotonic()
        self._metrics.observe_database(operation, now - started)
        self._bulkhead.leave(now, waited=now - started, answered=answered)

    async def _fetch(
        self, operation: str, until: float, query: str, *arguments: object, late: _Late | None = None
    ) -> list[Record]:
        started = monotonic()
        left = self._time_left(started, until)
        self._bulkhead.enter(started)
        answered = False
        try:
            rows = await self._bounded(left, query, *arguments, longer=self._deadline - left, late=late)
            answered = True
        except asyncpg.PostgresError:
            answered = True  # it has answered: what is no answer came as Unavailable
            raise
        else:
            return rows
        finally:
            self._leave(operation, started, answered=answered)

    async def _bounded(
        self, seconds: float, query: str, *arguments: object, longer: float = 0.0, late: _Late | None = None
    ) -> list[Record]:
        """Run a statement. Raises ``TooLate`` after ``seconds``; then it goes on by itself for ``longer`` seconds at most."""
        task = asyncio.create_task(self._statement(query, *arguments))
        try:
            # Not a plain time-out: giving a hanging connection back waits for the server too, and nobody should wait for that.
            await asyncio.wait((task,), timeout=seconds)
            if task.done():
                return task.result()
            raise TooLate(f"the orders database did not answer within {seconds:.3g} s", retry_after=1.0)
        finally:
            if not task.done():
                self._abandon(task, after=longer, late=late)

    async def _statement(self, query: str, *arguments: object) -> list[Record]:
        try:
            async with self._database.acquire(timeout=self._wait) as connection:
                rows: list[Record] = await connection.fetch(query, *arguments)
                return rows
        except Exception as error:
            if not is_transient(error):
                raise
            name = type(error).__name__
            raise Unavailable(f"the orders database does not answer ({name})", retry_after=1.0) from error

    def _abandon(self, task: asyncio.Task[list[Record]], *, after: float, late: _Late | None) -> None:
        """Let a statement end by itself, or be cancelled in ``after`` seconds; ``late`` is called with an answer that comes meanwhile."""
        self._abandoned.add(task)
        end = asyncio.get_running_loop().call_later(after, task.cancel)

        def forget(done: asyncio.Task[list[Record]]) -> None:
            end.cancel()
            self._abandoned.discard(done)
            if not done.cancelled() and done.exception() is None and late is not None:
                late(done.result())

        task.add_done_callback(forget)

    def _order(self, row: Record) -> Order:
        zone, tariff, method = row["zone"], row["tariff"], row["payment_method"]
        return Order(
            number=row["number"],
            version=row["version"],
            finished=row["finished"],
            finished_at=row["finished_at"],
            cashless=method is not None and method.lower() in self._book.rules_for(zone, tariff).cashless_methods,
            refunded=row["refunded"],
            zeroed=row["zeroed"],
            currency=row["currency"],
            cost=row["cost"],
            tips=row["tips_amount"],
            held_sum=row["tips_held_amount"],
            applied=Applied(
                feedback_at=row["tips_feedback_at"],
                type=None if row["tips_type"] is None else member(TipsType, row["tips_type"]),
                choice=None if row["tips_choice"] is None else member(Choice, row["tips_choice"]),
                done=row["tips_done"],
            ),
            seen=row["seen"],
            zone=zone,
            tariff=tariff,
        )


def _written(row: Record) -> Written:
    outcome = row["outcome"]
    # What the caller does not get any more (unknown, unfinished) wrote nothing, as a stale version does.
    return Written(Outcome(outcome) if outcome in _OUTCOMES else Outcome.STALE_VERSION, frozenset(row["first_seen"]))
