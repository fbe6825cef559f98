"""The inbox: which events a consumer has already processed."""

from __future__ import annotations

from collections.abc import Sequence

from common.postgres import Connection

_CLAIM = """
INSERT INTO inbox (consumer, event_id)
SELECT $1, id FROM unnest($2::text[]) AS id
ON CONFLICT DO NOTHING
RETURNING event_id
"""


async def claim(connection: Connection, consumer: str, event_ids: Sequence[str]) -> set[str]:
    """Return those ids that this consumer has not processed before, and mark them as processed.

    Call it inside the transaction of the events' effect: either both are committed or neither. Of two transactions that claim one id
    at once the second waits for the first, and gets it only if the first rolls back. Ids are inserted in sorted order so that
    two overlapping batches cannot deadlock.
    """
    rows = await connection.fetch(_CLAIM, consumer, sorted(set(event_ids)))
    return {row["event_id"] for row in rows}
