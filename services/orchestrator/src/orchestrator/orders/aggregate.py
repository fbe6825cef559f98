"""Looks for orders whose stored aggregate state is not what is derived (M10), window by window, and has them derived again."""

from __future__ import annotations

from common.postgres import Database
from common.telemetry import get_logger
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.orders.measure import ask_to_derive

_log = get_logger()

# An order that is asked for already is no drift: its answer is on the way, committed together with what made it necessary.
_LOOK = """
SELECT o.number, o.aggregate_state <> order_aggregate_state(o.number, o.status)
       AND NOT EXISTS (SELECT FROM order_aggregate_change AS c WHERE c.order_number = o.number) AS drifted
FROM (SELECT number, status, aggregate_state FROM orders WHERE number > $1 ORDER BY number LIMIT $2) AS o
ORDER BY o.number
"""


class Drift:
    """Goes round all orders, ``window`` at a time. Each replica has a place of its own; looking twice does no harm."""

    def __init__(self, database: Database, metrics: OrchestratorMetrics, *, window: int = 500) -> None:
        self._database = database
        self._metrics = metrics
        self._window = window
        self._last = ""

    async def __call__(self) -> int:
        """Look at the next window; return how many orders had drifted."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_LOOK, self._last, self._window)
            drifted = [row["number"] for row in rows if row["drifted"]]
            if drifted:
                await ask_to_derive(connection, drifted)
        self._last = rows[-1]["number"] if len(rows) == self._window else ""
        self._metrics.checked.inc(len(rows))
        if drifted:
            self._metrics.drifted.inc(len(drifted))
            _log.error("aggregate_states_drifted", orders=len(drifted), first=drifted[0])
        return len(drifted)
