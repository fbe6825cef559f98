"""What every service's tables keep for a time, and what they keep for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from pydantic import ValidationError

from common.postgres import Database
from common.service import PlatformRetention, RetentionSettings
from common.service.audit_chain import seal_all
from tests.support.clocks import ManualClock

_FILL = """
INSERT INTO inbox (consumer, event_id, received_at) SELECT 'c', g::text, now() - g * interval '1 day' FROM generate_series(1, 100) AS g;
INSERT INTO delivery_failures SELECT 'c', g::text, 1, 'e', now() - (g - 0.5) * interval '1 day' FROM generate_series(1, 100) AS g;
INSERT INTO idempotency_keys (scope, key, fingerprint, status, created_at)
SELECT 's', g::text, '', 200, now() - (g - 0.5) * interval '1 day' FROM generate_series(1, 100) AS g;
INSERT INTO bulk_plans (plan, operation, selection, items, matched, expires_at)
SELECT g::text, 'o', '{}', '[]', 0, now() + (3.5 - g) * interval '1 hour' FROM generate_series(1, 100) AS g;
INSERT INTO dead_letters (queue, handler, reason, error, body, dead_at, replayed_at)
SELECT 'q', 'h', 'poison', 'e', '', now() - interval '1000 days', CASE WHEN g <= 100 THEN now() - g * interval '1 day' END
FROM generate_series(1, 110) AS g;
INSERT INTO audit_log (at, actor, role, action, target, reason, request_id)
SELECT now() - (800.5 - g) * interval '1 day', 'a', 'operator', 'x', 't', 'r', 'q' FROM generate_series(1, 800) AS g
"""


@pytest.fixture
async def database(database_for: Callable[[str], Awaitable[str]]) -> AsyncIterator[Database]:
    """A service's database with rows of every age, one a day."""
    opened = Database(await database_for("refunds"), application_name="test")
    await opened.open()
    async with opened.acquire() as connection:
        await connection.execute(_FILL)
    yield opened
    await opened.close()


def retention(database: Database, *, audit_days: float = 0) -> PlatformRetention:
    """Keep marks for forty days and a half, dead letters for fifty."""
    return PlatformRetention(
        database=database,
        clock=ManualClock(datetime.now(UTC)),
        keep_inbox=timedelta(days=40.5),
        keep_dead_letters=timedelta(days=50.5),
        keep_audit=RetentionSettings(audit_days=audit_days).keep_audit,
        batch=7,
    )


async def left(database: Database) -> dict[str, int]:
    tables = ("inbox", "delivery_failures", "idempotency_keys", "bulk_plans", "dead_letters", "audit_log")
    async with database.acquire() as connection:
        return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables}  # noqa: S608 - named here


async def test_what_is_old_goes_and_undecided_letters_and_the_audit_log_stay(database: Database) -> None:
    # Three replicas at once: each row goes once, and nobody fails.
    gone = await asyncio.gather(*(retention(database)() for _ in range(3)))
    while any((await retention(database)()).values()):
        pass
    assert await left(database) == {
        "inbox": 40,
        "delivery_failures": 30,
        "idempotency_keys": 2,
        "bulk_plans": 3,
        "dead_letters": 60,
        "audit_log": 800,
    }
    assert sum(one["inbox"] for one in gone) <= 60
    assert "audit_log" not in gone[0]


async def test_the_audit_log_goes_after_its_own_time_and_never_within_a_year(database: Database) -> None:
    assert (await retention(database, audit_days=500)())["audit_log"] == 0, "it has no seal yet"
    await seal_all(database)
    assert (await retention(database, audit_days=500)())["audit_log"] == 300
    with pytest.raises(ValidationError):
        RetentionSettings(audit_days=30)
    async with database.acquire() as connection:
        for statement in (
            "DELETE FROM audit_log WHERE at > now() - interval '364 days'",
            "UPDATE audit_log SET reason = 'x' WHERE at < now() - interval '400 days'",
            "TRUNCATE audit_log",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        assert await connection.fetchval("SELECT forget_audit(now(), 1000)") == 500 - 365
    assert (await left(database))["audit_log"] == 365
