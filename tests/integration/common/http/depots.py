"""Two replicas of a depot that sends parcels, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from common.contracts.notices import notice
from common.errors import Conflict, Unavailable
from common.http import (
    BULK_ERRORS,
    CONTACT,
    OPERATOR,
    Bulk,
    BulkAnswer,
    BulkChange,
    BulkDone,
    BulkFilter,
    Change,
    Changes,
    Request,
    Route,
    RowId,
)
from common.http import Answer as Answered
from common.postgres import Connection, Database

from .conftest import Answer, Demo

SCHEMA = """
CREATE TABLE parcels (id bigint PRIMARY KEY, town text, state text NOT NULL DEFAULT 'open', weight int NOT NULL DEFAULT 0,
    version int NOT NULL DEFAULT 1, phone text NOT NULL DEFAULT '+79161234567')
"""
_FIND = """
SELECT id FROM parcels WHERE ($1::text IS NULL OR town = $1) AND ($2::text IS NULL OR state = $2)
    AND ($3::bigint[] IS NULL OR id = ANY($3)) AND ($5::text IS NULL OR phone = $5) ORDER BY id LIMIT $4
"""
_SEND = (
    "UPDATE parcels SET state = 'sent', weight = weight + $2, version = version + 1 WHERE id = $1 AND state = 'open'"
)


class Which(BulkFilter):
    """Which parcels."""

    town: str | None = None
    state: str | None = None
    phone: Annotated[str | None, CONTACT] = None


class Send(BulkChange[RowId, Which]):
    """Which parcels to send, and with how much more in each."""

    extra: int = 0


class Depot:
    """A replica that sends parcels."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.changes = Changes(database)
        self.reached = asyncio.Event()
        self.go_on: asyncio.Event | None = None
        self.away = False

    async def find(
        self, connection: Connection, which: Which, among: Sequence[int] | None, limit: int
    ) -> Sequence[int]:
        rows = await connection.fetch(_FIND, which.town, which.state, among, limit, which.phone)
        return [row["id"] for row in rows]

    async def lock(self, connection: Connection, ids: Sequence[int]) -> Mapping[int, int]:
        rows = await connection.fetch(
            "SELECT id, version FROM parcels WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE", ids
        )
        return {row["id"]: row["version"] for row in rows}

    async def send(self, request: Request[Send, None]) -> Answered:
        async def work(change: Change, key: int) -> BulkDone:
            if self.away:
                raise Unavailable("the road is closed")
            if self.go_on is not None:
                self.reached.set()
                await self.go_on.wait()
            if await change.connection.execute(_SEND, key, request.body.extra) == "UPDATE 0":
                raise Conflict("it is not open")
            await change.record("parcel.send", f"parcel:{key}")
            change.tells(notice("parcel.sent", of=str(key), to="the town"))
            return BulkDone(outcome="sent")

        bulk = Bulk(operation=request.route.path, find=self.find, lock=self.lock, work=work)
        return await bulk.carry_out(self.changes, request)

    def routes(self) -> list[Route]:
        return [
            Route(
                method="POST",
                path=f"/admin/v1/parcels/{name}",
                handler=self.send,
                summary="Send parcels",
                request=Send,
                response=BulkAnswer,
                roles=OPERATOR,
                errors=BULK_ERRORS,
                idempotent=True,
            )
            for name in ("send", "return")
        ]


class World:
    """Two replicas with one database."""

    def __init__(self, depots: Sequence[Depot], demos: Sequence[Demo]) -> None:
        self.depots = depots
        self.demos = demos

    async def send(
        self, *, replica: int = 0, key: str | None = None, what: str = "send", who: str = "operator", **body: Any
    ) -> Answer:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.demos[replica].call(
            "POST",
            f"/admin/v1/parcels/{what}",
            token=f"t-{who}",
            json={"reason": "the truck is here", **body},
            headers=headers,
        )

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        async with self.depots[0].database.acquire() as connection:
            return [tuple(row) for row in await connection.fetch(statement, *values)]

    async def sent(self) -> list[int]:
        return [row[0] for row in await self.sql("SELECT id FROM parcels WHERE state = 'sent' ORDER BY id")]

    async def somebody_waits(self) -> list[tuple[Any, ...]]:
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return await self.sql(waiting)

    async def audited(self) -> list[str]:
        return [row[0] for row in await self.sql("SELECT target FROM audit_log ORDER BY id")]


def outcomes(answer: Answer) -> dict[int, str]:
    assert answer.status == 200, answer.body
    return {item["id"]: item["outcome"] for item in answer.json()["items"]}
