"""What operators look up: orders, timelines, stock movements, workflows, their events, flags."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field, field_validator

from common.contracts.orders import OrderStatus
from common.errors import NotFound
from common.http import VIEWER, Moment, Page, PageQuery, Request, Route, decode_cursor, page_of
from orchestrator.engine.lookups import Lookups
from orchestrator.engine.model import WorkflowState
from orchestrator.orders import views
from orchestrator.orders.views import EventState

_Id = Field(default=None, max_length=255)


class OrdersQuery(PageQuery):
    """Filters of the list of orders, exact matches; `since` and `until` bound when we learned of the order."""

    status: OrderStatus | None = None
    aggregate_state: str | None = Field(default=None, max_length=32)
    source: str | None = _Id
    store_id: str | None = _Id
    external_id: str | None = _Id
    since: Moment | None = None
    until: Moment | None = None


class StockQuery(PageQuery):
    """Which stock movements: all, of a store, of an order, or both."""

    store_id: str | None = _Id
    number: str | None = _Id


class WorkflowsQuery(PageQuery):
    """Filters of the list of workflows. `state` is a number or a name: running 1, stopped 2, finished 3, crashed 4."""

    state: str | None = Field(default=None, max_length=16)
    order_number: str | None = _Id
    kind: str | None = Field(default=None, max_length=64)

    @field_validator("state")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is None:
            return None
        for state in WorkflowState:
            if value in {str(int(state)), state.name.lower()}:
                return str(int(state))
        raise ValueError("a workflow's state is 1 running, 2 stopped, 3 finished or 4 crashed")


class WorkflowEventsQuery(PageQuery):
    """Which events: all, of a workflow, in a state, or both. `state` is a number or a name: new 1, done 2, failed 3."""

    workflow_id: int | None = Field(default=None, ge=1, lt=2**63)
    state: str | None = Field(default=None, max_length=16)

    @field_validator("state")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is None:
            return None
        for state in EventState:
            if value in {str(int(state)), state.name.lower()}:
                return str(int(state))
        raise ValueError("an event's state is 1 new, 2 done or 3 failed")


class Flags(BaseModel):
    """All flags."""

    items: list[views.FlagView]


def read_routes(searches: Lookups) -> list[Route]:
    """Return the routes."""

    async def orders(request: Request[None, OrdersQuery]) -> Page[views.OrderSummary]:
        """One page of orders."""
        query = request.query
        rows = await searches.orders(
            **query.model_dump(exclude={"limit", "cursor"}),
            after=decode_cursor(query.cursor, datetime, str),
            limit=query.limit,
        )
        return page_of(
            rows, limit=query.limit, item=views.order_summary, key=lambda row: (row["created_at"], row["number"])
        )

    async def timeline(request: Request[None, PageQuery]) -> Page[views.TimelineItem]:
        """One page of an order's story; 404 when nothing at all is known of it."""
        query, number = request.query, request.path["number"]
        after = decode_cursor(query.cursor, datetime, int, int, int)
        rows = await searches.timeline(number, after=after, limit=query.limit)
        if rows is None:
            raise NotFound(f"nothing is known of an order {number}")
        return page_of(
            rows,
            limit=query.limit,
            item=views.timeline_item,
            key=lambda row: (row["at"], row["part"], row["major"], row["minor"]),
        )

    async def stock(request: Request[None, StockQuery]) -> Page[views.StockMovement]:
        """One page of movements, the oldest first."""
        query = request.query
        position = decode_cursor(query.cursor, int)
        rows = await searches.stock_movements(
            store_id=query.store_id,
            number=query.number,
            after=position[0] if position else None,
            limit=query.limit,
        )
        return page_of(rows, limit=query.limit, item=views.stock_movement, key=lambda row: (row["id"],))

    async def workflows(request: Request[None, WorkflowsQuery]) -> Page[views.WorkflowView]:
        """One page of workflows."""
        query = request.query
        position = decode_cursor(query.cursor, int)
        rows = await searches.workflows(
            state=None if query.state is None else int(query.state),
            number=query.order_number,
            kind=query.kind,
            before=position[0] if position else None,
            limit=query.limit,
        )
        return page_of(rows, limit=query.limit, item=views.workflow_view, key=lambda row: (row["id"],))

    async def workflow_events(request: Request[None, WorkflowEventsQuery]) -> Page[views.WorkflowEventView]:
        """One page of events; empty for an unknown workflow."""
        query = request.query
        state = None if query.state is None else int(query.state)
        rows = await searches.workflow_events(
            query.workflow_id, state=state, after=decode_cursor(query.cursor, int, int), limit=query.limit
        )
        return page_of(
            rows, limit=query.limit, item=views.workflow_event_view, key=lambda row: (row["workflow_id"], row["seq"])
        )

    async def flags(_request: Request[None, None]) -> Flags:
        """All flags."""
        return Flags(items=[views.flag_view(row) for row in await searches.flags()])

    async def flag(request: Request[None, None]) -> views.FlagView:
        """One flag."""
        name = request.path["name"]
        row = await searches.flag(name)
        if row is None:
            raise NotFound(f"there is no flag {name}")
        return views.flag_view(row)

    def get(path: str, handler: object, summary: str, response: type[BaseModel], **more: object) -> Route:
        return Route(
            method="GET",
            path=f"/admin/v1/{path}",
            handler=handler,  # type: ignore[arg-type]  # each handler names its own query model
            summary=summary,
            response=response,
            roles=VIEWER,
            tags=("admin",),
            **more,  # type: ignore[arg-type]  # query and errors, as Route has them
        )

    return [
        get("orders", orders, "Orders, the newest first", Page[views.OrderSummary], query=OrdersQuery),
        get(
            "orders/{number}/timeline",
            timeline,
            "Everything that happened to an order, in order",
            Page[views.TimelineItem],
            query=PageQuery,
            errors=(NotFound,),
        ),
        get("stock-movements", stock, "Goods that left a store's balance", Page[views.StockMovement], query=StockQuery),
        get("workflows", workflows, "Workflows, the newest first", Page[views.WorkflowView], query=WorkflowsQuery),
        get(
            "workflow-events",
            workflow_events,
            "Workflow events, by workflow and sequence",
            Page[views.WorkflowEventView],
            query=WorkflowEventsQuery,
        ),
        get("flags", flags, "All switches", Flags),
        get("flags/{name}", flag, "One switch", views.FlagView, errors=(NotFound,)),
    ]
