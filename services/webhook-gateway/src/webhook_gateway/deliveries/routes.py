"""The operators' desk over HTTP: deliveries, the ledger, the audit log."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any

from common.clock import Clock
from common.errors import Conflict, NotFound, Unprocessable
from common.http import OPERATOR, VIEWER, Page, Request, Route, audit, audit_routes, decode_cursor, once, page_of
from common.postgres import Connection, Database
from common.telemetry import inject
from webhook_gateway.deliveries.replay import replay_delivery
from webhook_gateway.deliveries.views import (
    DeliveriesQuery,
    Delivery,
    DeliveryItem,
    Ledger,
    LedgerQuery,
    Replay,
    ReplicaSums,
    Resent,
    SourceSums,
)
from webhook_gateway.hooks.ports import DeliveryFilter, DeskReads, DeskUnit


class Desk:
    """Serves ``/admin/v1``. Every change leaves an audit record in its own transaction (CONTRACT 2)."""

    def __init__(
        self,
        database: Database,
        *,
        reads: DeskReads,
        unit: Callable[[Connection, bool], DeskUnit],
        clock: Clock,
        replica: str,
        wake: Callable[[], None],
    ) -> None:
        """``unit`` makes the unit of work of a transaction; its flag says that nothing is to change (dry run).

        ``wake`` is called after a commit that promised events.
        """
        self._database = database
        self._queries = reads
        self._unit = unit
        self._clock = clock
        self._replica = replica
        self._wake = wake

    def routes(self) -> list[Route]:
        """Return the table of routes."""
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
            *audit_routes(self._database),
        ]

    async def deliveries(self, request: Request[None, DeliveriesQuery]) -> Page[DeliveryItem]:
        """List deliveries."""
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
        rows = await self._queries.deliveries(wanted, after=after, limit=query.limit + 1)
        page = page_of(rows, limit=query.limit, item=lambda row: DeliveryItem(**dict(row)), key=_position)
        return Page[DeliveryItem](items=page.items, next_cursor=page.next_cursor)

    async def delivery(self, request: Request[None, None]) -> Delivery:
        """Show one delivery."""
        row = await self._queries.delivery(request.path_uuid("id"))
        if row is None:
            raise NotFound("no such delivery")
        values = dict(row)
        raw: bytes = values.pop("body")
        return Delivery(**values, body=_text(raw), body_base64=base64.b64encode(raw).decode("ascii"))

    async def replay(self, request: Request[Replay, None]) -> Any:
        """Send a delivery again."""
        delivery_id = str(request.path_uuid("id"))

        async def work(connection: Connection) -> Resent:
            """Send and audit, in one transaction."""
            change = request.body
            hook = await replay_delivery(
                self._unit(connection, change.dry_run),
                delivery_id,
                mended=change.body,
                now=self._clock.now(),
                replica=self._replica,
                traceparent=_traceparent(),
            )
            answer = Resent(
                delivery_id=hook.delivery_id, event=hook.event, number=hook.number or "", dry_run=change.dry_run
            )
            if not change.dry_run:
                await self._audit(connection, request, "delivery.replay", f"delivery:{delivery_id}", None, answer)
            return answer

        return await self._change(request, work)

    async def ledger(self, request: Request[None, LedgerQuery]) -> Ledger:
        """Add up a period."""
        since, until = request.query.period(self._clock.now())
        rows = await self._queries.ledger(since, until)
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

    async def _change(self, request: Request[Replay, None], work: Callable[[Connection], Any]) -> Any:
        async with self._database.transaction() as connection:
            answer = await once(connection, request, lambda: work(connection))
        self._wake()
        return answer

    async def _audit(
        self, connection: Connection, request: Request[Replay, None], action: str, target: str, before: Any, after: Any
    ) -> None:
        await audit.record(
            connection,
            principal=request.principal,
            action=action,
            target=target,
            reason=request.body.reason,
            before=before,
            after=after,
            request_id=request.request_id,
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


def _traceparent() -> str | None:
    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier.get("traceparent")
