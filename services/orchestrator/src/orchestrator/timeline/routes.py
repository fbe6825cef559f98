"""The story of an order over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from common.errors import NotFound
from common.http import Page, PageQuery, Request, Route, decode_cursor, page_of
from common.postgres import Record
from orchestrator.engine.admin import admin_read
from orchestrator.timeline.store import TimelineStore


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
            admin_read(
                "orders/{number}/timeline",
                self._page,
                "Everything that happened to an order, in order",
                Page[TimelineItem],
                query=PageQuery,
                errors=(NotFound,),
            )
        ]

    async def _page(self, request: Request[None, PageQuery]) -> Page[TimelineItem]:
        query, number = request.query, request.path["number"]
        after = decode_cursor(query.cursor, datetime, int, int, int)
        rows = await self.store.page(number, after=after, limit=query.limit)
        if rows is None:
            raise NotFound(f"nothing is known of an order {number}")
        return page_of(
            rows, limit=query.limit, item=_item, key=lambda row: (row["at"], row["part"], row["major"], row["minor"])
        )


def _item(row: Record) -> TimelineItem:
    traceparent = row["traceparent"]
    trace_id = traceparent.split("-")[1] if traceparent and traceparent.count("-") >= 2 else None
    return TimelineItem.model_validate({**row, "trace_id": trace_id})
