"""What is old and at its end is forgotten; what anybody still needs stays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from common.postgres import Database
from notifier.delivery.retention import Retention
from notifier.duty.roster_store import RosterReader, RosterStore

_NOW = datetime.now(UTC)


def _id(age: timedelta, number: int) -> UUID:
    """A notice's id of that age."""
    return UUID(int=(int((_NOW - age).timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | number)


async def test_old_rows_are_deleted_and_what_still_waits_is_not(
    database_for: Callable[[str], Awaitable[str]],
) -> None:
    database = Database(await database_for("notifier"), application_name="retention")
    await database.open()
    old, fresh = timedelta(days=91), timedelta(days=89)
    async with database.transaction() as connection:
        for number, (age, state) in enumerate(
            [(old, "sent"), (old, "failed"), (old, "pending"), (old, "unknown"), (fresh, "sent")]
        ):
            incident = await connection.fetchval(
                """
                INSERT INTO incidents (fingerprint, kind, severity, state, summary, details, service, environment,
                                       first_seen_at, last_seen_at, resolved_at)
                VALUES ($1, 'k', 'info', 'resolved', 's', '{}', 's', 'e', $2, $2, $2) RETURNING id
                """,
                str(number),
                _NOW - age,
            )
            await connection.execute(
                """
                INSERT INTO notices (id, subject, transition, sequence, kind, severity, incident_id, event_id, occurred_at)
                VALUES ($1, 's', $2, 1, 'k', 'info', $3, 'e', now())
                """,
                _id(age, number),
                f"t{number}",
                incident,
            )
            await connection.execute(
                """
                INSERT INTO deliveries (notice_id, subject, sequence, destination, channel, lane, route, priority, state)
                VALUES ($1, 's', 1, 'd', 'telegram', 'l', 'r', 5, $2)
                """,
                _id(age, number),
                state,
            )
            await connection.execute("INSERT INTO early_resolutions VALUES ($1, $2)", str(number), _NOW - age)
    retention = Retention(database, keep=timedelta(days=90), keep_tickets=timedelta(days=90), batch=1)
    assert await retention.forget() == 2 + 2 + 4
    assert await retention.forget() == 0
    async with database.acquire() as connection:
        left = {
            table: await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - names of this test's own
            for table in ("notices", "deliveries", "incidents", "early_resolutions")
        }
    await database.close()
    assert left == {"notices": 3, "deliveries": 3, "incidents": 3, "early_resolutions": 1}


async def test_closed_tickets_and_past_shifts_go_after_a_longer_time(
    database_for: Callable[[str], Awaitable[str]],
) -> None:
    database = Database(await database_for("notifier"), application_name="retention")
    await database.open()
    async with database.transaction() as connection:
        for days in (100, 800):
            at = _NOW - timedelta(days=days)
            for state, closed_at in (("closed", at), ("open", None)):
                await connection.execute(
                    """
                    INSERT INTO tickets (queue, kind, summary, description, created_by, state, closed_at, outside)
                    VALUES ('Q', 'k', 's', 'd', 'p', $1, $2, 'kept')
                    """,
                    state,
                    closed_at,
                )
            await connection.execute(
                "INSERT INTO silences (match, purpose, starts_at, ends_at, reason, created_by) VALUES ('{}', 'silence', $1, $1, 'r', 'p')",
                at,
            )
            await connection.execute("INSERT INTO handovers (starts_at, ends_at, person) VALUES ($1, $1, 'p')", at)
            await RosterStore(connection).add(
                place="on_duty", person="p", starts_at=at - timedelta(hours=1), ends_at=at, reason="r", by="p"
            )
        revision = await RosterReader(connection).current_revision()
    retention = Retention(database, keep=timedelta(days=90), keep_tickets=timedelta(days=730))
    assert await retention.forget() == 4
    assert await retention.forget() == 0
    async with database.acquire() as connection:
        left = {
            table: await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - names of this test's own
            for table in ("tickets", "silences", "handovers", "roster_overrides")
        }
        # What somebody has rehearsed on the roster still holds: nobody has changed it.
        assert await RosterReader(connection).current_revision() == revision
    await database.close()
    assert left == {"tickets": 3, "silences": 1, "handovers": 1, "roster_overrides": 1}
