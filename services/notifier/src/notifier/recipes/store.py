"""Confirmed recipes in PostgreSQL: claimed by a lease, carried out once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from common.contracts.notices import IF_IT_FAILS, IF_IT_SUCCEEDS, only, perhaps
from common.ids import derived_id
from common.postgres import Connection, Database, undone
from notifier.delivery.notifications import NotificationStore
from notifier.duty.model import TryLater
from notifier.incidents.problems import Problems, Resolution
from notifier.recipes.model import RecipeDone, RecipeOutcome, RecipeRequest, request_of
from notifier.tickets.name_notices import DROPPED

_CLAIM = """
UPDATE recipe_requests SET state = 'running', attempts = attempts + 1, began_at = coalesce(began_at, clock_timestamp()),
    lease_until = clock_timestamp() + $1::interval, not_before = clock_timestamp() + $1::interval
WHERE id = (SELECT id FROM recipe_requests WHERE state IN ('confirmed', 'running') AND not_before <= clock_timestamp()
            ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *
"""
_RECORD = """
UPDATE recipe_requests SET state = $2, result = $3, not_before = clock_timestamp() + $4::interval, lease_until = NULL,
    ended_at = CASE WHEN $2 <> 'running' THEN clock_timestamp() END
WHERE id = $1 AND state = 'running' AND attempts = $5
RETURNING began_at
"""
_FINGERPRINT = "SELECT fingerprint FROM incidents WHERE id = $1"
_INCIDENT = "SELECT state FROM incidents WHERE id = $1 FOR UPDATE"
_TOLD = "UPDATE incident_history SET told = true WHERE incident_id = $1 AND NOT told"
_NOW = "SELECT clock_timestamp()"
_SAYS_ITSELF = "retry_workflow"
_NOTE = "INSERT INTO incident_history (incident_id, actor, act, text) VALUES ($1, $2, $3, $4)"


class RecipeStore:
    """Confirmed recipes that are to be carried out."""

    def __init__(self, database: Database, *, problems: Problems) -> None:
        self._database = database
        self._problems = problems

    async def claim(self, *, lease: timedelta) -> RecipeRequest | None:
        """Claim the next one; a claim whose owner died is due again after its lease."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_CLAIM, lease)
        return None if row is None else request_of(row)

    async def record(self, request: RecipeRequest, outcome: RecipeOutcome, *, text: str, give_up_after: int) -> str:
        """Write down what came of it.

        Done ends the incident as it stood when the recipe began: what was reported since stays open. That of a workflow its service ends,
        once the retry got past the step on which it had crashed.
        """
        wait = timedelta(0)
        if isinstance(outcome, RecipeDone):
            state = "done"
        elif isinstance(outcome, TryLater) and request.attempts < give_up_after:
            state, wait = "running", timedelta(seconds=min(30, 2**request.attempts))
        else:
            state = "failed"
        async with self._database.transaction() as connection:
            # Locks: problem → incident → request, as for presses and reports.
            notifications = NotificationStore(connection)
            fingerprint = await connection.fetchval(_FINGERPRINT, request.incident_id)
            await notifications.lock([fingerprint] if fingerprint is not None else [])
            stands_at = await connection.fetchval(_INCIDENT, request.incident_id)
            ours = await connection.fetchrow(_RECORD, request.id, state, text, wait, request.attempts)
            if ours is None:
                return "superseded"
            if state != "running":
                await note(connection, request, state, text=text)
            if state == "done" and request.recipe != _SAYS_ITSELF and stands_at in {"open", "acknowledged"}:
                over = resolution(request, fingerprint, text=text, at=ours["began_at"])
                await self._problems.ingest(notifications, [over])
        return state


async def note(connection: Connection, request: RecipeRequest, state: str, *, text: str) -> None:
    """Write into the incident's history how it ended."""
    await connection.execute(_NOTE, request.incident_id, request.person, f"recipe_{state}", text)


def resolution(request: RecipeRequest, fingerprint: str, *, text: str, at: datetime) -> Resolution:
    """Return the end of the problem that it has mended."""
    event_id = derived_id("notifier.recipe-done", str(request.id))
    return Resolution(fingerprint=fingerprint, actor=request.person, summary=text, at=at, event_id=event_id)


async def ends(
    notifications: NotificationStore,
    request: RecipeRequest,
    fingerprint: str,
    *,
    text: str,
    problems: Problems,
    lines: Callable[[NotificationStore], Awaitable[list[str]]],
) -> list[str]:
    """Name what follows when it has been carried out, or was refused, by doing either in the caller's transaction and undoing it.

    The problem and its incident are locked. ``lines`` names what a store and the transaction have done. Whether the problem is over then
    is not certain: it may be reported again meanwhile.
    """
    connection = notifications.connection
    found: list[str] = []
    for condition, state in ((IF_IT_SUCCEEDS, "done"), (IF_IT_FAILS, "failed")):
        async with undone(connection):
            await connection.execute(_TOLD, request.incident_id)  # what its beginning tells is told by then
            await note(connection, request, state, text=text)
            certain = await lines(NotificationStore(connection))
            found += only(condition, certain)
            if state == "done" and request.recipe != _SAYS_ITSELF:
                over = NotificationStore(connection)
                at = await connection.fetchval(_NOW)
                await problems.ingest(over, [resolution(request, fingerprint, text=text, at=at)])
                also = Counter(await lines(over)) - Counter(certain)
                # Calls that waited were dropped when it began.
                found += only(condition, (perhaps(line) for line in also.elements() if not line.startswith(DROPPED)))
    return found
