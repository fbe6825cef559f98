"""The operators' view of what is watched: countdowns, orders under way, and quarantined deliveries that need nothing more."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel, Field

from common.errors import Conflict, NotFound
from common.http import (
    OPERATOR,
    VIEWER,
    AdminChange,
    Page,
    PageQuery,
    Request,
    Route,
    audit,
    decode_cursor,
    once,
    page_of,
)
from common.postgres import Connection, Database
from webhook_gateway.hooks import events
from webhook_gateway.hooks.model import Outcome


class CountdownQuery(PageQuery):
    """Filters of the list of countdowns."""

    state: Literal["running", "expired", "answered"] | None = None


class Countdown(BaseModel):
    """An order whose `order.created` was not answered 2xx in time, and what is left until the marketplace cancels it by itself (M2)."""

    source: str
    external_id: str
    number: str
    state: Literal["running", "expired", "answered"]
    remaining_seconds: float
    started_at: datetime = Field(description="our first answer that was missing, late or negative")
    cancels_at: datetime = Field(description="when the last repeat of the source's schedule will have failed")
    missed_at: datetime = Field(description="when the newest such request came in")
    status: int = Field(description="what that request was answered, too late or not")
    reason: Literal["refused", "slow", "hung_up"]
    replica: str
    answered_at: datetime | None = Field(description="when the request came in that was answered well and in time")


class UnarrivedOrder(BaseModel):
    """An order that was acknowledged and of which the orchestrator has not told."""

    number: str
    source: str | None
    external_id: str | None
    acknowledged_at: datetime
    age_seconds: float


class Dismissed(BaseModel):
    """What a dismissal did; with `dry_run` what it would do."""

    delivery_id: str
    dismissed: bool


class CountdownList(Protocol):
    """Pages of countdowns."""

    async def page(self, *, state: str | None, after: tuple[datetime, str] | None, limit: int) -> Sequence[Any]:
        """Return countdowns, those that end first at the top."""
        ...


class UnarrivedList(Protocol):
    """Pages of orders under way."""

    async def page(self, *, after: tuple[datetime, str] | None, limit: int) -> Sequence[Any]:
        """Return orders, the oldest first."""
        ...


class Quarantine(Protocol):
    """Deciding about quarantined deliveries, in the caller's transaction."""

    async def find(self, connection: Connection, delivery_id: uuid.UUID) -> Any:
        """Return outcome, event, number and ``dismissed_by`` of a delivery, or None."""
        ...

    async def dismiss(self, connection: Connection, delivery_id: uuid.UUID, *, actor: str, created: str | None) -> None:
        """Dismiss a delivery; the order ``created`` is not waited for any more."""
        ...


class WatchDesk:
    """Serves the addresses. Every change leaves an audit record in its own transaction (CONTRACT 2)."""

    def __init__(
        self, database: Database, *, countdowns: CountdownList, unarrived: UnarrivedList, quarantine: Quarantine
    ) -> None:
        self._database = database
        self._countdowns = countdowns
        self._unarrived = unarrived
        self._quarantine = quarantine

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        return [
            Route(
                method="GET",
                path="/admin/v1/countdowns",
                handler=self.countdowns,
                summary="Orders that the marketplace will cancel by itself, the nearest first",
                query=CountdownQuery,
                response=Page[Countdown],
                roles=VIEWER,
                tags=("admin",),
            ),
            Route(
                method="GET",
                path="/admin/v1/unarrived-orders",
                handler=self.unarrived,
                summary="Orders that were acknowledged and are not at the orchestrator, the oldest first",
                query=PageQuery,
                response=Page[UnarrivedOrder],
                roles=VIEWER,
                tags=("admin",),
            ),
            Route(
                method="POST",
                path="/admin/v1/deliveries/{id}/dismiss",
                handler=self.dismiss,
                summary="Decide that a quarantined delivery needs nothing more",
                description="Retention keeps a quarantined delivery until it is replayed or dismissed.",
                request=AdminChange,
                response=Dismissed,
                roles=OPERATOR,
                tags=("admin",),
                idempotent=True,
                errors=(NotFound, Conflict),
            ),
        ]

    async def countdowns(self, request: Request[None, CountdownQuery]) -> Page[Countdown]:
        """List countdowns."""
        query = request.query
        rows = await self._countdowns.page(state=query.state, after=_after(query), limit=query.limit + 1)
        return page_of(rows, limit=query.limit, item=_countdown, key=lambda row: (row["cancels_at"], row["number"]))

    async def unarrived(self, request: Request[None, PageQuery]) -> Page[UnarrivedOrder]:
        """List orders under way."""
        query = request.query
        rows = await self._unarrived.page(after=_after(query), limit=query.limit + 1)
        return page_of(
            rows, limit=query.limit, item=_unarrived, key=lambda row: (row["acknowledged_at"], row["number"])
        )

    async def dismiss(self, request: Request[AdminChange, None]) -> Any:
        """Dismiss a delivery, in one transaction with its audit record."""
        delivery_id = request.path_uuid("id")
        async with self._database.transaction() as connection:

            async def work() -> Dismissed:
                """What happens once, however often the request is repeated."""
                found = await self._quarantine.find(connection, delivery_id)
                if found is None:
                    raise NotFound("no such delivery")
                if found["outcome"] != Outcome.QUARANTINED:
                    raise Conflict(f"this delivery is not quarantined but {found['outcome']}")
                if found["dismissed_by"] is not None:
                    raise Conflict(f"{found['dismissed_by']} has dismissed it already")
                if request.body.dry_run:
                    return Dismissed(delivery_id=str(delivery_id), dismissed=False)
                created = found["number"] if found["event"] == events.CREATED else None
                await self._quarantine.dismiss(connection, delivery_id, actor=request.principal.name, created=created)
                await audit.record(
                    connection,
                    principal=request.principal,
                    action="delivery.dismiss",
                    target=f"delivery:{delivery_id}",
                    reason=request.body.reason,
                    before={"outcome": found["outcome"]},
                    after={"dismissed": True},
                    request_id=request.request_id,
                )
                return Dismissed(delivery_id=str(delivery_id), dismissed=True)

            return await once(connection, request, work)


def _after(query: PageQuery) -> tuple[datetime, str] | None:
    position = decode_cursor(query.cursor, datetime, str)
    return None if position is None else (position[0], position[1])


def _countdown(row: Any) -> Countdown:
    return Countdown(**dict(row))


def _unarrived(row: Any) -> UnarrivedOrder:
    return UnarrivedOrder(**dict(row))
