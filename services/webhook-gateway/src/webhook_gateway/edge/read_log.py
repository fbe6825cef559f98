"""Reads what nginx wrote of requests that no gateway answered: counts them, and keeps the orders among them as endangered."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import orjson

from common.clock import Clock
from common.contracts.envelope import Envelope
from common.contracts.intake import WEBSITE_ORDER_REFUSED, IntakeMessage
from common.ids import derived_id, order_number
from common.messaging import outbox
from common.postgres import Connection, Database
from common.service import in_halves, kept_apart
from common.telemetry import get_logger
from webhook_gateway.deliveries.record import RecordDeliveries
from webhook_gateway.edge import store
from webhook_gateway.edge.alerts import refused_alert
from webhook_gateway.edge.log_files import LogFile, log_files, read_piece
from webhook_gateway.edge.metrics import EdgeMetrics
from webhook_gateway.edge.model import REPLICA, TOLD, EdgeRequest, read_line
from webhook_gateway.hooks.model import ORDER_CREATED, UNKNOWN_SOURCE
from webhook_gateway.website.callers import neighbourhood_of, network_of
from webhook_gateway.website.model import category_of, external_id_from_key
from webhook_gateway.website.sites import Sites

_log = get_logger()
_PIECE = 256 * 1024
_MOST_ORDERS = 50
"""Endangered orders of one network and hour; what comes beyond is counted."""
_MOST_NETWORKS = 10_000
_MOST_TOLD = 1000
_KEPT_FILES = timedelta(days=2)
_NAME = "line {0.id}".format


class ReadEdgeLog:
    """What was read and how far are one transaction, and one replica reads at a time: nothing is recorded twice, and nothing is lost.

    Whatever was written while no gateway was up is read when one is. Lines that fail by a fault are tried again while none can be recorded:
    it is not the lines. Once another one is, they are passed over and count as unreadable. Files that are read whole and old are deleted,
    where that is allowed.
    """

    def __init__(
        self,
        database: Database,
        record: RecordDeliveries,
        *,
        directory: Path,
        sources: Collection[str],
        sites: Sites,
        clock: Clock,
        metrics: EdgeMetrics,
        committed: Callable[[], None],
    ) -> None:
        """``sources`` and ``sites`` are those of now and later. ``committed`` is called when there is something to publish."""
        self._database = database
        self._record = record
        self._directory = directory
        self._sources = sources
        self._sites = sites
        self._clock = clock
        self._metrics = metrics
        self._committed = committed
        self._kept: Counter[tuple[str, datetime]] = Counter()
        self._told: deque[str] = deque(maxlen=_MOST_TOLD)
        self._doubtful: dict[
            tuple[bytes, int], bool
        ] = {}  # pieces that failed whole: whether another one did not since

    async def step(self) -> None:
        """Read what there is. When the database is away this raises, and nothing is forgotten."""
        for file in await asyncio.to_thread(log_files, self._directory):
            while await self._read(file):
                pass
        self._metrics.looked()

    async def _read(self, file: LogFile) -> bool:
        """Record one piece; return whether there may be more."""
        async with self._database.transaction() as connection:
            if not await store.is_mine(connection):
                return False
            start = await store.position(connection, file.first_line)
            piece = await asyncio.to_thread(read_piece, file, start, _PIECE)
            if piece.end == start:
                await self._delete_old(connection, file, start)
                return False
            requests = [request for request in map(read_line, piece.lines) if request is not None]
            if not set(map(_NAME, requests)).isdisjoint(kept_apart()):
                return False
            parts = await in_halves(requests, partial(self._take_in, connection), name=_NAME, within=connection)
            if parts:
                self._doubtful = dict.fromkeys(self._doubtful, True)
            elif requests and not self._doubtful.setdefault((file.first_line, start), False):
                return False
            await store.save_position(connection, file.first_line, piece.end)
        unread = len(piece.lines)
        for read, kept, dropped, told in parts:
            unread -= len(read)
            for request in read:
                self._metrics.refused(self._source(request), request.status)
            self._metrics.not_kept(dropped)
            self._kept.update(kept)
            self._told.extend(told)
            if kept or told:
                self._committed()
        if len(self._kept) > _MOST_NETWORKS:
            self._kept.clear()
        self._metrics.unreadable(unread)
        if unread:
            _log.error("edge_log_unreadable", file=file.path.name, lines=unread, since=start, until=piece.end)
        return True

    async def _take_in(
        self, connection: Connection, read: Sequence[EdgeRequest]
    ) -> tuple[Sequence[EdgeRequest], Counter[tuple[str, datetime]], int, Collection[str]]:
        return read, *await self._take(connection, read), await self._tell(connection, read)

    async def _take(
        self, connection: Connection, read: Sequence[EdgeRequest]
    ) -> tuple[Counter[tuple[str, datetime]], int]:
        """Record; return how many orders were kept by network and hour, and how many were counted only."""
        counts: Counter[tuple[datetime, str, str]] = Counter()
        for request in read:
            if request.address == "webhook":
                continue  # it would not have come to a gateway
            counts[request.at.replace(microsecond=0), self._source(request), f"edge_{request.status}"] += 1
        await store.count(connection, counts)
        orders = [request for request in read if request.is_order]
        if orders:
            moments = [request.at for request in orders]
            # A gateway that answered too late has the order itself, and its number.
            known = await store.known_requests(
                connection, min(moments), max(moments), [request.edge_id for request in orders]
            )
            orders = [request for request in orders if request.edge_id not in known]
        kept: Counter[tuple[str, datetime]] = Counter()
        hooks: list[IntakeMessage] = []
        for request in orders:
            key = (network_of(request.client) or "", request.at.replace(minute=0, second=0, microsecond=0))
            if self._kept[key] + kept[key] < _MOST_ORDERS:
                kept[key] += 1
                hooks.append(self._hook(request))
        if hooks:
            await self._record(connection, hooks)
        return kept, len(orders) - len(hooks)

    async def _tell(self, connection: Connection, read: Sequence[EdgeRequest]) -> Collection[str]:
        """Tell of what would have come to another service, once an address and hour; returns what is told.

        Hooks are told by their metric's alert, orders one by one.
        """
        found: dict[str, Envelope] = {}
        for request in read:
            if request.sender is not None and request.status in TOLD:
                problem = refused_alert(request, request.sender)
                found.setdefault(problem.id, problem)
        new = {each: problem for each, problem in found.items() if each not in self._told}
        await outbox.add(connection, *new.values())
        return new.keys()

    def _source(self, request: EdgeRequest) -> str:
        if request.address == "website":
            return self._sites.of_server(request.client).source
        name = request.source
        return UNKNOWN_SOURCE if name is None or name not in self._sources else name

    def _hook(self, request: EdgeRequest) -> IntakeMessage:
        site = self._sites.of_server(request.client)
        key = request.idempotency_key
        external_id = None if key is None else external_id_from_key(key)
        answer = {
            "status": request.status,
            "code": f"edge_{request.status}",
            "detail": "the request ended at nginx; no gateway answered it, and its body is not known",
        }
        seen = {
            "seen-by": "nginx",
            "x-request-id": request.request_id,
            "x-edge-request": request.edge_id,
            "method": request.method,
            "path": request.path,
            "client": request.client,
            "request-bytes": str(request.size),
            "upstream-status": request.upstream_status,
        }
        return IntakeMessage(
            type=WEBSITE_ORDER_REFUSED,
            event_id=derived_id("delivery", request.delivery_id),
            delivery_id=request.delivery_id,
            source=site.source,
            event=ORDER_CREATED,
            body_form="payload",
            body=b"",
            received_at=request.at,
            replica=REPLICA,
            number=None if external_id is None else order_number(site.source, external_id),
            external_id=external_id,
            status=request.status,
            reason=category_of(request.status, manager=False).value,
            headers=orjson.dumps(seen).decode(),
            answer=orjson.dumps(answer).decode(),
            currency=site.currency,
            network=neighbourhood_of(request.client),
        )

    async def _delete_old(self, connection: Connection, file: LogFile, read_to: int) -> None:
        """Delete a file that is read to its end and old. That it cannot be is no harm: its lines are never taken again."""
        try:
            known = file.path.stat()
            old = self._clock.now().timestamp() - known.st_mtime > _KEPT_FILES.total_seconds()
            if old and known.st_size == read_to:
                file.path.unlink()
                await store.forget_positions(connection)
        except OSError as error:
            _log.warning("edge_log_not_deleted", file=file.path.name, reason=type(error).__name__)
