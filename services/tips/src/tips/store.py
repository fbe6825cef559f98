"""The orders database, through the one door that tips has into it: view ``tips_order``, function ``tips_set_sum``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic

import asyncpg

from common.errors import Unavailable
from common.postgres import Database, Record, worth_repeating
from tips.batched_reads import OrderReads
from tips.errors import OrderNotFinished, TooLate, UnknownOrder
from tips.overload.bulkhead import Compartment
from tips.ports import Outcome, Place, Written
from tips.rules.constants import RuleBook
from tips.rules.order import Applied, Choice, Order, TipsType

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


class PostgresOrders:
    """Port ``Orders`` on PostgreSQL.

    Every call is one statement, or a part of one that reads several orders. It takes at most ``deadline`` seconds, or what its caller
    has left; at most ``wait`` of them go by waiting for a connection. A write that its caller no longer waits for goes on until
    ``deadline``, and what it then turns out to have done is counted. ``observe`` gets the operation (``read``, ``update``,
    ``refunded``, ``check``) and its seconds, also of a failure (M18).
    """

    def __init__(
        self,
        database: Database,
        *,
        book: RuleBook,
        deadline: float,
        wait: float,
        compartment: Compartment,
        observe: Callable[[str, float], None],
    ) -> None:
        self._database = database
        self._book = book
        self._deadline = deadline
        self._wait = wait
        self._compartment = compartment
        self._observe = observe
        self._abandoned: set[asyncio.Task[list[Record]]] = set()
        self._reads = OrderReads(self._read)

    async def find(self, number: str, *, until: float) -> Order | None:
        """Read one order by its number, which is the primary key; see ``OrderReads``."""
        started = monotonic()
        left = min(self._deadline, until - started)
        if left <= 0:
            raise TooLate("no time was left for the orders database", retry_after=1.0)
        self._compartment.enter()
        answered = False
        try:
            row = await self._reads.find(number, seconds=left)
            answered = True
        finally:
            waited = monotonic() - started
            self._observe("read", waited)
            self._compartment.leave(answered=answered, waited=waited)
        return None if row is None else self._order(row)

    async def set_tips(
        self, order: Order, *, amount: int, applied: Applied, until: float, late: Callable[[Written], None]
    ) -> Written:
        """Compare-and-set by version, decided by the function under the order's row lock."""
        rows = await self._fetch(
            "update",
            until,
            _SET,
            order.number,
            order.version,
            amount,
            applied.type,
            applied.choice,
            applied.feedback_at,
            applied.done,
            late=lambda rows: late(_written(rows[0])),
        )
        row = rows[0]
        if row["outcome"] == "not_found":
            raise UnknownOrder(f"there is no order {order.number}")
        if row["outcome"] == "not_finished":
            raise OrderNotFinished(f"order {order.number} is not finished")
        return _written(row)

    async def take_refunded(self) -> tuple[tuple[Place, ...], bool]:
        """Take up to a hundred; the rows are short locked, in the order of their numbers."""
        rows = await self._fetch("refunded", monotonic() + self._deadline, _TAKE_REFUNDED, _AT_A_TIME)
        places = tuple(Place(row["zone"], row["tariff"]) for row in rows if row["zone"] is not None)
        return places, rows[-1]["looked_at"] >= _AT_A_TIME

    async def check(self) -> None:
        """Readiness: raises with the reason when the view cannot be read or a function not be called by this role."""
        rows = await self._fetch("check", monotonic() + self._deadline, _CHECK)
        if not rows[0]["allowed"]:
            raise Unavailable("this role may not call tips_set_sum and tips_take_refunded")

    async def _fetch(
        self,
        operation: str,
        until: float,
        query: str,
        *arguments: object,
        late: Callable[[list[Record]], None] | None = None,
    ) -> list[Record]:
        started = monotonic()
        left = min(self._deadline, until - started)
        if left <= 0:
            raise TooLate("no time was left for the orders database", retry_after=1.0)
        if operation != "check":  # what tells whether the database is back must not wait until it is
            self._compartment.enter()
        answered = False
        try:
            rows = await self._bounded(left, query, *arguments, longer=self._deadline - left, late=late)
            answered = True
        except asyncpg.PostgresError as error:
            answered = not worth_repeating(error)
            raise _unavailable(error) from error
        except (asyncpg.InterfaceError, OSError) as error:
            raise _unavailable(error) from error
        else:
            return rows
        finally:
            waited = monotonic() - started
            self._observe(operation, waited)
            if operation != "check":
                self._compartment.leave(answered=answered, waited=waited)

    async def _statement(self, query: str, *arguments: object) -> list[Record]:
        async with self._database.acquire(timeout=self._wait) as connection:
            rows: list[Record] = await connection.fetch(query, *arguments)
            return rows

    async def _read(self, numbers: Sequence[str]) -> list[Record]:
        """Read the rows of some orders. A connection that does not answer is given up here, and given back by itself."""
        try:
            return await self._bounded(self._deadline, _FIND, numbers)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise _unavailable(error) from error

    async def _bounded(
        self,
        seconds: float,
        query: str,
        *arguments: object,
        longer: float = 0.0,
        late: Callable[[list[Record]], None] | None = None,
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

    def _abandon(
        self, task: asyncio.Task[list[Record]], *, after: float, late: Callable[[list[Record]], None] | None
    ) -> None:
        """Let a statement end by itself, or be cancelled in ``after`` seconds; an answer that comes meanwhile is told to ``late``."""
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
        cashless = method is not None and method.lower() in self._book.rules_for(zone, tariff).cashless_methods
        return Order(
            number=row["number"],
            version=row["version"],
            finished=row["finished"],
            finished_at=row["finished_at"],
            cashless=cashless,
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
            zone=zone,
            tariff=tariff,
        )


def _written(row: Record) -> Written:
    outcome = row["outcome"]
    # What the outside may not learn any more (unknown, unfinished) wrote nothing, as a stale version does.
    return Written(Outcome(outcome) if outcome in _OUTCOMES else Outcome.STALE_VERSION, frozenset(row["first_seen"]))


def _unavailable(error: Exception) -> Exception:
    if not worth_repeating(error):
        return error
    return Unavailable(f"the orders database does not answer ({type(error).__name__})", retry_after=1.0)
