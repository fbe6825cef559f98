"""Silence on one problem, asked for by a button: a silence like any other, which the admin address lists and ends."""

from __future__ import annotations

from datetime import timedelta

from common.postgres import Connection
from notifier.incidents.model import Incident
from notifier.routing.model import literal
from notifier.silences.store import SilenceStore


async def silence(connection: Connection, incident: Incident, person: str, lasts: timedelta, reason: str) -> None:
    """Keep notices of the incident's problem back for a while, in the caller's transaction."""
    now = await connection.fetchval("SELECT now()")
    await SilenceStore(connection).add(
        match={"fingerprint": [literal(incident.fact.fingerprint)]},
        purpose="silence",
        starts_at=None,
        ends_at=now + lasts,
        reason=reason,
        by=person,
    )
