"""Ends the problem of a report whose mail could not be sent, when nobody waits for it any longer."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from common.contracts.envelope import Envelope
from common.postgres import Connection
from webhook_gateway.rescue.alerts import report_no_longer_missing

_FAILED = """
SELECT r.id FROM endangered_reports AS r
WHERE r.state = 'failed' AND r.id IN (SELECT report_id FROM endangered_report_orders WHERE endangered_id = ANY($1))
ORDER BY r.id
"""
_WAITED_FOR = """
SELECT EXISTS (
    SELECT FROM endangered_orders AS e JOIN endangered_report_orders AS o ON o.endangered_id = e.id
    WHERE o.report_id = $1 AND e.state <> 'closed' AND e.reported_at IS NULL
)
"""


async def ended_report_problems(connection: Connection, orders: Sequence[uuid.UUID], *, at: datetime) -> list[Envelope]:
    """Return the ends of those of these endangered orders, to be published in the transaction that has reported or closed them.

    All orders of such a report are reported or closed by now.
    """
    ends: list[Envelope] = []
    for row in await connection.fetch(_FAILED, list(orders)):
        # Of two who see to its last two orders at once the second one sees what the first has done.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"report {row['id']}")
        if not await is_waited_for(connection, row["id"]):
            ends.append(report_no_longer_missing(str(row["id"]), at=at))
    return ends


async def is_waited_for(connection: Connection, report_id: uuid.UUID) -> bool:
    """Say whether an order of the report is neither reported nor closed."""
    waited_for: bool = await connection.fetchval(_WAITED_FOR, report_id)
    return waited_for
