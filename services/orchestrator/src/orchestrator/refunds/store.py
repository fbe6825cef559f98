"""Reads of the workflows beyond an order's life: documents and refunds that were asked for."""

from __future__ import annotations

from collections.abc import Sequence

from common.postgres import Connection, Database, Record
from orchestrator.engine.model import REFUND_REQUEST
from orchestrator.refunds.follow import KnownRefund

_LATEST = """
SELECT DISTINCT ON (order_number) order_number, version, digest FROM order_document
WHERE order_number = ANY($1::text[]) ORDER BY order_number, version DESC
"""
_REFUNDS = """
SELECT k.key, q.requested_at, q.rejected IS NOT NULL AS rejected, r.state_name
FROM unnest($1::text[]) AS k (key)
LEFT JOIN refund_request AS q ON q.business_key = k.key
LEFT JOIN LATERAL (SELECT state_name FROM order_refund WHERE business_key = k.key ORDER BY updated_at DESC LIMIT 1) AS r ON true
"""
_FOLLOWED = f"""
SELECT w.order_number, w.key FROM workflow AS w
JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS u (number, key)) AS g
  ON w.order_number = g.number AND w.kind = '{REFUND_REQUEST}' AND w.key = g.key
"""  # noqa: S608 - a constant of ours
_DOCUMENTS = """
SELECT order_number, version, digest, content_type, content, order_revision, issued_at, issued_by, reason FROM order_document
WHERE order_number = $1 AND ($2::integer IS NULL OR version = $2) ORDER BY version DESC LIMIT 1
"""
_VERSIONS = """
SELECT version, digest, issued_at, issued_by, reason FROM order_document
WHERE order_number = $1 AND ($2::integer IS NULL OR version < $2) ORDER BY version DESC LIMIT $3
"""
_REQUESTS = """
SELECT q.*, r.refund_id, r.state_name, r.amount AS refund_amount
FROM refund_request AS q
LEFT JOIN LATERAL (SELECT * FROM order_refund WHERE business_key = q.business_key ORDER BY updated_at DESC LIMIT 1) AS r ON true
WHERE q.order_number = $1 ORDER BY q.requested_at, q.business_key LIMIT 200
"""
_KNOWN = "SELECT true FROM orders WHERE number = $1"
_TRANSACTIONS = "SELECT * FROM order_transactions WHERE number = $1"


class PostgresLifeReader:
    """The ``RefundReader`` and the ``DocumentReader``, and what operators look up."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def latest(self, numbers: Sequence[str]) -> dict[str, tuple[int, str]]:
        """See the port."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_LATEST, numbers)
        return {row["order_number"]: (row["version"], row["digest"]) for row in rows}

    async def refunds(self, keys: Sequence[str]) -> dict[str, KnownRefund]:
        """See the port."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_REFUNDS, keys)
        return {row["key"]: KnownRefund(row["requested_at"], row["state_name"], row["rejected"]) for row in rows}

    async def document(self, number: str, version: int | None) -> Record | None:
        """Return one version of an order's document, the newest if none is named."""
        async with self._database.acquire() as connection:
            return await connection.fetchrow(_DOCUMENTS, number, version)

    async def document_versions(self, number: str, *, before: int | None, limit: int) -> list[Record] | None:
        """Return the versions of an order's document, the newest first, one row more than ``limit`` when there is more."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_VERSIONS, number, before, limit + 1)
            return await _of_known(connection, number, rows)

    async def refund_requests(self, number: str) -> list[Record] | None:
        """Return the refunds that were asked for, the oldest first; at most 200."""
        async with self._database.acquire() as connection:
            return await _of_known(connection, number, await connection.fetch(_REQUESTS, number))

    async def transactions(self, number: str) -> Record | None:
        """Return what ``update_transactions`` worked out last."""
        async with self._database.acquire() as connection:
            return await connection.fetchrow(_TRANSACTIONS, number)


async def followed(connection: Connection, pairs: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those (order number, business key) for which a ``refund_request`` workflow exists, in the caller's transaction."""
    rows = await connection.fetch(_FOLLOWED, [number for number, _ in pairs], [key for _, key in pairs])
    return {(row["order_number"], row["key"]) for row in rows}


async def _of_known(connection: Connection, number: str, rows: list[Record]) -> list[Record] | None:
    """Return the rows; None where there are none because there is no such order."""
    return rows if rows or await connection.fetchval(_KNOWN, number) else None
