"""Documents of orders in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.postgres import Connection, Database, Record
from orchestrator.documents.model import Document
from orchestrator.engine.append import columns

_LATEST = """
SELECT DISTINCT ON (order_number) order_number, version, digest FROM order_document
WHERE order_number = ANY($1::text[]) ORDER BY order_number, version DESC
"""
_ONE = """
SELECT order_number, version, digest, content_type, content, order_revision, issued_at, issued_by, reason FROM order_document
WHERE order_number = $1 AND ($2::integer IS NULL OR version = $2) ORDER BY version DESC LIMIT 1
"""
_VERSIONS = """
SELECT version, digest, issued_at, issued_by, reason FROM order_document
WHERE order_number = $1 AND ($2::bigint IS NULL OR version < $2) ORDER BY version DESC LIMIT $3
"""
_KNOWN = "SELECT true FROM orders WHERE number = $1"
_STATUS = """
SELECT o.closed AND o.status <> 'cancelled' AS closed,
       coalesce((SELECT max(version) FROM order_document WHERE order_number = o.number), 0) AS version,
       (SELECT w.state FROM workflow AS w WHERE w.order_number = o.number AND w.kind = 'order_document' AND w.key = '') AS workflow
FROM orders AS o WHERE o.number = $1
"""
_INSERT = """
INSERT INTO order_document (order_number, version, digest, content_type, content, order_revision, issued_at, issued_by, reason)
SELECT * FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[], $8::text[],
                     $9::text[])
"""


def select_versions(number: str, after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
    """Return the statement of the versions of an order's document, the newest first, below the position, and its values."""
    return _VERSIONS, [number, None if after is None else after[0], limit]


class DocumentStore:
    """Reads documents."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def latest(self, numbers: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return version and digest of each order's newest document, where there is one."""
        async with self.database.acquire() as connection:
            rows = await connection.fetch(_LATEST, numbers)
        return {row["order_number"]: (row["version"], row["digest"]) for row in rows}

    async def version(self, number: str, version: int | None) -> Record | None:
        """Return one version of an order's document, the newest if none is named."""
        async with self.database.acquire() as connection:
            return await connection.fetchrow(_ONE, number, version)

    async def knows(self, number: str) -> bool:
        """Say whether there is such an order."""
        async with self.database.acquire() as connection:
            return bool(await connection.fetchval(_KNOWN, number))


async def document_status(connection: Connection, number: str) -> Record | None:
    """Return whether an order has a document (``closed``), its newest version and the state of its workflow; None: no such order."""
    return await connection.fetchrow(_STATUS, number)


async def write_documents(connection: Connection, documents: Sequence[Document]) -> None:
    """Write new versions, in the caller's transaction."""
    if documents:
        await connection.execute(_INSERT, *columns(documents, *Document.__dataclass_fields__))
