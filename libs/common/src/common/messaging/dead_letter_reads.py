"""Reading dead letters: lists by any filter, and one with its message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from common.errors import NotFound
from common.postgres import Connection, Record

State = Literal["open", "replayed", "mended", "dismissed"]
Became = Literal["on_its_way", "handled", "dead_again"]

_STATE = "CASE WHEN replayed_at IS NULL THEN 'open' ELSE coalesce(decision, 'replayed') END"
_COLUMNS = f"""
id, queue, handler, event_id, event_type, subject, reason, error, dead_at, {_STATE} AS state, replayed_at AS decided_at,
replayed_by AS decided_by, CASE WHEN decision IS DISTINCT FROM 'dismissed' THEN replayed_at END AS replayed_at,
CASE WHEN decision IS DISTINCT FROM 'dismissed' THEN replayed_by END AS replayed_by, erased_at
"""
_ONE = f"SELECT {_COLUMNS}, body, mended FROM dead_letters WHERE id = $1"  # noqa: S608 - constants
_COUNT_OPEN = """
SELECT count(*) AS letters, coalesce(extract(epoch FROM now() - min(dead_at)), 0)::float8 AS oldest
FROM dead_letters WHERE replayed_at IS NULL
"""

# Once the inbox may have forgotten it, nobody can tell what was handled from what is on its way.
_BECAME = """
SELECT CASE
    WHEN EXISTS (
        SELECT FROM dead_letters AS n
        WHERE n.id > d.id AND n.dead_at > d.replayed_at AND n.queue = d.queue AND (n.event_id = d.event_id OR n.body = $2)
    ) THEN 'dead_again'
    WHEN EXISTS (SELECT FROM inbox AS i WHERE i.consumer = $3 AND i.event_id = $4) THEN 'handled'
    WHEN d.replayed_at > now() - interval '7 days' THEN 'on_its_way'
END
FROM dead_letters AS d WHERE d.id = $1 AND d.replayed_at IS NOT NULL AND d.decision IS DISTINCT FROM 'dismissed'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """What a list, or a decision about many, takes; all that is given must hold. ``event_type`` is that of the message."""

    queue: str | None = None
    handler: str | None = None
    reason: str | None = None
    event_type: str | None = None
    subject: str | None = None
    state: State | None = None
    since: datetime | None = None
    until: datetime | None = None


def select(
    wanted: LetterFilter, *, before: int | None, limit: int, among: Sequence[int] | None = None
) -> tuple[str, list[Any]]:
    """Return the statement of dead letters, the newest first, with ids below ``before``, only of ``among`` where given, and its values.

    Messages are left out.
    """
    conditions, values = _conditions(wanted)
    if among is not None:
        values.append(list(among))
        conditions.append(f"id = ANY (${len(values)}::bigint[])")
    if before is not None:
        values.append(before)
        conditions.append(f"id < ${len(values)}")
    values.append(limit)
    statement = (
        f"SELECT {_COLUMNS} FROM dead_letters WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ${len(values)}"  # noqa: S608 - constants and placeholders
    )
    return statement, values


async def count_open(connection: Connection) -> tuple[int, float]:
    """Return how many nobody has decided about, and the age of the oldest in seconds, 0 when none."""
    row = await connection.fetchrow(_COUNT_OPEN)
    return (0, 0.0) if row is None else (row["letters"], row["oldest"])


async def find(connection: Connection, letter_id: int) -> Record:
    """Return one with its message, ``body``, and the one that was sent instead, ``mended``. Raises ``NotFound``."""
    letter = await connection.fetchrow(_ONE, letter_id)
    if letter is None:
        raise NotFound(f"there is no dead letter {letter_id}")
    return letter


async def became(
    connection: Connection, letter_id: int, *, sent: bytes, consumer: str | None, key: str | None
) -> Became | None:
    """Return what became of a message that was sent again; None where none was, or so long ago that it is not known.

    ``sent`` is that message; ``key`` the name under which the inbox of the ``consumer`` knows it, None where nobody can read it.
    """
    return cast("Became | None", await connection.fetchval(_BECAME, letter_id, sent, consumer, key))


def _conditions(wanted: LetterFilter) -> tuple[list[str], list[Any]]:
    conditions, values = ["true"], []
    for column in ("queue", "handler", "reason", "event_type", "subject"):
        value = getattr(wanted, column)
        if value is not None:
            values.append(value)
            conditions.append(f"{column} = ${len(values)}")
    if wanted.since is not None:
        values.append(wanted.since)
        conditions.append(f"dead_at >= ${len(values)}")
    if wanted.until is not None:
        values.append(wanted.until)
        conditions.append(f"dead_at < ${len(values)}")
    if wanted.state == "open":
        conditions.append("replayed_at IS NULL")
    elif wanted.state is not None:
        conditions.append(f"replayed_at IS NOT NULL AND coalesce(decision, 'replayed') = '{wanted.state}'")
    return conditions, values
