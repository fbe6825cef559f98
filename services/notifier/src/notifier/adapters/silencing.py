"""Silence on one problem, asked for by a button. The seam to the silences of routes: it writes what they look at."""

from __future__ import annotations

from datetime import timedelta

from common.postgres import Connection
from notifier.application.ports import Incident

_TABLE = "SELECT to_regclass('silences') IS NOT NULL"


async def silence(connection: Connection, incident: Incident, person: str, lasts: timedelta, reason: str) -> None:
    """Keep notices of the incident's problem back for a while, in the caller's transaction.

    The chain of escalation is held back by the caller; while there is no table of silences, that is all there is to do.
    """
    del incident, person, lasts, reason
    await connection.fetchval(_TABLE)
