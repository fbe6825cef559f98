"""Button actions in PostgreSQL (table ``presses``): stored before anything is done about them, carried out once, answered afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from common.http import Principal
from common.postgres import Connection, Database
from notifier.delivery.notifications import NotificationStore
from notifier.duty.confirm_handover import confirm_own
from notifier.incidents.model import Incident
from notifier.incidents.store import IncidentStore
from notifier.recipes.requests import RecipeRequests
from notifier.silences.store import silence

_KEEP = """
INSERT INTO presses (channel, outside_id, who, data, reply_to, address, traceparent) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (channel, outside_id) DO NOTHING
"""
_NEXT = """
SELECT id, channel, who, data, address, traceparent FROM presses
WHERE done_at IS NULL AND NOT answered ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_DONE = "UPDATE presses SET done_at = clock_timestamp(), outcome = $2, answer = $3 WHERE id = $1"
_TO_ANSWER = """
UPDATE presses SET lease_until = clock_timestamp() + $1::interval
WHERE id = (SELECT id FROM presses WHERE done_at IS NOT NULL AND NOT answered AND (lease_until IS NULL OR lease_until < clock_timestamp())
            ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, channel, outside_id, reply_to, answer, received_at, outcome
"""
_ANSWERED = "UPDATE presses SET answered = true WHERE id = $1"
_FORGET = "DELETE FROM presses WHERE answered AND received_at < now() - $1::interval"
_NOTE = "INSERT INTO incident_history (incident_id, actor, act, text) VALUES ($1, $2, $3, $4)"
_HOLD = "UPDATE escalations SET due_at = greatest(due_at, clock_timestamp() + $2::interval) WHERE incident_id = $1 AND due_at IS NOT NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonAction:
    """A button that somebody pressed, as it was stored."""

    id: int
    channel: str
    who: str
    data: str
    address: str
    traceparent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionToAnswer:
    """A button action that was carried out and not answered yet."""

    id: int
    channel: str
    outside_id: str
    reply_to: str | None
    text: str
    alert: bool
    received_at: datetime


class ButtonActionStore:
    """Stores, claims and ends button actions, one transaction each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(
        self,
        *,
        channel: str,
        outside_id: str,
        who: str,
        data: str,
        address: str,
        reply_to: str | None,
        traceparent: str | None,
    ) -> None:
        """Store a button action; the same one again is stored once."""
        async with self._database.acquire() as connection:
            await connection.execute(_KEEP, channel, outside_id, who, data, reply_to, address, traceparent)

    @asynccontextmanager
    async def next(self) -> AsyncIterator[tuple[Connection, ButtonAction] | None]:
        """Lock the next button action that was not carried out, in a transaction; None when there is none."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_NEXT)
            yield None if row is None else (connection, ButtonAction(**row))

    async def done(self, connection: Connection, action: ButtonAction, *, outcome: str, answer: str) -> None:
        """Write down what came of a button action, in its transaction."""
        await connection.execute(_DONE, action.id, outcome, answer)

    def effects(self, connection: Connection, action: ButtonAction, principal: Principal) -> ActionEffects:
        """Return what the button may do for this person, in its transaction."""
        return ActionEffects(connection, principal=principal, request_id=f"press-{action.id}")

    async def to_answer(self, *, lease: timedelta) -> ActionToAnswer | None:
        """Claim the next button action that is to be answered."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_TO_ANSWER, lease)
        if row is None:
            return None
        return ActionToAnswer(
            id=row["id"],
            channel=row["channel"],
            outside_id=row["outside_id"],
            reply_to=row["reply_to"],
            text=row["answer"] or "",
            alert=row["outcome"] not in {"done", "asked"},
            received_at=row["received_at"],
        )

    async def answered(self, action_id: int) -> None:
        """Write down that the person has the answer, or never can have it."""
        async with self._database.acquire() as connection:
            await connection.execute(_ANSWERED, action_id)

    async def forget(self, *, older_than: timedelta) -> int:
        """Delete answered button actions."""
        async with self._database.acquire() as connection:
            status = await connection.execute(_FORGET, older_than)
        return int(status.rpartition(" ")[2])


class ActionEffects:
    """Everything that a pressed button works on, for one person and inside the button's transaction."""

    def __init__(self, connection: Connection, *, principal: Principal, request_id: str) -> None:
        self.connection = connection
        self.incident_store = IncidentStore(connection, principal=principal, request_id=request_id)
        self.notifications = NotificationStore(connection)
        self.recipes = RecipeRequests(connection)

    async def silence(self, incident: Incident, *, person: str, lasts: timedelta, reason: str) -> None:
        """Keep quiet about the incident's problem for a while: no notices, and the chain waits. Pressed again, nothing more."""
        made = await silence(self.connection, incident, person, lasts, reason)
        if made is None:
            return
        silence_id, ends_at = made
        await self.incident_store.audit(
            action="silence.add",
            target=f"silence:{silence_id}",
            reason=reason,
            before=None,
            after={"incident": incident.id, "ends_at": ends_at.isoformat()},
        )
        await self.connection.execute(_HOLD, incident.id, lasts)
        await self.note(incident.id, actor=person, act="silenced", text="")

    async def confirm_handover(self, handover_id: int, *, person: str, reason: str) -> str | None:
        """Confirm a handover if it is that person's; returns whose it is, None when there is none."""
        whose, confirmed = await confirm_own(self.connection, handover_id, person=person)
        if confirmed:
            await self.incident_store.audit(
                action="handover.confirm",
                target=f"handover:{handover_id}",
                reason=reason,
                before={"confirmed": False},
                after={"confirmed": True, "person": person},
            )
        return whose

    async def note(self, incident_id: int, *, actor: str, act: str, text: str) -> None:
        """Write a line of the incident's history, to be followed up."""
        await self.connection.execute(_NOTE, incident_id, actor, act, text)
