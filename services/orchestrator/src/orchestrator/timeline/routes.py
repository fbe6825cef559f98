"""The story of an order over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import BaseModel

from common.errors import NotFound
from common.http import Page, PageQuery, Request, Route, listed, read_route
from common.postgres import Record
from orchestrator.timeline.store import TimelineStore, select_timeline


class TimelineItem(BaseModel):
    """One thing that happened to an order."""

    at: datetime
    service: str
    kind: str
    actor: str
    summary: str
    details: dict[str, Any]
    trace_id: str | None


@dataclass(frozen=True, slots=True)
class TimelineRoutes:
    """The handlers."""

    store: TimelineStore

    def routes(self) -> list[Route]:
        """The table."""
        return [
            read_route(
                "/admin/v1/orders/{number}/timeline",
                self._page,
                "Everything that happened to an order, in order",
                Page[TimelineItem],
                query=PageQuery,
                errors=(NotFound,),
            )
        ]

    async def _page(self, request: Request[None, PageQuery]) -> Page[TimelineItem]:
        number = request.path["number"]
        key = {"at": datetime, "part": int, "major": int, "minor": int}
        page = await listed(self.store.database, request.query, partial(select_timeline, number), key=key, item=_item)
        if not page.items and not await self.store.knows(number):
            raise NotFound(f"nothing is known of an order {number}")
        return page


def _item(row: Record) -> TimelineItem:
    traceparent = row["traceparent"]
    trace_id = traceparent.split("-")[1] if traceparent and traceparent.count("-") >= 2 else None
    return TimelineItem.model_validate({**row, "trace_id": trace_id})
