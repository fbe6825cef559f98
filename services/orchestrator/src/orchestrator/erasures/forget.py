"""Forgets the customers of orders that are old enough, by themselves: a job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from common.clock import Clock
from common.postgres import Database
from common.service import in_halves, kept_apart
from common.telemetry import get_logger
from orchestrator.erasures.places import erase_orders

_log = get_logger()

_BATCH = 100
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('orchestrator.forget_customers'))"
_OLD = """
SELECT DISTINCT number FROM (SELECT number FROM order_contact WHERE created_at < $1 AND number <> ALL($3::text[])
ORDER BY created_at LIMIT $2) AS old
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetCustomers:
    """Blanks the customers of orders that are older than ``keep``, in small transactions; one replica works at a time."""

    database: Database
    keep: timedelta
    clock: Clock

    async def __call__(self) -> int:
        """Forget whoever is due; return of how many orders."""
        total = 0
        while True:
            async with self.database.transaction() as connection:
                if not await connection.fetchval(_LOCK):
                    return total
                before = self.clock.now() - self.keep
                rows = await connection.fetch(_OLD, before, _BATCH, kept_apart())
                numbers = sorted(row["number"] for row in rows)
                if not numbers:
                    return total
                await in_halves(numbers, partial(erase_orders, connection), within=connection)
            total += len(set(numbers).difference(kept_apart()))
            _log.info("customers_forgotten", orders=total)
