"""The addresses at which deliveries, the ledger and orders on their way are looked at, and deliveries decided about."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

from common.clock import Clock
from common.errors import Conflict, NotFound, Unprocessable
from common.http import (
    OPERATOR,
    VIEWER,
    AdminChange,
    Answer,
    Changes,
    Page,
    PageQuery,
    Request,
    Route,
    decode_cursor,
    page_of,
)
from webhook_gateway.deliveries.dismiss import dismiss
from webhook_gateway.deliveries.replay import replay
from webhook_gateway.deliveries.search import DeliveryFilter, DeliverySearch
from webhook_gateway.deliveries.unarrived import UnarrivedOrders
from webhook_gateway.deliveries.views import (
    DeliveriesQuery,
    Delivery,
    DeliveryItem,
    Dismissed,
    Ledger,
    LedgerQuery,
    Replay,
    ReplicaSums,
    Resent,
    SourceSums,
    UnarrivedOrder,
)


class DeliveryRoutes:
    """Every change leaves an audit record in its own transaction."""

    def __init__(
        self, changes: Changes, search: DeliverySearch, unarrived: UnarrivedOrders, *, clock: Clock, replica: str
    ) -> None:
        self._changes = changes
        self._search = search
        self._unarrived = unarrived
        self._clock = clock
        self._replica = replica

    def routes(self) -> list[Route]:
        """Return the addresses; lists and sums are for viewers, changes for operators."""
        read = partial(Route, method="GET", roles=VIEWER, tags=("admin",))
        change = partial(
            Route,
            method="POST",
            roles=OPERATOR,
            tags=("admin",),
            idempotent=True,
            request=Replay,
            response=Resent,
            errors=(NotFound, Conflict, Unprocessable),
        )
        return [
            read(
                path="/admin/v1/deliveries",
                handler=self.deliveries,
                summary="Everything that came in, newest first",
                query=DeliveriesQuery,
                response=Page[DeliveryItem],
            ),
            read(
                path="/admin/v1/deliveries/{id}",
                handler=self.delivery,
                summary="One delivery as it came",
                response=Delivery,
                errors=(NotFound,),
            ),
            change(
                path="/admin/v1/deliveries/{id}/replay",
                handler=self.replay,
                summary="Send a delivery again, as it came or mended",
            ),
            read(
                path="/admin/v1/ledger",
                handler=self.ledger,
                summary="What came in and what became of it",
                query=LedgerQuery,
                response=Ledger,
            ),
            read(
                path="/admin/v1/unarrived-orders",
                handler=self.unarrived,
                summary="Orders that were acknowledged and are not at the orchestrator, the oldest first",
                query=PageQuery,
                response=Page[UnarrivedOrder],
            ),
            change(
                path="/admin/v1/deliveries/{id}/dismiss",
                handler=self.dismiss,
                summary="Decide that a quarantined delivery needs nothing more",
                description="Retention keeps a quarantined delivery until it is replayed or dismissed.",
                request=AdminChange,
                response=Dismissed,
                errors=(NotFound, Conflict),
            ),
        ]

    async def deliveries(self, request: Request[None, DeliveriesQuery]) -> Page[DeliveryItem]:
        """List deliveries, the newest first."""
        query = request.query
        wanted = DeliveryFilter(
            order=query.order,
            source=query.source,
            event=query.event,
            outcome=query.outcome,
            since=query.since,
            until=query.until,
        )
        after = decode_cursor(query.cursor, datetime, str)
        rows = await self._search.deliveries(wanted, after=after, limit=query.limit + 1)
        page = page_of(rows, limit=query.limit, item=lambda row: DeliveryItem(**dict(row)), key=_position)
        return Page[DeliveryItem](items=page.items, next_cursor=page.next_cursor)

    async def delivery(self, request: Request[None, None]) -> Delivery:
        """Show one delivery with its body."""
        row = await self._search.delivery(request.path_uuid("id"))
        if row is None:
            raise NotFound("no such delivery")
        values = dict(row)
        raw: bytes = values.pop("body")
        return Delivery(**values, body=_text(raw), body_base64=base64.b64encode(raw).decode("ascii"))

    async def replay(self, request: Request[Replay, None]) -> Answer:
        """Send a delivery again."""
        delivery_id = request.path_uuid("id")
        return await self._changes.carry_out(
            request,
            lambda change: replay(
                change, delivery_id, mended=request.body.body, now=self._clock.now(), replica=self._replica
            ),
        )

    async def dismiss(self, request: Request[AdminChange, None]) -> Answer:
        """Dismiss a quarantined delivery."""
        delivery_id = request.path_uuid("id")
        return await self._changes.carry_out(request, lambda change: dismiss(change, delivery_id))

    async def ledger(self, request: Request[None, LedgerQuery]) -> Ledger:
        """Add up a period."""
        since, until = request.query.period(self._clock.now())
        rows = await self._search.ledger(since, until)
        return Ledger(
            since=since,
            until=until,
            **_sums((row["outcome"], row["count"]) for row in rows),
            by_replica=[
                ReplicaSums(replica=name, **_sums((r["outcome"], r["count"]) for r in rows if r["replica"] == name))
                for name in sorted({row["replica"] for row in rows})
            ],
            by_source=[
                SourceSums(source=name, **_sums((r["outcome"], r["count"]) for r in rows if r["source"] == name))
                for name in sorted({row["source"] for row in rows})
            ],
        )

    async def unarrived(self, request: Request[None, PageQuery]) -> Page[UnarrivedOrder]:
        """List orders on their way, the oldest first."""
        query = request.query
        position = decode_cursor(query.cursor, datetime, str)
        after = None if position is None else (position[0], position[1])
        rows = await self._unarrived.page(after=after, limit=query.limit + 1)
        return page_of(
            rows,
            limit=query.limit,
            item=lambda row: UnarrivedOrder(**dict(row)),
            key=lambda row: (row["acknowledged_at"], row["number"]),
        )


def _sums(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for outcome, count in counts:
        sums[outcome] += count
        sums["received"] += count
    return dict(sums)


def _position(row: Any) -> tuple[str, str]:
    return (row["received_at"].isoformat(), row["id"])


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None
