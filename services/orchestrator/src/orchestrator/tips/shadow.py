"""How well the tips service agrees with the caller's own rules: what each iteration's comparison found, of all replicas together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from common.clock import Clock
from common.http import Moment
from common.postgres import Connection, Database
from orchestrator.tips.model import Compared, Shadow

_DAYS = 7
_SHOWN = 50
_ADD = """
INSERT INTO tips_shadow AS s (number, first_at, last_at, compared, differed, failed, differed_at, decision, rule, own_amount,
    service_amount, own_hold, service_hold)
SELECT number, at, at, 1, differs::int, failed::int, CASE WHEN differs THEN at END, decision, rule, own_amount, service_amount, own_hold,
    service_hold
FROM unnest($1::text[], $2::timestamptz[], $3::boolean[], $4::boolean[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
    $9::boolean[], $10::boolean[])
    AS new (number, at, differs, failed, decision, rule, own_amount, service_amount, own_hold, service_hold)
ORDER BY number
ON CONFLICT (number) DO UPDATE SET
    last_at = greatest(s.last_at, excluded.last_at), compared = s.compared + 1, differed = s.differed + excluded.differed,
    failed = s.failed + excluded.failed, differed_at = coalesce(excluded.differed_at, s.differed_at),
    (decision, rule, own_amount, service_amount, own_hold, service_hold) = (
        SELECT CASE WHEN excluded.differed > 0 THEN excluded.decision ELSE s.decision END,
               CASE WHEN excluded.differed > 0 THEN excluded.rule ELSE s.rule END,
               CASE WHEN excluded.differed > 0 THEN excluded.own_amount ELSE s.own_amount END,
               CASE WHEN excluded.differed > 0 THEN excluded.service_amount ELSE s.service_amount END,
               CASE WHEN excluded.differed > 0 THEN excluded.own_hold ELSE s.own_hold END,
               CASE WHEN excluded.differed > 0 THEN excluded.service_hold ELSE s.service_hold END)
"""
_COUNT = """
SELECT count(*) AS compared, count(*) FILTER (WHERE compared > failed AND (differed_at >= $1) IS NOT TRUE) AS agreed,
       count(*) FILTER (WHERE differed_at >= $1) AS differed, count(*) FILTER (WHERE compared = failed) AS failed
FROM tips_shadow WHERE last_at >= $1
"""
_FIRST = "SELECT min(first_at) FROM tips_shadow"
_RULES = """
SELECT decision, rule, count(*) AS orders, max(differed_at) AS last_at FROM tips_shadow
WHERE differed_at >= $1 AND last_at >= $1 GROUP BY decision, rule ORDER BY orders DESC, decision, rule
"""
_DIFFERENCES = """
SELECT s.number AS order_number, s.differed_at, s.decision, s.rule, s.own_amount, s.service_amount, s.own_hold, s.service_hold, o.currency
FROM tips_shadow AS s LEFT JOIN orders AS o ON o.number = s.number
WHERE s.differed_at >= $1 AND s.last_at >= $1 ORDER BY s.differed_at DESC, s.number LIMIT $2
"""


class ShadowQuery(BaseModel):
    """From when on; without it the last seven days."""

    model_config = ConfigDict(extra="forbid")

    since: Moment | None = None


class RuleDiffered(BaseModel):
    """Orders of which the two disagreed, by what decided at the service when they did last."""

    decision: str = Field(description="`tips`: about the sum; `hold`: about the hold alone")
    rule: str | None = Field(description="the rule of the service that decided, as `explain` names it")
    orders: int
    last_at: datetime


class ShadowDifference(BaseModel):
    """The last difference of one order; sums in minor units."""

    order_number: str
    differed_at: datetime
    decision: str
    rule: str | None
    own_amount: int
    service_amount: int
    own_hold: bool
    service_hold: bool
    currency: str | None


class ShadowAgreement(BaseModel):
    """Orders that were compared since a moment, counted once each: `compared` is `agreed`, `differed` and `failed`.

    An order that ever differed has differed; one has failed of which every comparison did, for want of an answer.
    """

    since: datetime
    first_at: datetime | None = Field(description="the first comparison that is kept")
    compared: int
    agreed: int
    differed: int
    failed: int
    rules: list[RuleDiffered]
    differences: list[ShadowDifference] = Field(description="the newest fifty")


async def add_comparisons(connection: Connection, found: Sequence[tuple[str, datetime, Compared]]) -> None:
    """Count comparisons of orders, one of each, in the caller's transaction. Rows are locked in the order of the numbers."""
    if not found:
        return
    columns = zip(
        *(
            (
                number,
                at,
                each.result is Shadow.MISMATCH,
                each.result is Shadow.ERROR,
                each.decision,
                each.rule,
                each.own_amount,
                each.service_amount,
                each.own_hold,
                each.service_hold,
            )
            for number, at, each in found
        ),
        strict=True,
    )
    await connection.execute(_ADD, *columns)


async def agreement(database: Database, clock: Clock, query: ShadowQuery) -> ShadowAgreement:
    """Return how well the two agree."""
    since = query.since or clock.now() - timedelta(days=_DAYS)
    async with database.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        counted = await connection.fetchrow(_COUNT, since)
        first_at = await connection.fetchval(_FIRST)
        rules = await connection.fetch(_RULES, since)
        differences = await connection.fetch(_DIFFERENCES, since, _SHOWN)
    return ShadowAgreement.model_validate(
        {
            **dict(counted or {}),
            "since": since,
            "first_at": first_at,
            "rules": [dict(row) for row in rules],
            "differences": [dict(row) for row in differences],
        }
    )
