"""Orders and goods over HTTP: ``/orders/v1`` for other services and people, ``/admin/v1`` for operators."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from common.contracts.orders import OrderStatus
from common.errors import NotFound
from common.http import (
    BULK_ERRORS,
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
    change_route,
    decode_cursor,
    listed,
    page_of,
    read_route,
)
from common.ids import order_number
from orchestrator.orders.contacts import by_email, by_phone, by_words, telling_phone
from orchestrator.orders.life import HistoryPruned, HistoryUnreadable
from orchestrator.orders.past import order_at
from orchestrator.orders.recalculate import (
    RECALCULATE,
    OrdersRecalculated,
    Recalculated,
    RecalculateOrders,
    recalculate_order,
    recalculate_orders,
)
from orchestrator.orders.search import OrderSearch, select_orders, select_stock_movements
from orchestrator.orders.store import OrderStore, decode_state
from orchestrator.orders.views import (
    OrderSummary,
    OrderView,
    StockMovement,
    order_summary,
    order_view,
    past_view,
    stock_movement,
)

_READERS = INTERNAL | VIEWER
_Id = Field(default=None, max_length=255)


class BySource(BaseModel):
    """An order by the marketplace's own id."""

    model_config = ConfigDict(extra="ignore")

    source: str = Field(min_length=1, max_length=100)
    external_id: str = Field(min_length=1, max_length=255)


class AtMoment(BaseModel):
    """As of when; as it is now if no moment is named."""

    model_config = ConfigDict(extra="ignore")

    at: Moment | None = Field(
        default=None, description="as it was then, by the marketplace's clock, as far as is known today"
    )


class OrdersQuery(PageQuery):
    """Filters of the list of orders, exact matches; `since` and `until` bound when we learned of the order.

    `phone` in any spelling, or its last four digits or more; `email` from its beginning; `q` is whatever a customer says: number,
    the shop's own number, phone, mail, any part of a name. A contact that the order had once finds it, too.
    """

    status: OrderStatus | None = None
    aggregate_state: str | None = Field(default=None, max_length=32)
    source: str | None = _Id
    store_id: str | None = _Id
    external_id: str | None = _Id
    payment_id: str | None = _Id
    number: str | None = _Id
    q: str | None = Field(default=None, min_length=2, max_length=255)
    phone: Annotated[str | None, Field(max_length=64), AfterValidator(telling_phone)] = None
    email: str | None = Field(default=None, min_length=3, max_length=320)
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
    orders: OrderStore
    changes: Changes

    def routes(self) -> list[Route]:
        """The table."""
        return [
            read_route(
                "/orders/v1/orders/{number}",
                self._by_number,
                "An order by its number",
                OrderView,
                description="With `at`: 404 before it existed; 409 `history_pruned` when its events are no longer kept.",
                query=AtMoment,
                errors=(NotFound, HistoryPruned, HistoryUnreadable),
                roles=_READERS,
                tags=("orders",),
            ),
            read_route(
                "/orders/v1/orders",
                self._by_source,
                "An order by its source and the source's own id",
                OrderView,
                query=BySource,
                errors=(NotFound,),
                roles=_READERS,
                tags=("orders",),
            ),
            read_route(
                "/admin/v1/orders", self._orders, "Orders, the newest first", Page[OrderSummary], query=OrdersQuery
            ),
            read_route(
                "/admin/v1/stock-movements",
                self._stock_movements,
                "Goods that left a store's balance",
                Page[StockMovement],
                query=StockQuery,
            ),
            change_route(
                "POST",
                "/admin/v1/orders/{number}/recalculate",
                self._recalculate,
                "Derive the order's aggregate state again, through its change table",
                AdminChange,
                Recalculated,
                errors=(NotFound,),
            ),
            change_route(
                "POST",
                "/admin/v1/orders/recalculate",
                self._recalculate_many,
                "Derive aggregate states again, for many orders or for all",
                RecalculateOrders,
                OrdersRecalculated,
                errors=BULK_ERRORS,
            ),
        ]

    async def _one(self, number: str) -> OrderView:
        row = await self.search.order(number)
        if row is None:
            raise NotFound(f"there is no order {number}")
        return order_view(dict(row))

    async def _by_number(self, request: Request[None, AtMoment]) -> OrderView:
        number, at = request.path["number"], request.query.at
        if at is None:
            return await self._one(number)
        row = await self.search.order(number)
        state = None if row is None else await order_at(self.orders, decode_state(row["document"]), at)
        if row is None or state is None:
            raise NotFound(f"there was no order {number} then")
        return past_view(state, dict(row), at)

    async def _by_source(self, request: Request[None, BySource]) -> OrderView:
        # The number is a pure function of both, so this is a look-up by the primary key.
        return await self._one(order_number(request.query.source, request.query.external_id.strip()))

    async def _orders(self, request: Request[None, OrdersQuery]) -> Page[OrderSummary]:
        query = request.query
        contact = [by(said) for said, by in ((query.phone, by_phone), (query.email, by_email)) if said]
        wanted = query.model_dump(exclude={*PageQuery.model_fields, "q", "phone", "email"})
        key = {"created_at": datetime, "number": str}
        if query.q is None and not contact:

            def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
                """Return the statement of a page and its values."""
                return select_orders(**wanted, after=after, limit=limit)

            return await listed(self.search.database, query, select, key=key, item=order_summary)
        rows = await self.search.orders(
            **wanted,
            said=query.q,
            meaning=None if query.q is None else by_words(query.q),
            contact=contact,
            after=decode_cursor(query.cursor, *key.values()),
            limit=query.limit,
        )
        return page_of(rows, limit=query.limit, item=order_summary, key=lambda row: [row[name] for name in key])

    async def _stock_movements(self, request: Request[None, StockQuery]) -> Page[StockMovement]:
        query = request.query

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
            return select_stock_movements(store_id=query.store_id, number=query.number, after=after, limit=limit)

        return await listed(self.search.database, query, select, key={"id": int}, item=stock_movement)

    async def _recalculate(self, request: Request[AdminChange, None]) -> Answer:
        return await self.changes.carry_out(request, partial(recalculate_order, number=request.path["number"]))

    async def _recalculate_many(self, request: Request[RecalculateOrders, None]) -> Answer:
        if request.body.numbers is None and not request.body.all:
            return await RECALCULATE.carry_out(self.changes, request)
        return await self.changes.carry_out(request, partial(recalculate_orders, asked=request.body))
