"""What a service's checkers found when they looked last: kept by the checkers themselves, shown to whoever asks whether all is well."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from common.errors import Unavailable
from common.http import Request, Route, read_route
from common.postgres import Connection, Database

_KEEP = """
INSERT INTO check_verdicts AS v (name, at, found, looked, detail) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE SET at = excluded.at, found = excluded.found, looked = excluded.looked, detail = excluded.detail
WHERE v.at <= excluded.at
"""
_ALL = "SELECT name, at, found, looked, detail FROM check_verdicts ORDER BY name"


class Verdict(BaseModel):
    """What a checker found. ``found`` is 0 where all is well."""

    name: str
    at: datetime = Field(description="when it had looked")
    found: int = Field(description="what is wrong")
    looked: int = Field(description="at how many it looked")
    detail: str = Field(description="in words, at what")


class Verdicts(BaseModel):
    """The last verdict of each checker that has looked."""

    items: list[Verdict]


async def keep_verdict(connection: Connection, verdict: Verdict) -> None:
    """Keep a verdict unless a later one is kept already. Safe from several replicas at once."""
    await connection.execute(_KEEP, verdict.name, verdict.at, verdict.found, verdict.looked, verdict.detail)


def verdict_routes(database: Database) -> list[Route]:
    """Return ``GET /admin/v1/verdicts``."""

    async def read(_request: Request[None, None]) -> Verdicts:
        """Answer all of them."""
        async with database.acquire() as connection:
            return Verdicts(items=[Verdict(**dict(row)) for row in await connection.fetch(_ALL)])

    return [
        read_route(
            "/admin/v1/verdicts",
            read,
            "What each of the service's checkers found when it looked last",
            Verdicts,
            errors=(Unavailable,),
        )
    ]
