"""What waits in a service: how much, since when, and from when on that is too long. Read where the metrics are read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Literal

from pydantic import BaseModel, Field, computed_field

from common.errors import Unavailable
from common.http import Request, Route, read_route
from common.messaging import Broker, outbox
from common.messaging.dead_letter_reads import count_open
from common.messaging.topology import QueueSpec
from common.postgres import Database

MESSAGES = "messages."
"""Begins the name of a queue of the broker."""


class WaitingQueue(BaseModel):
    """One queue of a service, or of one of its replicas where each has its own."""

    name: str
    replica: str | None = Field(default=None, description="whose, where each replica has its own")
    waiting: int | None = Field(description="how much waits; null where that cannot be told now")
    oldest_seconds: float | None = Field(
        default=None, description="for how long the oldest has waited; null where nothing waits or nobody notes it"
    )
    late_after_seconds: float | None = Field(default=None, description="from when on a person should look")
    late_above: int | None = Field(
        default=None, description="of more than these a person should know, where no age is noted"
    )
    as_of: datetime | None = Field(default=None, description="when the replica said so, where it is not asked now")

    @computed_field(description="`late`: the oldest waits for too long, or too many wait")  # type: ignore[prop-decorator]  # pydantic's own form
    @property
    def state(self) -> Literal["unknown", "empty", "waiting", "late"]:
        """How it stands, in a word."""
        if self.waiting is None:
            return "unknown"
        if self.waiting == 0:
            return "empty"
        late = self.late_after_seconds is not None and (self.oldest_seconds or 0.0) > self.late_after_seconds
        late = late or (self.late_above is not None and self.waiting > self.late_above)
        return "late" if late else "waiting"


class WaitingQueues(BaseModel):
    """All queues of the service, also the empty ones."""

    items: list[WaitingQueue]
    complete: bool = Field(description="false: the database does not answer, and what it alone knows is missing")


LookAtQueues = Callable[[], Awaitable[Sequence[WaitingQueue]]]
"""Reads some queues as they are now. Raises ``Unavailable`` when they cannot be read at all."""


async def outbox_waiting(database: Database, *, late_after: float) -> Sequence[WaitingQueue]:
    """Read the outbox: events that no consumer can have yet."""
    async with database.acquire() as connection:
        pending, oldest = await outbox.backlog(connection)
    return [queue("outbox", pending, oldest, late_after=late_after)]


async def dead_letters_waiting(database: Database) -> Sequence[WaitingQueue]:
    """Read the dead letters that nobody has decided about; any is one too many."""
    async with database.acquire() as connection:
        count, oldest = await count_open(connection)
    return [queue("dead_letters", count, oldest, late_after=0.0)]


async def messages_waiting(broker: Broker, specs: Sequence[QueueSpec]) -> Sequence[WaitingQueue]:
    """Ask the broker how many messages no consumer has taken; since when they wait it does not say."""

    async def _one(spec: QueueSpec) -> WaitingQueue:
        try:
            waiting = await broker.depth(spec)
        except Unavailable:
            waiting = None
        return WaitingQueue(name=MESSAGES + spec.name, waiting=waiting, late_above=spec.late_above)

    return await asyncio.gather(*map(_one, specs))


def queue(name: str, waiting: int, oldest: float | None, *, late_after: float | None = None) -> WaitingQueue:
    """Return a queue of the whole service. ``oldest``, in seconds, counts only where something waits."""
    age = None if oldest is None or waiting == 0 else max(oldest, 0.0)
    return WaitingQueue(name=name, waiting=waiting, oldest_seconds=age, late_after_seconds=late_after)


def platform_queues(
    database: Database, broker: Broker, specs: Sequence[QueueSpec], *, outbox_late_after: float
) -> tuple[LookAtQueues, ...]:
    """Return the reads that every service with a database and a broker has."""
    return (
        partial(messages_waiting, broker, specs),
        partial(outbox_waiting, database, late_after=outbox_late_after),
        partial(dead_letters_waiting, database),
    )


async def read_queues(looks: Sequence[LookAtQueues]) -> WaitingQueues:
    """Read all of them at once; they come in one order. What cannot be read is left out, and said to be missing."""
    found = await asyncio.gather(*map(_look, looks))
    items = [each for some in found if some is not None for each in some]
    return WaitingQueues(items=items, complete=None not in found)


def queue_routes(looks: Sequence[LookAtQueues]) -> list[Route]:
    """Return ``GET /admin/v1/queues``."""

    async def read(_request: Request[None, None]) -> WaitingQueues:
        """Answer all of them."""
        return await read_queues(looks)

    return [
        read_route(
            "/admin/v1/queues", read, "What waits in the service: how much, and the age of the oldest", WaitingQueues
        )
    ]


async def _look(look: LookAtQueues) -> Sequence[WaitingQueue] | None:
    try:
        return await look()
    except Unavailable:
        return None
