"""What other services and people read of an order: ``/orders/v1``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from common.errors import NotFound
from common.http import INTERNAL, VIEWER, Request, Route
from common.ids import order_number
from orchestrator.engine.lookups import OrderLookup
from orchestrator.orders.views import OrderView, order_view

_READERS = INTERNAL | VIEWER


class BySource(BaseModel):
    """An order by the marketplace's own id."""

    model_config = ConfigDict(extra="ignore")

    source: str = Field(min_length=1, max_length=100)
    external_id: str = Field(min_length=1, max_length=255)


def order_routes(searches: OrderLookup) -> list[Route]:
    """Return the routes."""

    async def _one(number: str) -> OrderView:
        row = await searches.order(number)
        if row is None:
            raise NotFound(f"there is no order {number}")
        return order_view(row)

    async def by_number(request: Request[None, None]) -> OrderView:
        """Look up by our number."""
        return await _one(request.path["number"])

    async def by_source(request: Request[None, BySource]) -> OrderView:
        """Look up by the source and its own id."""
        # The number is a pure function of both, so this is a look-up by the primary key.
        return await _one(order_number(request.query.source, request.query.external_id))

    return [
        Route(
            method="GET",
            path="/orders/v1/orders/{number}",
            handler=by_number,
            summary="An order by its number",
            response=OrderView,
            errors=(NotFound,),
            roles=_READERS,
            tags=("orders",),
        ),
        Route(
            method="GET",
            path="/orders/v1/orders",
            handler=by_source,
            summary="An order by its source and the source's own id",
            query=BySource,
            response=OrderView,
            errors=(NotFound,),
            roles=_READERS,
            tags=("orders",),
        ),
    ]
