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
RETURNING id
"""
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
    """Keep what was not taken (contacts masked, at most 20,000 characters) and return the report that tells a person of it."""
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    text = scrub_text("\n".join(clean(part) for part in parts)[:_LONGEST])
    kept = await connection.fetchval(_KEEP, sender, digest, reason, count, text, now)
    fact = ProblemFact(
        kind=KIND,
        severity="critical",  # one of them may have been
        fingerprint=f"alerts_not_taken:{sender}:{now:%Y-%m-%dT%H}",
        summary=words["unread.summary"].format(count=count, sender=sender),
        service="notifier",
        occurred_at=now,
        details={"why": words.label(f"unread.{reason}"), "unread": str(kept)},
        what_to_do=words["unread.do"],
    )
    return Report(fact=fact, event_id=digest)


def select_unread(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
    """Return the statement of what was kept, newest first, behind the position (id), and its values."""
    return _LIST, [None if after is None else after[0], limit]
