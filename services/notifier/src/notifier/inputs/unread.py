"""What nobody could read: kept, and a person hears of it. One row a notification, one problem a sender and hour."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from common.postgres import Connection
from common.telemetry import scrub_text
from notifier.incidents.model import ProblemFact
from notifier.incidents.problems import Report
from notifier.inputs.lenient import clean
from notifier.messages.words import Words

KIND = "problem.alerts_not_taken"
UNFIT = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)
"""What PostgreSQL refuses for good, whatever is done about the rest of a transaction."""
_LONGEST = 20_000
_KEEP = """
INSERT INTO unread_alerts AS u (sender, digest, reason, parts, text, first_at, last_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
ON CONFLICT (sender, digest) DO UPDATE SET seen = u.seen + 1, last_at = excluded.last_at
RETURNING id, seen = 1 AS new
"""
_IS_TAKEN = "SELECT EXISTS (SELECT FROM incidents WHERE fingerprint = $1 AND state = 'acknowledged')"
_LIST = "SELECT * FROM unread_alerts WHERE $1::bigint IS NULL OR id < $1 ORDER BY id DESC LIMIT $2"


async def keep_unread(
    connection: Connection,
    *,
    sender: str,
    reason: str,
    count: int,
    content: bytes,
    parts: Sequence[str],
    now: datetime,
    words: Words,
) -> Report:
    """Keep what was not taken (contacts masked, at most 20,000 characters) and return the report that tells a person of it.

    Whoever took the problem knows what was kept until then: what is new since is told again.
    """
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    text = scrub_text("\n".join(clean(part) for part in parts)[:_LONGEST])
    kept = await connection.fetchrow(_KEEP, sender, digest, reason, count, text, now)
    assert kept is not None  # noqa: S101 - INSERT … ON CONFLICT DO UPDATE … RETURNING always gives a row
    fact = ProblemFact(
        kind=KIND,
        severity="critical",  # one of them may have been
        fingerprint=f"alerts_not_taken:{sender}:{now:%Y-%m-%dT%H}",
        summary=words["unread.summary"].format(count=count, sender=sender),
        service="notifier",
        occurred_at=now,
        details={"why": words.label(f"unread.{reason}"), "unread": str(kept["id"])},
        what_to_do=words["unread.do"],
    )
    taken = kept["new"] and await connection.fetchval(_IS_TAKEN, fact.fingerprint)
    return Report(fact=fact, event_id=digest, always=bool(taken))


def select_unread(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
    """Return the statement of what was kept, newest first, behind the position (id), and its values."""
    return _LIST, [None if after is None else after[0], limit]
