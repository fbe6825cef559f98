"""Lists of what needs a person, among very many problems and messages that are over: each reads about as many rows as it shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from notifier.delivery.reads import select_notifications, select_told
from notifier.incidents.store import select_incidents
from notifier.incidents.views import IncidentConditions
from tests.support.big_services import fill_notifier
from tests.support.plans import rows_read, scans_begun

INCIDENTS, SHOWN, DAYS_ASKED = 20_000, 51, 7
LISTS: dict[str, tuple[str, Any]] = {
    "incidents that are open": select_incidents(IncidentConditions(state="open"), limit=SHOWN),
    "open and critical": select_incidents(IncidentConditions(state="open", severity="critical"), limit=SHOWN),
    "acknowledged": select_incidents(IncidentConditions(state="acknowledged"), limit=SHOWN),
    "the newest": select_incidents(IncidentConditions(), limit=SHOWN),
    "of an order": select_incidents(IncidentConditions(order="N7"), limit=SHOWN),
    **{
        f"messages, {state}": select_notifications(state=state, limit=SHOWN)
        for state in ("pending", "sending", "sent", "failed", "unknown", "dropped", "not_told")
    },
    "all messages": select_notifications(limit=SHOWN),
    "an order's messages": select_notifications(order="N7", limit=SHOWN),
    "an order's that failed": select_notifications(order="N7", state="failed", limit=SHOWN),
}


async def test_lists_of_problems_and_messages_read_few_rows(database_for: Callable[[str], Awaitable[str]]) -> None:
    dsn = await database_for("notifier")
    await fill_notifier(dsn, INCIDENTS)
    connection = await asyncpg.connect(dsn)
    try:
        read = {name: await rows_read(connection, *asked) for name, asked in LISTS.items()}
        today = datetime.now(UTC)
        days = [(today - timedelta(days=back + 1), today - timedelta(days=back)) for back in range(DAYS_ASKED)]
        told = [select_told(*day) for day in days]
        counted = [(await connection.fetch(statement, *values))[0]["orders"] for statement, values in told]
        begun = [await scans_begun(connection, *each) for each in told]
        told_read = [await rows_read(connection, *each) for each in told]
    finally:
        await connection.close()
    assert {name: rows for name, rows in read.items() if rows > 5 * SHOWN} == {}
    assert min(counted) > INCIDENTS // 20
    assert max(begun) < SHOWN, "the orders of a day are counted in one piece, not one by one"
    most = [3 * orders + SHOWN for orders in counted]  # its orders, and what was sent of them and of as many problems
    assert [(rows, allowed) for rows, allowed in zip(told_read, most, strict=True) if rows > allowed] == []
