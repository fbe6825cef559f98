"""One statement a second that tells which workers have something to do: the others need not ask the database each for itself."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from common.postgres import Database
from notifier.settings import NotifierSettings
from notifier.tickets.follow_tracker import DEFECTS_EVERY

LOOK_SECONDS = 1.0
"""How late at the most somebody learns of what is due, or was committed by another replica."""
UNASKED_SECONDS = 30.0
"""Whoever is told of what is due looks for itself all the same, so often."""
_EARLY_S = 0.1
_DEADLINE_S = 5.0
_FOLLOW_UP = """
SELECT 1 FROM incidents WHERE followed_up_kind IS DISTINCT FROM kind
UNION ALL
SELECT 1 FROM incident_history WHERE NOT told
UNION ALL
SELECT 1 FROM incidents AS i JOIN tickets AS t ON t.summons_id = i.id
WHERE i.state <> 'resolved' AND i.fingerprint LIKE 'ticket:%' AND t.state = 'closed'
"""
_TIMERS = """
SELECT 1 FROM incidents AS i
WHERE i.severity = 'critical' AND i.state <> 'resolved' AND NOT (i.state = 'open' AND i.muted IS NOT NULL)
  AND NOT EXISTS (SELECT FROM escalations AS e WHERE e.incident_id = i.id)
UNION ALL
SELECT 1 FROM escalations WHERE due_at <= now()
"""
_CALLS = """
SELECT 1 FROM calls
WHERE state IN ('waiting', 'calling')
  AND (state = 'waiting' AND not_before <= clock_timestamp() OR state = 'calling' AND lease_until < clock_timestamp())
"""
_TRACKER_CHANGES = """
SELECT 1 FROM tickets WHERE outside = 'created' AND look_due <= clock_timestamp()
UNION ALL
SELECT 1 FROM known_defects
WHERE ended_at IS NULL AND development_ticket IS NOT NULL AND looked_at < clock_timestamp() - $1::interval
"""
_TRACKER_READING = """
SELECT 1 FROM tickets WHERE outside = 'created' AND state = 'open' AND read_at < clock_timestamp() - $1::interval
"""
_STORMS = """
SELECT 1 FROM digests WHERE closed_at IS NULL AND NOT closing AND fed_at < now() - $1::float8 * interval '1 second'
"""
_UNMUTE = """
SELECT 1 FROM incidents WHERE muted IS NOT NULL AND state = 'open'
UNION ALL
SELECT 1 FROM early_resolutions WHERE again IS NOT NULL
"""
_FAILOVER = """
SELECT 1 FROM deliveries
WHERE failed_over_at IS NULL AND subject LIKE 'incident:%' AND state IN ('pending', 'unknown', 'sending', 'failed')
  AND (state = 'failed' OR state IN ('pending', 'unknown') AND priority <= 1 AND created_at < now() - $1::interval)
"""
_SENDERS = """
SELECT 1 FROM lanes AS l
WHERE l.channel = $1
  AND (EXISTS (SELECT FROM deliveries WHERE lane = l.key AND state IN ('pending', 'unknown'))
       OR EXISTS (SELECT FROM posts WHERE lane = l.key AND wanted > shown)
       OR EXISTS (SELECT FROM digests WHERE lane = l.key AND closed_at IS NULL AND wanted > shown))
"""


@dataclass(frozen=True, slots=True)
class Due:
    """A statement that finds a row whenever its worker would find anything, and its values. It may find too much, never too little."""

    statement: str
    values: tuple[object, ...] = ()


def due_by_worker(settings: NotifierSettings) -> dict[str, Due]:
    """Return what each worker waits for, by the worker's name."""
    read_every = timedelta(seconds=settings.tracker_poll)
    patience = timedelta(seconds=settings.failover_after)
    return {
        "follow-up": Due(_FOLLOW_UP),
        "timers": Due(_TIMERS),
        "calls": Due(_CALLS),
        "button-actions": Due("SELECT 1 FROM presses WHERE done_at IS NULL AND NOT answered"),
        "button-answers": Due("SELECT 1 FROM presses WHERE done_at IS NOT NULL AND NOT answered"),
        "recipes": Due(
            "SELECT 1 FROM recipe_requests WHERE state IN ('confirmed', 'running') AND not_before <= clock_timestamp()"
        ),
        "tracker-changes": Due(_TRACKER_CHANGES, (read_every * DEFECTS_EVERY,)),
        "tracker-tickets": Due(
            "SELECT 1 FROM tickets WHERE outside IN ('pending', 'creating') AND not_before <= clock_timestamp()"
        ),
        "tracker-comments": Due(
            "SELECT 1 FROM ticket_comments WHERE outside IN ('pending', 'sending') AND not_before <= clock_timestamp()"
        ),
        "tracker-reading": Due(_TRACKER_READING, (read_every,)),
        "tracker-states": Due(
            "SELECT 1 FROM tickets"
            " WHERE outside = 'created' AND outside_state IS DISTINCT FROM state AND outside_due <= clock_timestamp()"
        ),
        "storms": Due(_STORMS, (settings.storm_quiet,)),
        "leases": Due("SELECT 1 FROM deliveries WHERE state = 'sending' AND lease_until < now()"),
        "unmute": Due(_UNMUTE),
        "failover": Due(_FAILOVER, (patience,)),
    }


def due_in(channel: str) -> Due:
    """Return what the senders of a channel wait for: anything in a chat of theirs, due or not; when, they see themselves."""
    return Due(_SENDERS, (channel,))


class LookForDue:
    """Asks once for everybody and wakes who has something to do. When the question fails everybody is woken, to ask for itself."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wakes: list[_Wake] = []
        self._questions: list[str] = []
        self._values: list[object] = []

    def add(self, due: Due, wake: Callable[[], object], *, seconds: float = LOOK_SECONDS) -> None:
        """Wake whenever that is due, at most once in so many seconds."""
        before = len(self._values)
        numbered = re.sub(r"\$(\d+)", lambda match: f"${before + int(match[1])}", due.statement)
        self._questions.append(f"EXISTS ({numbered}) AS q{len(self._wakes)}")
        self._values += due.values
        self._wakes.append(_Wake(wake, seconds))

    async def __call__(self) -> None:
        """Look once."""
        if not self._wakes:
            return
        try:
            async with asyncio.timeout(_DEADLINE_S), self._database.acquire() as connection:
                [answers] = await connection.fetch("SELECT " + ", ".join(self._questions), *self._values)
        except Exception:
            self._wake([True] * len(self._wakes))
            raise
        self._wake(answers)

    def _wake(self, answers: Iterable[bool]) -> None:
        now = time.monotonic()
        for wake, due in zip(self._wakes, answers, strict=True):
            if due and now - wake.at > wake.seconds - _EARLY_S:
                wake.at = now
                wake.up()


@dataclass(slots=True)
class _Wake:
    up: Callable[[], object]
    seconds: float
    at: float = 0.0
