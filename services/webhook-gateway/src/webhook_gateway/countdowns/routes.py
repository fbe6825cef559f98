"""The address at which countdowns are listed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from common.errors import NotFound
from common.http import Page, PageQuery, Request, Route, listed, one_listed, read_route
from webhook_gateway.countdowns.store import CountdownStore, select_countdowns


class CountdownQuery(PageQuery):
    """Filters of the list of countdowns."""

    state: Literal["running", "expired", "answered"] | None = None


class Countdown(BaseModel):
    """An order whose `order.created` was not answered 2xx in time, and what is left until the marketplace cancels it by itself."""

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


class CountdownRoutes:
    """Read only."""

    def __init__(self, store: CountdownStore) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            read_route(
                "/admin/v1/countdowns",
                self.countdowns,
                "Orders that the marketplace will cancel by itself, the nearest first",
                Page[Countdown],
                query=CountdownQuery,
            ),
            read_route(
                "/admin/v1/countdowns/{number}",
                self.countdown,
                "The countdown of an order, by the order's number",
                Countdown,
                errors=(NotFound,),
            ),
        ]

    async def countdowns(self, request: Request[None, CountdownQuery]) -> Page[Countdown]:
        """List countdowns, those that end first at the top."""
        query = request.query

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
            return select_countdowns(state=query.state, after=after, limit=limit)

        return await listed(
            self._store.database,
            query,
            select,
            key={"cancels_at": datetime, "number": str},
            item=lambda row: Countdown(**dict(row)),
        )

    async def countdown(self, request: Request[None, None]) -> Countdown:
        """Answer the countdown of one order."""
        number = request.path["number"]
        found = select_countdowns(state=None, number=number, after=None, limit=1)
        named = {"number": number}
        return await one_listed(self._store.database, found, named=named, item=lambda row: Countdown(**dict(row)))
