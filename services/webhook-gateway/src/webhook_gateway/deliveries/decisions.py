"""What people have decided about deliveries: locked, in versions, noted in the transaction of the deed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from common.errors import Conflict
from common.postgres import Connection
from webhook_gateway.hooks.model import Outcome

# Locked first and read afterwards: a statement that had to wait for a lock still sees the other tables as they were before it waited.
_LOCK = "SELECT FROM deliveries WHERE delivery_id = ANY ($1::uuid[]) ORDER BY delivery_id FOR NO KEY UPDATE"
VERSION = """
1 + (SELECT count(*) FROM delivery_replays AS r WHERE r.delivery_id = d.delivery_id)
  + (SELECT count(*) FROM delivery_dismissals AS k WHERE k.delivery_id = d.delivery_id)
  + (d.erased_at IS NOT NULL)::integer
"""
"""The version of a delivery ``d``: every decision makes another one."""
DECISION = """
CASE WHEN EXISTS (SELECT FROM delivery_dismissals AS k WHERE k.delivery_id = d.delivery_id) THEN 'dismissed'
     WHEN EXISTS (SELECT FROM delivery_replays AS r WHERE r.delivery_id = d.delivery_id) THEN 'replayed' END
"""
"""What a person has decided about a delivery ``d``."""
_VERSIONS = f"""
SELECT d.delivery_id::text AS id, {VERSION} AS version FROM deliveries AS d WHERE d.delivery_id = ANY ($1::uuid[])
"""  # noqa: S608 - a constant
_HOLD = "SELECT outcome, erased_at FROM deliveries WHERE delivery_id = $1 FOR NO KEY UPDATE"
_DECIDED = """
SELECT CASE WHEN k.delivery_id IS NOT NULL THEN 'dismissed by ' || k.actor ELSE 'replayed by ' || r.actor END
FROM deliveries AS d
LEFT JOIN delivery_dismissals AS k USING (delivery_id)
LEFT JOIN LATERAL (
    SELECT actor FROM delivery_replays AS r WHERE r.delivery_id = d.delivery_id ORDER BY replayed_at LIMIT 1
) AS r ON true
WHERE d.delivery_id = $1 AND d.outcome = 'quarantined' AND (k.delivery_id IS NOT NULL OR r.actor IS NOT NULL)
"""
_NOTE = "INSERT INTO delivery_replays (replay_id, delivery_id, actor, mended) VALUES ($1, $2, $3, $4)"


class ResubmitInstead(Conflict):
    """A website's refused order: it is resubmitted where it is endangered, past the checks of names and likely duplicates."""

    code = "resubmit_instead"


class Erased(Conflict):
    """What is left of it is not what came: it can only be sent mended."""

    code = "erased"


async def lock(connection: Connection, delivery_ids: Sequence[str]) -> dict[str, int]:
    """Hold deliveries until the transaction ends; return the version of each that exists. Every decision makes another version."""
    ids = [_uuid(one) for one in delivery_ids]
    await connection.execute(_LOCK, ids)
    return {row["id"]: row["version"] for row in await connection.fetch(_VERSIONS, ids)}


async def need_sendable(connection: Connection, delivery_id: uuid.UUID, *, mended: bool) -> None:
    """Hold a delivery that is to be sent again.

    Raises ``Erased`` where what is left of it is not what came, unless it is mended; ``ResubmitInstead`` for a refused order.
    """
    held = await connection.fetchrow(_HOLD, delivery_id)
    if held is not None and held["outcome"] == Outcome.REFUSED:
        raise ResubmitInstead("the order was refused: resubmit the endangered order instead")
    if held is not None and held["erased_at"] is not None and not mended:
        raise Erased("its customer's data were erased: what is left is not to be sent; send a mended body")


async def need_undecided(connection: Connection, delivery_id: uuid.UUID) -> None:
    """Raise ``Conflict`` when a person has decided about this quarantined delivery before."""
    decided = await connection.fetchval(_DECIDED, delivery_id)
    if decided is not None:
        raise Conflict(f"it was {decided} before")


async def note_replay(
    connection: Connection, delivery_id: uuid.UUID, replay_id: str, *, actor: str, mended: bool
) -> None:
    """Note that a delivery was sent again, in the transaction that puts it into the outbox."""
    await connection.execute(_NOTE, uuid.UUID(replay_id), delivery_id, actor, mended)


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.UUID(int=0)  # no delivery has it
