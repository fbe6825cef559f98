"""Lists of what needs a person, among very many problems and messages that are over: each reads about as many rows as it shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from notifier.delivery.reads import select_notifications
from notifier.incidents.store import select_incidents
from notifier.incidents.views import IncidentConditions
from tests.support.big_services import fill_notifier
from tests.support.plans import rows_read

INCIDENTS, SHOWN = 20_000, 51
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
    finally:
        await connection.close()
    assert {name: rows for name, rows in read.items() if rows > 5 * SHOWN} == {}
