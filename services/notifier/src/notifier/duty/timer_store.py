"""The timers of escalation in PostgreSQL: durable, and each due time fires once, for its incident is locked while it is decided on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from common.ids import new_id
from common.postgres import Connection, Database
from notifier.delivery.notifications import NotificationStore
from notifier.duty.escalation import Duty
from notifier.duty.model import HELD_FOR, NO_PHONE
from notifier.duty.roster_store import RosterReader
from notifier.incidents.model import Incident
from notifier.incidents.silenced import note_held, silenced_by
from notifier.incidents.store import incident_of

# Of whom nobody is told (silenced, or explained by another) nobody is phoned: the chain waits until that is over. What mutes an open
# incident is looked at again all the time (``Problems.unmute``); an acknowledged one's time runs on, and it waits when it is open again.
# What people were told of before it was silenced is held when its step is due (``DueTimer.hold``).
# The incidents are locked before the rows that refer to them, as everywhere; one that somebody acts on gets its timer a round later.
_START = """
INSERT INTO escalations (incident_id, due_at)
SELECT i.id, CASE WHEN i.state = 'acknowledged' THEN i.ack_until ELSE now() + $1::interval END
FROM incidents AS i
WHERE i.severity = 'critical' AND i.state <> 'resolved' AND NOT (i.state = 'open' AND i.muted IS NOT NULL)
  AND NOT EXISTS (SELECT FROM escalations AS e WHERE e.incident_id = i.id)
ORDER BY i.id LIMIT 1000 FOR KEY SHARE OF i SKIP LOCKED
ON CONFLICT (incident_id) DO NOTHING
"""
_DUE = """
SELECT e.incident_id FROM escalations AS e JOIN incidents AS i ON i.id = e.incident_id
WHERE e.due_at <= now() AND NOT (i.state = 'open' AND i.muted IS NOT NULL) AND 'incident ' || i.id <> ALL($2::text[])
ORDER BY e.due_at LIMIT $1
"""
_LOCK = "SELECT * FROM incidents WHERE id = $1 AND NOT (state = 'open' AND muted IS NOT NULL) FOR UPDATE SKIP LOCKED"
_TIMER = "SELECT step, round, due_at FROM escalations WHERE incident_id = $1 AND due_at <= clock_timestamp()"
_REOPEN = "UPDATE incidents SET state = 'open', ack_until = NULL, version = version + 1 WHERE id = $1"
_NOTE = "INSERT INTO incident_history (incident_id, actor, act, text) VALUES ($1, 'notifier', $2, $3)"
_CALL = """
INSERT INTO calls (id, incident_id, person, occasion) VALUES ($1, $2, $3, $4)
ON CONFLICT (incident_id, handover_id, person, occasion) DO NOTHING
"""
# Who had no phone, or another number than now, was not reached.
_CALLED = """
SELECT c.person, c.occasion FROM calls AS c JOIN incidents AS i ON i.id = c.incident_id
LEFT JOIN unnest($4::text[], $5::text[]) AS known (person, number) ON known.person = c.person
WHERE i.id = $1 AND c.occasion LIKE $2 AND c.created_at > coalesce(i.acknowledged_at, '-infinity')
  AND (known.person IS NOT NULL AND (c.state = 'failed' AND c.reason = $3 OR c.number <> known.number)) IS NOT TRUE
"""
_HOLD = "UPDATE escalations SET due_at = clock_timestamp() + $2::interval WHERE incident_id = $1"
_DROP = "DELETE FROM escalations WHERE incident_id = $1"
_SET = "UPDATE escalations SET step = $2, round = $3, due_at = $4 WHERE incident_id = $1"
_OVERDUE = """
SELECT count(*) AS timers, coalesce(extract(epoch FROM now() - min(e.due_at)), 0)::float8 AS oldest
FROM escalations AS e JOIN incidents AS i ON i.id = e.incident_id WHERE e.due_at < now() AND NOT (i.state = 'open' AND i.muted IS NOT NULL)
"""


class TimerStore:
    """The timers of all incidents. Any number of replicas may fire them; each due time fires once.

    Locks are taken incident → timer → calls, as everywhere.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self, *, first_after: timedelta | None) -> int:
        """Give a timer to critical incidents that have none yet; returns how many."""
        if first_after is None:
            return 0
        async with self._database.acquire() as connection:
            status = await connection.execute(_START, first_after)
        return int(status.rpartition(" ")[2])

    async def due(self, *, limit: int, but: Sequence[str] = ()) -> Sequence[int]:
        """Return incidents whose timer is due, the oldest first, ``but`` these items of the task."""
        async with self._database.acquire() as connection:
            return [row["incident_id"] for row in await connection.fetch(_DUE, limit, but)]

    @asynccontextmanager
    async def open(self, incident_id: int) -> AsyncIterator[DueTimer | None]:
        """Lock an incident and its due timer; None when it is not due any more or somebody else has it."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_LOCK, incident_id)
            timer = None if row is None else await connection.fetchrow(_TIMER, incident_id)
            if row is None or timer is None:
                yield None
                return
            now = await connection.fetchval("SELECT clock_timestamp()")
            silenced = await silenced_by(NotificationStore(connection), row)
            yield DueTimer(connection=connection, incident=incident_of(row), now=now, silenced=silenced, **timer)

    async def overdue(self) -> tuple[int, float]:
        """Return how many due timers wait, and for how many seconds the oldest has."""
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_OVERDUE)
        return (0, 0.0) if row is None else (row["timers"], row["oldest"])


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTimer:
    """A due timer, its incident locked, inside one transaction. ``silenced``: the silence that covers the incident now."""

    connection: Connection
    incident: Incident
    step: int
    round: int
    due_at: datetime
    now: datetime
    silenced: str | None

    async def duty(self) -> Duty:
        """Return who answers now."""
        return await RosterReader(self.connection).duty(self.now)

    async def reopen(self) -> None:
        """End the acknowledgement: the incident is open again."""
        await self.connection.execute(_REOPEN, self.incident.id)

    async def note(self, act: str, text: str) -> None:
        """Write a line of the incident's history, to be followed up."""
        await self.connection.execute(_NOTE, self.incident.id, act, text)

    async def hold(self, why: str) -> None:
        """Leave the step for later: a silence covers the incident. The history says so."""
        await note_held(self.connection, self.incident.id, why)
        await self.connection.execute(_HOLD, self.incident.id, HELD_FOR)

    async def called(self, *, numbers: Mapping[str, str]) -> Mapping[str, Collection[int]]:
        """Return who was phoned in this round, and at which steps: not who had no phone then, or another number than now.

        ``numbers``: of everybody who has a phone now, its digest.
        """
        people, digests = list(numbers), list(numbers.values())
        rows = await self.connection.fetch(_CALLED, self.incident.id, f"{self.round}.%", NO_PHONE, people, digests)
        found: dict[str, set[int]] = {}
        for row in rows:
            step = row["occasion"].partition("@")[0].partition(".")[2]
            found.setdefault(row["person"], set()).add(int(step))
        return found

    async def call(self, person: str, *, occasion: str) -> None:
        """Have somebody phoned; the same (incident, person, occasion) is one call."""
        await self.connection.execute(_CALL, new_id(), self.incident.id, person, occasion)

    async def set(self, *, step: int, round_: int, due: datetime | None) -> None:
        """Set the timer. One that has nothing to do goes, so that an incident that becomes critical later begins its chain."""
        if due is None and self.incident.fact.severity != "critical":
            await self.connection.execute(_DROP, self.incident.id)
            return
        await self.connection.execute(_SET, self.incident.id, step, round_, due)
