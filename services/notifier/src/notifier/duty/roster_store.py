"""The duty roster in PostgreSQL: plan, overrides, handovers, and who answers now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from common.errors import NotFound
from common.ids import new_id
from common.postgres import Connection, Database
from notifier.delivery.notifications import NotificationStore
from notifier.duty.escalation import Duty
from notifier.duty.model import Handover
from notifier.duty.roster import Override, Place, Plan, Shift, running, shifts

_LOCK = 7_003_001
_PLAN = "SELECT plan, version FROM roster WHERE id = 1"
_SAVE = """
INSERT INTO roster AS r (id, plan, updated_by) VALUES (1, $1, $2)
ON CONFLICT (id) DO UPDATE SET plan = excluded.plan, updated_by = excluded.updated_by, updated_at = now(), version = r.version + 1
RETURNING version
"""
_OVERRIDES = """
SELECT id, place, person, starts_at, ends_at FROM roster_overrides WHERE ends_at > $1 AND starts_at < $2 ORDER BY id
"""
_OVERRIDE = "SELECT id, place, person, starts_at, ends_at FROM roster_overrides WHERE id = $1 FOR UPDATE"
_KEPT = """
SELECT id, place, person, starts_at, ends_at, reason, created_by, created_at FROM roster_overrides
WHERE ($1::bigint IS NULL OR id < $1) ORDER BY id DESC LIMIT $2
"""
_DELETE_OVERRIDE = "DELETE FROM roster_overrides WHERE id = $1"
_END_OVERRIDE = "UPDATE roster_overrides SET ends_at = $2 WHERE id = $1"
_REVISION = "SELECT revision, changed_at FROM roster_revision"
_NAMES_CHANGED = """
UPDATE roster_revision SET names = $1, revision = revision + 1, changed_at = clock_timestamp()
WHERE names IS DISTINCT FROM $1 RETURNING revision, changed_at
"""
_ADD_OVERRIDE = """
INSERT INTO roster_overrides (place, person, starts_at, ends_at, reason, created_by) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING id, place, person, starts_at, ends_at
"""
_ANNOUNCED = """
INSERT INTO handovers (starts_at, ends_at, person, previous, due_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (starts_at, person) DO NOTHING RETURNING id
"""
_UNCONFIRMED = """
SELECT id, starts_at, ends_at, person, previous, confirmed_at, escalated_at, due_at <= now() IS TRUE AS due FROM handovers
WHERE confirmed_at IS NULL AND ended_at IS NULL AND ends_at > now() - $1::interval ORDER BY id FOR UPDATE
"""
_END_HANDOVER = "UPDATE handovers SET ended_at = now(), due_at = NULL WHERE id = $1"
_ESCALATED = "UPDATE handovers SET escalated_at = now(), due_at = NULL WHERE id = $1"
_CALL = """
INSERT INTO calls (id, handover_id, person, occasion) VALUES ($1, $2, $3, $4)
ON CONFLICT (incident_id, handover_id, person, occasion) DO NOTHING
"""
_UNANSWERED = """
SELECT previous FROM handovers
WHERE starts_at = $1 AND person = $2 AND escalated_at IS NOT NULL AND confirmed_at IS NULL
"""
_CONFIRM = """
UPDATE handovers SET confirmed_at = now(), confirmed_by = $2, due_at = NULL WHERE id = $1 AND confirmed_at IS NULL RETURNING id
"""
_HANDOVER = """
SELECT id, starts_at, ends_at, person, previous, confirmed_at, escalated_at FROM handovers WHERE {} ORDER BY id DESC LIMIT 1
"""
_OPEN_PROBLEMS = (
    "SELECT fingerprint, summary FROM incidents WHERE kind = $1 AND fingerprint LIKE $2 AND state <> 'resolved'"
)
_BEHIND = timedelta(days=8)  # a week, and a day for zones
_TURNS = timedelta(weeks=104)  # the backup follows from who has the next weeks, over the whole rotation
SHOWN = timedelta(weeks=8)
"""How far ahead calendars show."""
_PLANS = TypeAdapter(Plan)
NO_PLAN = Plan(zone="Europe/Moscow", first_week=date(2199, 12, 30))
"""What holds before anybody made a plan: nobody is on duty, unless an override says so."""


def select_overrides(*, before: int | None, limit: int) -> tuple[str, list[Any]]:
    """Return the statement of overrides that were made and not taken back, the newest first, with ids below ``before``, and its values."""
    return _KEPT, [before, limit]


class RosterReader:
    """Reads the roster on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def plan(self) -> Plan | None:
        """Return the plan, None before anybody made one."""
        return (await self.versioned())[0]

    async def versioned(self) -> tuple[Plan | None, int]:
        """Return plan and version."""
        row = await self._connection.fetchrow(_PLAN)
        return (None, 0) if row is None else (plan_from(row["plan"]), row["version"])

    async def overrides(self, *, since: datetime, until: datetime) -> Sequence[Override]:
        """Return the overrides that touch that time."""
        return [Override(**row) for row in await self._connection.fetch(_OVERRIDES, since, until)]

    async def shifts(self, *, since: datetime, until: datetime) -> Sequence[Shift]:
        """Return the final shifts of that time, as everybody sees them. Without a plan, all but overrides is a gap."""
        overrides = await self.overrides(since=since - _BEHIND, until=until + _TURNS)
        return shifts(await self.plan() or NO_PLAN, overrides, since=since, until=until)

    async def duty(self, now: datetime | None = None) -> Duty:
        """Return who answers at a moment; the previous person too while the newcomer has not confirmed in time."""
        moment: datetime = now or await self._connection.fetchval("SELECT clock_timestamp()")
        shift = running(await self.shifts(since=moment, until=moment + timedelta(microseconds=1)), moment)
        if shift is None or shift.on_duty is None:
            return Duty(on_duty=None, backup=None if shift is None else shift.backup)
        previous = await self._connection.fetchval(_UNANSWERED, shift.starts_at, shift.on_duty)
        return Duty(on_duty=shift.on_duty, backup=shift.backup, previous=previous)

    async def final_shifts(self, now: datetime) -> Sequence[Shift]:
        """Return the final shifts from now on, eight weeks of them."""
        return await self.shifts(since=now, until=now + SHOWN)

    async def revision(self, *, names: str) -> tuple[int, datetime]:
        """Return a number that grows with every change of plan, overrides and people's ``names`` (a digest), and when the last one was."""
        row = await self._connection.fetchrow(_NAMES_CHANGED, names) or await self._connection.fetchrow(_REVISION)
        assert row is not None  # noqa: S101 - a migration puts the one row there
        return row["revision"], row["changed_at"]

    async def current_revision(self) -> int:
        """Return that number as it is."""
        row = await self._connection.fetchrow(_REVISION)
        assert row is not None  # noqa: S101 - a migration puts the one row there
        return int(row["revision"])

    async def handover(self, *, starts_at: datetime, person: str) -> Handover | None:
        """Return what is known of the announcement of a shift."""
        row = await self._connection.fetchrow(_HANDOVER.format("starts_at = $1 AND person = $2"), starts_at, person)
        return None if row is None else Handover(**row)


class RosterStore(RosterReader):
    """The roster under a person's hands, inside one transaction."""

    async def locked(self) -> tuple[Plan | None, int]:
        """Lock the roster; return the plan (None: there is none) and its version (0 then)."""
        await self._connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        return await self.versioned()

    async def save(self, plan: Plan, *, by: str) -> int:
        """Keep a plan; returns its version."""
        version: int = await self._connection.fetchval(_SAVE, plan_to(plan), by)
        return version

    async def add(
        self, *, place: Place, person: str | None, starts_at: datetime, ends_at: datetime, reason: str, by: str
    ) -> Override:
        """Keep an override."""
        [row] = await self._connection.fetch(_ADD_OVERRIDE, place, person, starts_at, ends_at, reason, by)
        return Override(**row)

    async def override(self, override_id: int) -> Override:
        """Lock and return an override. Raises ``NotFound``."""
        row = await self._connection.fetchrow(_OVERRIDE, override_id)
        if row is None:
            raise NotFound("no such override")
        return Override(**row)

    async def take_back(self, override: Override, *, now: datetime) -> None:
        """Delete an override that has not begun; end one that has, so that who was on duty until now stays true."""
        if override.starts_at >= now:
            await self._connection.execute(_DELETE_OVERRIDE, override.id)
        else:
            await self._connection.execute(_END_OVERRIDE, override.id, now)


class Handovers:
    """Opens the roster's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[HandoverStore | None]:
        """Open the roster's transaction; None while another replica (or a person) has it."""
        async with self._database.transaction() as connection:
            found = await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK)
            yield HandoverStore(connection) if found else None


class HandoverStore(RosterReader):
    """The roster and its handovers, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.connection = connection
        self.notifications = NotificationStore(connection)

    async def now(self) -> datetime:
        """Return the database's time, which all replicas share."""
        moment: datetime = await self._connection.fetchval("SELECT clock_timestamp()")
        return moment

    async def whose(self, handover_id: int) -> str | None:
        """Lock a handover and return whose it is, None when there is none.

        Its calls are claimed under this lock: confirmed first means that the previous person is not phoned.
        """
        row = await self._connection.fetchrow(_HANDOVER.format("id = $1"), handover_id)
        if row is None:
            return None
        await self._connection.fetchrow("SELECT FROM handovers WHERE id = $1 FOR UPDATE", handover_id)
        return str(row["person"])

    async def confirm(self, handover_id: int, *, by: str) -> bool:
        """Confirm a handover, unless it is; returns whether it was confirmed just now."""
        return await self._connection.fetchval(_CONFIRM, handover_id, by) is not None

    async def announced(self, shift: Shift, *, previous: str | None, due: datetime) -> int | None:
        """Keep that a shift is announced; returns the handover's id, None when it was announced before."""
        found: int | None = await self._connection.fetchval(
            _ANNOUNCED, shift.starts_at, shift.ends_at, shift.on_duty, previous, due
        )
        return found

    async def unconfirmed(self) -> Sequence[tuple[Handover, bool]]:
        """Lock and return announced handovers that nobody confirmed, each with whether it is due to go back now."""
        rows = [dict(row) for row in await self._connection.fetch(_UNCONFIRMED, _BEHIND)]
        return [(Handover(**{name: row[name] for name in row if name != "due"}), row["due"]) for row in rows]

    async def end(self, handover: Handover) -> None:
        """End a handover whose shift is gone: nobody is waited for, and nobody phoned because of it."""
        await self._connection.execute(_END_HANDOVER, handover.id)

    async def give_back(self, handover: Handover, *, occasion: str) -> None:
        """Have the previous person answer again, and be phoned."""
        await self._connection.execute(_ESCALATED, handover.id)
        if handover.previous is not None and handover.previous != handover.person:
            await self._connection.execute(_CALL, new_id(), handover.id, handover.previous, occasion)

    async def open_problems(self, *, kind: str, prefix: str) -> Mapping[str, str]:
        """Return fingerprint → summary of the incidents of a kind that are not resolved and whose fingerprint begins so."""
        rows = await self._connection.fetch(_OPEN_PROBLEMS, kind, prefix + "%")
        return {row["fingerprint"]: row["summary"] for row in rows}


async def people_on_roster(connection: Connection) -> frozenset[str]:
    """Return everybody whom the plan names, or an override that is not over."""
    reader, now = RosterReader(connection), await connection.fetchval("SELECT now()")
    plan, overrides = await reader.plan(), await reader.overrides(since=now, until=now + _TURNS)
    named = frozenset(each.person for each in overrides if each.person is not None)
    return named if plan is None else named | plan.people()


def plan_to(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON values."""
    values: dict[str, Any] = _PLANS.dump_python(plan, mode="json")
    return values


def plan_from(value: Mapping[str, Any]) -> Plan:
    """Read back what ``plan_to`` made."""
    return _PLANS.validate_python(value)
