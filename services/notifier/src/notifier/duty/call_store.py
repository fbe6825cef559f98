"""Phone calls in PostgreSQL: claimed one per person, under the lock of what they are about."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from common.postgres import Connection, Database
from common.reading.values import storable
from common.service import apart, kept_apart
from notifier.delivery.notifications import NotificationStore
from notifier.duty.model import HELD_FOR, CallClaim, CallOutcome, Placed, TryLater, Unreachable
from notifier.incidents.silenced import note_held, silenced_of

_CANDIDATES = """
SELECT id, person, incident_id, handover_id, created_at FROM calls
WHERE (state = 'waiting' AND not_before <= clock_timestamp()) OR (state = 'calling' AND lease_until < clock_timestamp())
ORDER BY created_at, id LIMIT 20
"""
_ONE_A_PERSON = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 71))"
_INCIDENT = "SELECT * FROM incidents WHERE id = $1 FOR UPDATE"
_HANDOVER = """
SELECT CASE WHEN ended_at IS NOT NULL THEN 'gone' WHEN confirmed_at IS NULL THEN 'open' ELSE 'confirmed' END AS state,
       person AS summary, NULL AS order_number
FROM handovers WHERE id = $1 FOR UPDATE
"""
_STILL = """
SELECT attempts FROM calls
WHERE id = $1 AND ((state = 'waiting' AND not_before <= clock_timestamp()) OR (state = 'calling' AND lease_until < clock_timestamp()))
FOR UPDATE
"""
_NEEDLESS = (
    "UPDATE calls SET state = 'needless', ended_at = clock_timestamp(), lease_until = NULL, reason = $2 WHERE id = $1"
)
_BUSY = """
SELECT max(CASE WHEN state = 'calling' THEN lease_until ELSE ended_at + $3::interval END) FROM calls
WHERE person = $1 AND id <> $2
  AND ((state = 'calling' AND lease_until > clock_timestamp()) OR (state = 'placed' AND ended_at + $3::interval > clock_timestamp()))
"""
_POSTPONE = "UPDATE calls SET not_before = $2 WHERE person = $1 AND state = 'waiting' AND not_before < $2"
_OTHERS = """
SELECT count(*) FROM calls AS c JOIN incidents AS i ON i.id = c.incident_id
WHERE c.person = $1 AND c.id <> $2 AND c.state = 'waiting' AND i.state = 'open' AND i.id <> ALL($3::bigint[])
"""
_WAITING = """
SELECT i.* FROM incidents AS i
WHERE i.state = 'open'
  AND EXISTS (SELECT FROM calls AS c WHERE c.incident_id = i.id AND c.person = $1 AND c.state IN ('waiting', 'calling'))
"""
_HOLD = "UPDATE calls SET state = 'waiting', not_before = clock_timestamp() + $2::interval, lease_until = NULL WHERE id = $1"
# Under another number it is another call, with a key of its own: the provider must not answer with the former one.
_CLAIM = """
UPDATE calls SET state = 'calling', claimed_at = clock_timestamp(), lease_until = clock_timestamp() + $2::interval,
    id = CASE WHEN number <> $3 THEN $4::uuid ELSE id END, attempts = CASE WHEN number <> $3 THEN 1 ELSE attempts + 1 END,
    number = coalesce($3, number)
WHERE id = $1 RETURNING id, attempts
"""
_RECORD = """
UPDATE calls SET state = $2, outside_id = $3, reason = $4, not_before = $5, lease_until = NULL,
    ended_at = CASE WHEN $2 = 'waiting' THEN NULL ELSE clock_timestamp() END
WHERE id = $1 AND state = 'calling' AND attempts = $6
RETURNING id
"""
_COVER = """
UPDATE calls SET state = 'covered', ended_at = clock_timestamp(), reason = $3
WHERE person = $1 AND state = 'waiting' AND id <> $2 AND created_at <= clock_timestamp()
  AND incident_id IS NOT NULL AND incident_id <> ALL($4::bigint[])
"""
_NOTE = "INSERT INTO incident_history (incident_id, actor, act, text) VALUES ($1, 'notifier', $2, $3)"
_NEXT_STEP = "UPDATE escalations SET due_at = clock_timestamp() WHERE incident_id = $1 AND due_at > clock_timestamp()"
_PROGRESS_OF = "SELECT progress, state FROM calls WHERE id = $1 FOR UPDATE"
_SET_PROGRESS = """
UPDATE calls SET progress = $2, progress_at = clock_timestamp(), outside_id = coalesce(outside_id, $3),
    state = CASE WHEN state IN ('waiting', 'calling', 'failed') THEN 'placed' ELSE state END,
    ended_at = coalesce(ended_at, clock_timestamp()), lease_until = NULL
WHERE id = $1
"""
_PROGRESS = {"queued": 0, "initiated": 1, "ringing": 2, "in-progress": 3} | dict.fromkeys(
    ("completed", "busy", "no-answer", "failed", "canceled"), 4
)
_NOT_ANSWERED = frozenset({"busy", "no-answer", "failed", "canceled"})
_LONGEST_WAIT = 60.0


class CallStore:
    """The calls that are to be made. Locks: person → incident (or handover) → call → timer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self, *, lease: timedelta, pause: timedelta, number_of: Callable[[str], str | None]
    ) -> CallClaim | None:
        """Claim the next call under its incident's lock, if that is still open; None when there is none to make now.

        A person is not phoned again within ``pause`` of the last call, nor about what a silence covers now. What needs no call any more
        is ended on the way. ``number_of``: the digest of the number that a person has now.
        """
        async with self._database.acquire() as connection:
            candidates = await connection.fetch(_CANDIDATES)
        for row in candidates:
            name, claim = (
                f"claim of call {row['id']}",
                None,
            )  # not "call": one that is claimed well may fail all the same
            if name not in kept_apart():
                with apart(name):
                    async with self._database.transaction() as connection:
                        claim = await self._claim(connection, row, lease=lease, pause=pause, number_of=number_of)
            if claim is not None:
                return claim
        return None

    async def _claim(
        self,
        connection: Connection,
        row: Any,
        *,
        lease: timedelta,
        pause: timedelta,
        number_of: Callable[[str], str | None],
    ) -> CallClaim | None:
        if not await connection.fetchval(_ONE_A_PERSON, row["person"]):
            return None
        about = row["incident_id"] if row["incident_id"] is not None else row["handover_id"]
        cause = await connection.fetchrow(_HANDOVER if row["incident_id"] is None else _INCIDENT, about)
        if await connection.fetchrow(_STILL, row["id"]) is None:
            return None
        if cause is None or cause["state"] != "open":
            reason = "gone" if cause is None else cause["state"]
            await connection.execute(_NEEDLESS, row["id"], reason)
            return None
        silenced = await self._silenced(connection, row["person"])
        if row["incident_id"] in silenced:
            await note_held(connection, row["incident_id"], silenced[row["incident_id"]])
            await connection.execute(_HOLD, row["id"], HELD_FOR)
            return None
        until: datetime | None = await connection.fetchval(_BUSY, row["person"], row["id"], pause)
        if until is not None:
            await connection.execute(_POSTPONE, row["person"], until)
            return None
        others = await connection.fetchval(_OTHERS, row["person"], row["id"], list(silenced))
        claimed = await connection.fetchrow(_CLAIM, row["id"], lease, number_of(row["person"]), uuid4())
        assert claimed is not None  # noqa: S101 - the row is locked
        return CallClaim(
            id=str(claimed["id"]),
            person=row["person"],
            attempts=claimed["attempts"],
            incident_id=row["incident_id"],
            summary=cause["summary"],
            order_number=cause["order_number"],
            others=others,
            since=row["created_at"],
        )

    async def _silenced(self, connection: Connection, person: str) -> dict[int, str]:
        """Return the incidents about which a person waits to be phoned and that a silence covers now, and which it is."""
        notifications = NotificationStore(connection)
        silences, _ = await notifications.silences()
        rows = await connection.fetch(_WAITING, person) if silences else []
        covered = await silenced_of(notifications, rows) if rows else []
        return {row["id"]: why for row, why in zip(rows, covered, strict=True) if why is not None}

    async def progress(self, call_id: UUID, *, word: str, outside_id: str) -> None:
        """Write down what the provider says of a call; it never goes back, and an unknown call is left alone.

        Whatever was not known of the placing is known now. Not answered: the chain's next step is due at once.
        """
        rank = _PROGRESS.get(word, 0)
        async with self._database.transaction() as connection:
            about = await connection.fetchrow("SELECT incident_id, person FROM calls WHERE id = $1", call_id)
            if about is None:
                return
            if about["incident_id"] is not None:
                await connection.fetchrow(_INCIDENT, about["incident_id"])
            before = await connection.fetchrow(_PROGRESS_OF, call_id)
            if before is None or _PROGRESS.get(before["progress"] or "", -1) >= rank:
                return
            await connection.execute(_SET_PROGRESS, call_id, word, outside_id)
            if about["incident_id"] is None:
                return
            if before["state"] not in {"placed", "covered", "needless"}:
                await connection.execute(_NOTE, about["incident_id"], "called", about["person"])
            if word == "in-progress":
                await connection.execute(_NOTE, about["incident_id"], "call_answered", about["person"])
            elif word in _NOT_ANSWERED:
                await connection.execute(_NOTE, about["incident_id"], "call_failed", f"{about['person']}: {word}")
                await connection.execute(_NEXT_STEP, about["incident_id"])

    async def record(self, claim: CallClaim, outcome: CallOutcome, *, give_up_after: int) -> str:
        """Write down what came of it; returns the call's state. Unreachable makes the chain's next step due at once."""
        state, reason, outside_id, wait = "placed", None, None, 0.0
        if isinstance(outcome, Placed):
            outside_id = storable(outcome.outside_id)
        elif isinstance(outcome, Unreachable) or claim.attempts >= give_up_after:
            state, reason = "failed", storable(outcome.reason)
        else:
            state, reason, wait = "waiting", storable(outcome.reason), _wait(outcome, claim.attempts)
        async with self._database.transaction() as connection:
            if claim.incident_id is not None:
                await connection.fetchrow(_INCIDENT, claim.incident_id)
            now: datetime = await connection.fetchval("SELECT clock_timestamp()")
            not_before = now + timedelta(seconds=wait)
            ours = await connection.fetchval(_RECORD, claim.id, state, outside_id, reason, not_before, claim.attempts)
            if ours is None:
                return "superseded"  # its lease was over and somebody else asked again, under the same key
            if state == "placed":
                silenced = await self._silenced(connection, claim.person)
                await connection.execute(_COVER, claim.person, claim.id, claim.id, list(silenced))
            if claim.incident_id is not None and state != "waiting":
                act, text = (
                    ("called", claim.person) if state == "placed" else ("call_failed", f"{claim.person}: {reason}")
                )
                await connection.execute(_NOTE, claim.incident_id, act, text)
                if state == "failed":
                    await connection.execute(_NEXT_STEP, claim.incident_id)
        return state


def _wait(outcome: TryLater, attempts: int) -> float:
    asked = outcome.seconds if outcome.seconds is not None else 0.0
    return min(_LONGEST_WAIT, max(asked, float(1 << min(attempts - 1, 6))))
