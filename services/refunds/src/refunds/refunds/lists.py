"""Lists of refunds for operators, and the counts for the gauges."""

from __future__ import annotations

from uuid import UUID

from common.postgres import Database
from refunds.refunds.model import Refund
from refunds.refunds.statements import SELECT
from refunds.refunds.states import RefundState
from refunds.refunds.store import refund_of

PAGE = f"""
{SELECT}
WHERE ($1::smallint IS NULL OR state = $1) AND ($2::text IS NULL OR order_number = $2) AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4
"""
IN_ERROR = f"""
{SELECT}
WHERE state = {RefundState.ERROR:d} AND ($1::text IS NULL OR order_number = $1) AND ($2::text IS NULL OR error = $2)
ORDER BY id LIMIT $3
"""
UNFINISHED = """
SELECT state, count(*) AS refunds, extract(epoch FROM now() - min(state_since))::float8 AS oldest
FROM refunds WHERE state NOT IN (5, 9, 10, 11) GROUP BY state
"""


async def find_page(
    database: Database, *, state: int | None, order: str | None, before: UUID | None, limit: int
) -> list[Refund]:
    """Return refunds, newest first, from before the given id."""
    async with database.acquire() as connection:
        rows = await connection.fetch(PAGE, state, order, before, limit)
    return [refund_of(row) for row in rows]


async def find_in_error(database: Database, *, order: str | None, error: str | None, limit: int) -> list[Refund]:
    """Return refunds in RS_ERROR, oldest first."""
    async with database.acquire() as connection:
        rows = await connection.fetch(IN_ERROR, order, error, limit)
    return [refund_of(row) for row in rows]


async def count_unfinished(database: Database) -> dict[int, tuple[int, float]]:
    """Return (number, age of the oldest in seconds) of the refunds that are not over, by state; cheap however many are over."""
    async with database.acquire() as connection:
        rows = await connection.fetch(UNFINISHED)
    return {row["state"]: (row["refunds"], row["oldest"]) for row in rows}
