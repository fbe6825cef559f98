"""What came under which name first: an order that comes under the name of another is not that one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

from common.postgres import Connection

# The first to claim a name has it; whoever comes at the same moment waits for that one's commit, and finds what it said.
_CLAIM = """
INSERT INTO order_contents AS kept (key, content)
SELECT * FROM unnest($1::bytea[], $2::bytea[]) AS wanted (key, content) ORDER BY key
ON CONFLICT (key) DO UPDATE SET key = excluded.key
RETURNING key, content
"""
_FORGET = """
DELETE FROM order_contents WHERE key IN (SELECT key FROM order_contents WHERE first_at < $1 LIMIT 10000 FOR UPDATE SKIP LOCKED)
"""


def name_key(source: str, name: str) -> bytes:
    """Return the digest that an order's name stands in the table by."""
    return hashlib.sha256(f"{source}\0{name}".encode("utf-8", "surrogatepass")).digest()


async def claim(connection: Connection, contents: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    """Give each name (``name_key``) its content (``WebsiteOrder.identity``) unless it has one; return the one that it has."""
    if not contents:
        return {}
    keys = sorted(contents)
    rows = await connection.fetch(_CLAIM, keys, [contents[key] for key in keys])
    return {bytes(row["key"]): bytes(row["content"]) for row in rows}


async def forget_contents(connection: Connection, *, before: datetime) -> None:
    """Forget names that were first used before that moment; the orchestrator still knows their orders."""
    await connection.execute(_FORGET, before)
