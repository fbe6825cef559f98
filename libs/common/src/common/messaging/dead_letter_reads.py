"""Reading dead letters: lists by any filter, and one with its message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from common.errors import NotFound
from common.postgres import Connection, Record

State = Literal["open", "replayed", "mended", "dismissed"]

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
