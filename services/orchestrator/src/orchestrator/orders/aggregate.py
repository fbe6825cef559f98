"""Aggregate states of orders: derived from status and workflows through a change table, and compared with what is stored.

The rule is the SQL function ``order_aggregate_state`` (migrations/0101_pre_workflows.sql); docs/requirements.md#recalculation says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from common.postgres import Connection, Database, Record
from common.service import Verdict, in_halves, keep_verdict, kept_apart
from common.telemetry import get_logger
from orchestrator.engine.store import request_derivation
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.orders.fill_in import LACKING, fill_in

_log = get_logger()

_ANY_ASKED = "SELECT EXISTS (SELECT FROM order_aggregate_change)"
_ASKED = """
SELECT order_number, array_agg(id) AS ids FROM (
    SELECT id, order_number FROM order_aggregate_change WHERE order_number <> ALL($2::text[]) ORDER BY id LIMIT $1
    FOR UPDATE SKIP LOCKED
) AS asked GROUP BY order_number
"""
# The rows asked for are gone with the same statement that answers them; orders are locked in the order of their numbers.
_DERIVE = """
WITH asked AS (
    DELETE FROM order_aggregate_change WHERE id = ANY($1::bigint[]) RETURNING order_number
), target AS (
    SELECT number FROM orders WHERE number IN (SELECT order_number FROM asked) ORDER BY number FOR NO KEY UPDATE
), derived AS (
    UPDATE orders AS o SET aggregate_state = order_aggregate_state(o.number, o.status)
      FROM target AS t WHERE o.number = t.number
       AND o.aggregate_state IS DISTINCT FROM order_aggregate_state(o.number, o.status)
    RETURNING 1
)
SELECT count(*) FROM derived
"""

_WINDOW = "SELECT number FROM orders WHERE number > $1 ORDER BY number LIMIT $2"
# An order that is asked for already is no drift: its answer is on the way, committed together with what made it necessary.
_LOOK = f"""
SELECT o.number, o.aggregate_state <> order_aggregate_state(o.number, o.status)
       AND NOT EXISTS (SELECT FROM order_aggregate_change AS c WHERE c.order_number = o.number) AS drifted,
       {LACKING} AS lacking
FROM (SELECT number, status, aggregate_state, document FROM orders WHERE number = ANY($1::text[])) AS o
ORDER BY o.number
"""  # noqa: S608 - a constant


async def derive_aggregates(database: Database, *, limit: int = 500, batches: int = 20) -> int:
    """Work off the change table, some batches of it; return how many orders' aggregate states became others."""
    changed = 0
    async with database.acquire() as connection:  # asked every second, nearly always in vain
        if not await connection.fetchval(_ANY_ASKED):
            return 0
    for _ in range(batches):
        async with database.transaction() as connection:
            rows = await connection.fetch(_ASKED, limit, kept_apart())
            ids = {row["order_number"]: row["ids"] for row in rows}
            derive = partial(_derive, connection, ids)
            changed += sum(await in_halves(sorted(ids), derive, within=connection))
        if not rows:
            break
    return changed


async def _derive(connection: Connection, ids: Mapping[str, Sequence[int]], orders: Sequence[str]) -> int:
    return int(await connection.fetchval(_DERIVE, [each for order in orders for each in ids[order]]))


class Drift:
    """Goes round all orders, ``window`` at a time. Each replica has a place of its own; looking twice does no harm.

    Orders of an earlier release, which knew no customers, are filled in on the way.
    """

    def __init__(self, database: Database, metrics: OrchestratorMetrics, *, window: int = 500) -> None:
        self._database = database
        self._metrics = metrics
        self._window = window
        self._last = ""
        self._looked = self._wrong = 0

    async def __call__(self) -> int:
        """Look at the next window; return how many orders had drifted."""
        async with self._database.acquire() as connection:
            numbers = [row["number"] for row in await connection.fetch(_WINDOW, self._last, self._window)]
        looked_at = await in_halves(numbers, self._look, but=kept_apart())
        rows = [row for found in looked_at for row in found]
        drifted = [row["number"] for row in rows if row["drifted"]]
        self._last = numbers[-1] if len(numbers) == self._window else ""
        self._looked += len(rows)
        self._wrong += len(drifted)
        if not self._last:
            await self._keep_verdict()
        self._metrics.checked.inc(len(rows))
        if drifted:
            self._metrics.drifted.inc(len(drifted))
            _log.error("aggregate_states_drifted", orders=len(drifted), first=drifted[0])
        return len(drifted)

    async def _look(self, numbers: Sequence[str]) -> Sequence[Record]:
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_LOOK, numbers)
            # In the same try: an order that succeeded at being looked at would be counted anew each time this fails.
            if lacking := [row["number"] for row in rows if row["lacking"]]:
                await fill_in(connection, lacking)
            if drifted := [row["number"] for row in rows if row["drifted"]]:
                await request_derivation(connection, drifted)
        return rows

    async def _keep_verdict(self) -> None:
        """Keep what the round that ends here found."""
        words = "orders whose stored state is not what their events give, in the last round over all"
        async with self._database.transaction() as connection:
            now = await connection.fetchval("SELECT clock_timestamp()")
            await keep_verdict(
                connection, Verdict(name="orders", at=now, found=self._wrong, looked=self._looked, detail=words)
            )
        self._looked = self._wrong = 0
