"""The addresses at which deliveries, the ledger and orders on their way are looked at, and deliveries decided about."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from common.clock import Clock
from common.errors import Conflict, InvalidInput, NotFound, Unprocessable
from common.http import (
    BULK_ERRORS,
    AdminChange,
    Answer,
    BulkAnswer,
    Changes,
    Page,
    PageQuery,
    Request,
    Route,
    change_route,
    listed,
    read_route,
)
from webhook_gateway.deliveries import views
from webhook_gateway.deliveries.decide_many import DecideMany, DeliveriesReplayed, dismiss_many, replay_many
from webhook_gateway.deliveries.dismiss import dismiss
from webhook_gateway.deliveries.faults import faults
from webhook_gateway.deliveries.ledger import Ledger, Line
from webhook_gateway.deliveries.replay import replay
from webhook_gateway.deliveries.search import DeliverySearch
from webhook_gateway.deliveries.unarrived import UnarrivedOrders
from webhook_gateway.hooks.sending import Sending
from webhook_gateway.rescue.views import Fault, text_or_none


class DeliveryRoutes:
    """Every change leaves an audit record in its own transaction."""

    def __init__(
        self,
        changes: Changes,
        search: DeliverySearch,
        unarrived: UnarrivedOrders,
        ledger: Ledger,
        *,
        clock: Clock,
        sending: Sending,
    ) -> None:
        self._changes = changes
        self._search = search
        self._unarrived = unarrived
        self._ledger = ledger
        self._clock = clock
        self._sending = sending

    def routes(self) -> list[Route]:
        """Return the addresses; lists and sums are for viewers, changes for operators."""
        change = partial(
            change_route, request=views.Replay, response=views.Resent, errors=(NotFound, Conflict, Unprocessable)
        )
        return [
            read_route(
                "/admin/v1/deliveries",
                self.deliveries,
                "Everything that came in, newest first",
                Page[views.DeliveryItem],
                query=views.DeliveriesQuery,
            ),
            read_route(
                "/admin/v1/deliveries/{id}",
                self.delivery,
                "One delivery as it came",
                views.Delivery,
                errors=(NotFound,),
            ),
            change(
                "POST",
                "/admin/v1/deliveries/replay",
                self.replay_many,
                "Send many deliveries again, each as it came",
                request=DecideMany,
                response=DeliveriesReplayed,
                errors=(*BULK_ERRORS, InvalidInput),
            ),
            change(
                "POST",
                "/admin/v1/deliveries/dismiss",
                self.dismiss_many,
                "Dismiss many quarantined deliveries",
                request=DecideMany,
                response=BulkAnswer,
                errors=(*BULK_ERRORS, InvalidInput),
            ),
            change(
                "POST", "/admin/v1/deliveries/{id}/replay", self.replay, "Send a delivery again, as it came or mended"
            ),
            read_route(
                "/admin/v1/ledger",
                self.ledger,
                "What came in and what became of it",
                views.Ledger,
                query=views.LedgerQuery,
            ),
            read_route(
                "/admin/v1/arrivals",
                self.arrivals,
                "How many orders were acknowledged, and how many of them arrived",
                views.Arrivals,
                query=views.LedgerQuery,
            ),
            read_route(
                "/admin/v1/unarrived-orders",
                self.unarrived,
                "Orders that were acknowledged and are not at the orchestrator, the oldest first",
                Page[views.UnarrivedOrder],
                query=PageQuery,
            ),
            change(
                "POST",
                "/admin/v1/deliveries/{id}/dismiss",
                self.dismiss,
                "Decide that a quarantined delivery needs nothing more",
                description="Retention keeps a quarantined delivery until it is replayed or dismissed.",
                request=AdminChange,
                response=views.Dismissed,
                errors=(NotFound, Conflict),
            ),
        ]

    async def deliveries(self, request: Request[None, views.DeliveriesQuery]) -> Page[views.DeliveryItem]:
        """List deliveries, the newest first."""
        query = request.query

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
            return self._search.select(query, after=after, limit=limit)

        return await listed(
            self._search.database,
            query,
            select,
            key={"received_at": datetime, "id": str},
            item=lambda row: views.DeliveryItem(**dict(row)),
        )

    async def delivery(self, request: Request[None, None]) -> views.Delivery:
        """Show one delivery with its body."""
        row = await self._search.delivery(request.path_uuid("id"))
        if row is None:
            raise NotFound("no such delivery")
        values = dict(row)
        raw: bytes = values.pop("body")
        found = faults(raw, **{name: values[name] for name in ("body_form", "event", "currency", "received_at")})
        return views.Delivery(
            **values,
            body=text_or_none(raw),
            body_base64=base64.b64encode(raw).decode("ascii"),
            faults=[Fault.model_validate(one, from_attributes=True) for one in found],
        )

    async def replay(self, request: Request[views.Replay, None]) -> Answer:
        """Send a delivery again."""
        delivery_id = request.path_uuid("id")
        return await self._changes.carry_out(
            request,
            lambda change: replay(
                change,
                delivery_id,
                mended=request.body.body,
                expected_version=request.body.expected_version,
                sending=self._sending,
            ),
        )

    async def replay_many(self, request: Request[DecideMany, None]) -> Answer:
        """Send many again."""
        many = replay_many(self._search, sending=self._sending)
        return await many.carry_out(self._changes, request)

    async def dismiss_many(self, request: Request[DecideMany, None]) -> Answer:
        """Dismiss many."""
        return await dismiss_many(self._search, clock=self._clock).carry_out(self._changes, request)

    async def dismiss(self, request: Request[AdminChange, None]) -> Answer:
        """Dismiss a quarantined delivery."""
        delivery_id = request.path_uuid("id")
        return await self._changes.carry_out(
            request, lambda change: dismiss(change, delivery_id, now=self._clock.now())
        )

    async def ledger(self, request: Request[None, views.LedgerQuery]) -> views.Ledger:
        """Add up a period."""
        since, until = request.query.period(self._clock.now())
        lines = await self._ledger.lines(since, until)
        reasons = await self._ledger.reasons(since, until)
        replicas, sources = sorted({line.replica for line in lines}), sorted({line.source for line in lines})
        return views.Ledger(
            since=since,
            until=until,
            **_sums(lines),
            by_replica=[
                views.ReplicaSums(replica=name, **_sums([line for line in lines if line.replica == name]))
                for name in replicas
            ],
            by_source=[
                views.SourceSums(source=name, **_sums([line for line in lines if line.source == name]))
                for name in sources
            ],
            refused_for=[views.RefusedFor(**dict(row)) for row in reasons],
        )

    async def arrivals(self, request: Request[None, views.LedgerQuery]) -> views.Arrivals:
        """Count the orders of a period."""
        since, until = request.query.period(self._clock.now())
        row = await self._unarrived.arrivals(since, until)
        return views.Arrivals(since=since, until=until, **dict(row or {}))

    async def unarrived(self, request: Request[None, PageQuery]) -> Page[views.UnarrivedOrder]:
        """List orders on their way, the oldest first."""
        return await listed(
            self._unarrived.database,
            request.query,
            self._unarrived.select,
            key={"acknowledged_at": datetime, "number": str},
            item=lambda row: views.UnarrivedOrder(**dict(row)),
        )


def _sums(lines: Sequence[Line]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for line in lines:
        sums[line.outcome] += line.count
    outcomes = sums.total() - sums["received"]
    return {**sums, "outcomes": outcomes, "difference": sums["received"] - outcomes}
