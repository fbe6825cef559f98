"""Orders and goods over HTTP: ``/orders/v1`` for other services and people, ``/admin/v1`` for operators."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from pydantic import BaseModel, ConfigDict, Field

from common.contracts.orders import OrderStatus
from common.errors import NotFound
from common.http import (
    INTERNAL,
    VIEWER,
    AdminChange,
    Answer,
    Changes,
    Moment,
    Page,
    PageQuery,
    Request,
    Route,
    decode_cursor,
    page_of,
)
from common.ids import order_number
from orchestrator.engine.admin import admin_change, admin_read
from orchestrator.orders.recalculate import (
    OrdersRecalculated,
    Recalculated,
    RecalculateOrders,
    recalculate_order,
    recalculate_orders,
)
from orchestrator.orders.search import OrderSearch
from orchestrator.orders.views import OrderSummary, OrderView, StockMovement, order_summary, order_view, stock_movement

_READERS = INTERNAL | VIEWER
_Id = Field(default=None, max_length=255)


class BySource(BaseModel):
    """An order by the marketplace's own id."""

    model_config = ConfigDict(extra="ignore")

    source: str = Field(min_length=1, max_length=100)
    external_id: str = Field(min_length=1, max_length=255)


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


@dataclass(frozen=True, slots=True)
class OrderRoutes:
    """The handlers."""

    search: OrderSearch
    changes: Changes

    def routes(self) -> list[Route]:
        """The table."""
        return [
            Route(
                method="GET",
                path="/orders/v1/orders/{number}",
                handler=self._by_number,
                summary="An order by its number",
                response=OrderView,
                errors=(NotFound,),
                roles=_READERS,
                tags=("orders",),
            ),
            Route(
                method="GET",
                path="/orders/v1/orders",
                handler=self._by_source,
                summary="An order by its source and the source's own id",
                query=BySource,
                response=OrderView,
                errors=(NotFound,),
                roles=_READERS,
                tags=("orders",),
            ),
            admin_read("orders", self._orders, "Orders, the newest first", Page[OrderSummary], query=OrdersQuery),
            admin_read(
                "stock-movements",
                self._stock_movements,
                "Goods that left a store's balance",
                Page[StockMovement],
                query=StockQuery,
            ),
            admin_change(
                "orders/{number}/recalculate",
                self._recalculate,
                "Derive the order's aggregate state again, through its change table",
                (AdminChange, Recalculated),
                errors=(NotFound,),
            ),
            admin_change(
                "orders/recalculate",
                self._recalculate_many,
                "Derive aggregate states again, for many orders or for all",
                (RecalculateOrders, OrdersRecalculated),
            ),
        ]

    async def _one(self, number: str) -> OrderView:
        row = await self.search.order(number)
        if row is None:
            raise NotFound(f"there is no order {number}")
        return order_view(row)

    async def _by_number(self, request: Request[None, None]) -> OrderView:
        return await self._one(request.path["number"])

    async def _by_source(self, request: Request[None, BySource]) -> OrderView:
        # The number is a pure function of both, so this is a look-up by the primary key.
        return await self._one(order_number(request.query.source, request.query.external_id))

    async def _orders(self, request: Request[None, OrdersQuery]) -> Page[OrderSummary]:
        query = request.query
        rows = await self.search.orders(
            **query.model_dump(exclude={"limit", "cursor"}),
            after=decode_cursor(query.cursor, datetime, str),
            limit=query.limit,
        )
        return page_of(rows, limit=query.limit, item=order_summary, key=lambda row: (row["created_at"], row["number"]))

    async def _stock_movements(self, request: Request[None, StockQuery]) -> Page[StockMovement]:
        query = request.query
        position = decode_cursor(query.cursor, int)
        rows = await self.search.stock_movements(
            store_id=query.store_id, number=query.number, after=position[0] if position else None, limit=query.limit
        )
        return page_of(rows, limit=query.limit, item=stock_movement, key=lambda row: (row["id"],))

    async def _recalculate(self, request: Request[AdminChange, None]) -> Answer:
        return await self.changes.carry_out(request, partial(recalculate_order, number=request.path["number"]))

    async def _recalculate_many(self, request: Request[RecalculateOrders, None]) -> Answer:
        return await self.changes.carry_out(request, partial(recalculate_orders, asked=request.body))
