"""Parked orders over HTTP: which wait for their ``created``, and those that will never get it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from common.clock import Clock
from common.http import BULK_ERRORS, Answer, BulkAnswer, Changes, Page, Request, Route, change_route, listed, read_route
from common.postgres import Database
from orchestrator.orders.give_up_parked import GiveUpParked, ParkedOrder, ParkedQuery, give_up_parked, select_parked


@dataclass(frozen=True, slots=True)
class ParkedRoutes:
    """The handlers."""

    database: Database
    changes: Changes
    clock: Clock

    def routes(self) -> list[Route]:
        """The table."""
        return [
            read_route(
                "/admin/v1/parked-orders",
                self._parked,
                "Orders whose `order.created` has not come, the longest waiting first",
                Page[ParkedOrder],
                query=ParkedQuery,
            ),
            change_route(
                "POST",
                "/admin/v1/parked-orders/give-up",
                self._give_up,
                "Say that orders will never be created: their wait and its incident end, and their events are not kept for ever",
                GiveUpParked,
                BulkAnswer,
                errors=BULK_ERRORS,
            ),
        ]

    async def _parked(self, request: Request[None, ParkedQuery]) -> Page[ParkedOrder]:
        return await listed(
            self.database,
            request.query,
            partial(select_parked, request.query),
            key={"since": datetime, "order_number": str},
            item=lambda row: ParkedOrder(**dict(row)),
        )

    async def _give_up(self, request: Request[GiveUpParked, None]) -> Answer:
        return await give_up_parked(self.clock).carry_out(self.changes, request)
