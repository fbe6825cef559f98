"""Gives deliveries that the release before recorded their digests, so that they too are found by their customer, and erased."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from common.postgres import Connection, Database, Record
from common.service import in_halves, kept_apart
from webhook_gateway.deliveries.digests import PeopleDigests, array_text

_BATCH = 500
_OLD = """
SELECT delivery_id, received_at, body, body_form FROM deliveries
WHERE people IS NULL AND 'delivery ' || delivery_id <> ALL($2::text[])
ORDER BY received_at DESC LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
"""
_SET = """
UPDATE deliveries AS d SET people = new.people::bigint[]
FROM unnest($1::timestamptz[], $2::uuid[], $3::text[]) AS new (received_at, delivery_id, people)
WHERE d.received_at = new.received_at AND d.delivery_id = new.delivery_id
"""


class DigestOld:
    """A job: one batch a round, the newest first; of many replicas each takes rows of its own. It finds nothing once all are done."""

    def __init__(self, database: Database, digests: PeopleDigests) -> None:
        self._database = database
        self._digests = digests

    async def __call__(self) -> int:
        """Digest a batch; return how many rows it was."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_OLD, _BATCH, kept_apart())
            digest = partial(self._digest, connection)
            return sum(
                await in_halves(rows, digest, name=lambda row: f"delivery {row['delivery_id']}", within=connection)
            )

    async def _digest(self, connection: Connection, rows: Sequence[Record]) -> int:
        found = [array_text(self._digests.of_body(row["body"], form=row["body_form"])) for row in rows]
        at, ids = [row["received_at"] for row in rows], [row["delivery_id"] for row in rows]
        await connection.execute(_SET, at, ids, found)
        return len(rows)
