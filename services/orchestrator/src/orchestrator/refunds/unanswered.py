"""Names refunds that were asked for and that the refunds service has said nothing of: a restored backup may lack what was on its way."""

from __future__ import annotations

from common.postgres import Database
from common.service import Verdict, keep_verdict
from orchestrator.engine.model import REFUND_REQUEST

_LOOK = """
SELECT count(*) AS looked, count(*) FILTER (WHERE silent) AS found,
       (array_agg(key ORDER BY id) FILTER (WHERE silent))[1:20] AS keys, clock_timestamp() AS at
FROM (SELECT w.id, w.key, w.created_at < now() - interval '1 minute'
             AND NOT EXISTS (SELECT FROM order_refund AS r WHERE r.business_key = w.key) AS silent
      FROM workflow AS w WHERE w.kind = $1 AND w.state <> 3) AS asked
"""


async def look_for_unanswered(database: Database) -> None:
    """Keep the verdict ``refund-requests``: what is not answered a minute after it was asked for. Safe to run in every replica at once."""
    async with database.transaction() as connection:
        row = await connection.fetchrow(_LOOK, REFUND_REQUEST)
        assert row is not None  # noqa: S101 - it is an aggregate
        said = "every refund that was asked for is known to the refunds service"
        if row["found"]:
            said = "refunds that were asked for and not answered, by business key: " + ", ".join(row["keys"])
        verdict = Verdict(name="refund-requests", at=row["at"], found=row["found"], looked=row["looked"], detail=said)
        await keep_verdict(connection, verdict)
