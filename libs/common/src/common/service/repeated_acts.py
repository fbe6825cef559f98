"""Acts that people repeat for one reason: counted from the audit log, and proposed for automation.

Why: docs/requirements.md#repeated-acts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from common.clock import Clock
from common.contracts.alerts import ProblemRaisedV1
from common.contracts.envelope import Envelope
from common.http import Request, Route, read_route
from common.ids import derived_id
from common.messaging import outbox
from common.postgres import Connection, Database

KIND = "acts.repeated"
_DAYS = 30
_AT_LEAST = 10
_MOST = 100
_ATTENTION = ("customer_data.read", "call.refused")
"""What is no work: reading, taking, answering, what was refused. A service names its own beside these."""
# One request is one act, however many items it had; numbers and ids in a reason do not make it another.
_COUNT = r"""
SELECT action, how AS reason, count(DISTINCT request_id)::int AS times, array_agg(DISTINCT actor ORDER BY actor) AS people,
    min(at) AS first_at, max(at) AS last_at, (array_agg(target ORDER BY id DESC))[1:3] AS latest
FROM (
    SELECT id, at, action, actor, target, request_id,
        left(lower(btrim(regexp_replace(regexp_replace(reason, '\S*\d\S*', '#', 'g'), '\s+', ' ', 'g'))), 200) AS how
    FROM audit_log WHERE at >= now() - make_interval(days => $1) AND action <> ALL($2::text[])
) AS acts
GROUP BY action, how HAVING count(DISTINCT request_id) >= $3
ORDER BY times DESC, action, how LIMIT $4
"""


class RepeatedActsQuery(BaseModel):
    """Over how many days, and how often at least."""

    model_config = ConfigDict(extra="forbid")

    days: int = Field(default=_DAYS, ge=1, le=366)
    at_least: int = Field(default=_AT_LEAST, ge=2, le=100_000)


class RepeatedAct(BaseModel):
    """An act that people did again and again for one reason, and what they did it to last."""

    action: str
    reason: str = Field(description="in lower case; numbers and ids are #")
    times: int = Field(description="requests; a bulk change is one")
    people: list[str]
    first_at: datetime
    last_at: datetime
    latest: list[str]


class RepeatedActs(BaseModel):
    """The most repeated ones, the most frequent first, a hundred at most."""

    items: list[RepeatedAct]


async def count_repeated(
    connection: Connection, *, days: int, at_least: int, apart: Collection[str] = ()
) -> Sequence[RepeatedAct]:
    """Return acts that were done so often within so many days. ``apart`` are actions that only a person can do."""
    rows = await connection.fetch(_COUNT, days, [*_ATTENTION, *apart], at_least, _MOST)
    return [RepeatedAct(**dict(row)) for row in rows]


def repeated_acts_routes(database: Database, *, apart: Collection[str] = ()) -> list[Route]:
    """Return ``GET /admin/v1/repeated-acts``."""

    async def read(request: Request[None, RepeatedActsQuery]) -> RepeatedActs:
        """Answer what is repeated."""
        query = request.query
        async with database.acquire() as connection:
            found = await count_repeated(connection, days=query.days, at_least=query.at_least, apart=apart)
        return RepeatedActs(items=list(found))

    return [
        read_route(
            "/admin/v1/repeated-acts",
            read,
            "Acts that people repeat for one reason, which could be automated",
            RepeatedActs,
            query=RepeatedActsQuery,
        )
    ]


class ProposeAutomation:
    """Raises a problem (``info``) for each act that was repeated ten times within thirty days, and again whenever that has doubled.

    Safe in every replica: the event's id follows from what it says, and consumers take it once.
    """

    def __init__(self, *, database: Database, service: str, clock: Clock, apart: Collection[str] = ()) -> None:
        self._database = database
        self._service = service
        self._clock = clock
        self._apart = apart
        self._proposed: set[str] = set()

    async def __call__(self) -> int:
        """Propose what is new; returns how many."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            found = await count_repeated(connection, days=_DAYS, at_least=_AT_LEAST, apart=self._apart)
            new = [envelope for act in found if (envelope := self._envelope(act, now)).id not in self._proposed]
            await outbox.add(connection, *new)
        self._proposed.update(envelope.id for envelope in new)
        return len(new)

    def _envelope(self, act: RepeatedAct, now: datetime) -> Envelope:
        doubled = (act.times // _AT_LEAST).bit_length()
        what = hashlib.sha256(f"{act.action}\n{act.reason}".encode()).hexdigest()[:16]
        problem = ProblemRaisedV1(
            kind=KIND,
            severity="info",
            fingerprint=f"repeated:{self._service}:{what}",
            summary=f"{act.action}: {act.times} × {_DAYS} d",
            details={
                "action": act.action,
                "reason": act.reason,
                "times": str(act.times),
                "people": ", ".join(act.people),
            },
            service=self._service,
            occurred_at=now,
        )
        event_id = derived_id("repeated-act", self._service, what, str(doubled))
        return Envelope.of(
            problem, event_id=event_id, source=f"/{self._service}", subject=None, time=now, traceparent=None
        )
