"""Notices at the first refusal that a source is refused which was right before, or whose order we know; ends it when it is right again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta

from common.clock import Clock
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.envelope import Envelope
from common.ids import derived_id, order_number
from common.messaging import outbox
from common.postgres import Database
from common.service import apart, kept_apart
from webhook_gateway.source_watch.model import Refused
from webhook_gateway.source_watch.store import Recovered, SourceStore, any_refusals, close_refusals, open_refusal

_SERVICE = "webhook-gateway"
_MOST_PENDING = 1_000
_PATIENCE = timedelta(seconds=60)
"""How long a refusal waits for the database to say that its source was right before: the first genuine request may be just as young."""
_QUIET = timedelta(seconds=10)
"""Without a refusal for so long, a genuine request ends the problem: a rotation may have both for a while."""


@dataclass(slots=True)
class _Pending:
    """The refusals of one source that are not in the database yet, the first of them at the head."""

    refused: list[Refused] = field(default_factory=list)
    count: int = 0


class WatchRefused:
    """Remembers refusals on the way, in memory; decides every second, in the database, where all replicas see it.

    Of an unproven body only the order's id and a digest are kept. What is remembered is bounded, so that a flood costs little; what was
    not written when the process dies is lost, and the source's next repeat is noticed.
    """

    def __init__(
        self,
        database: Database,
        *,
        sources: Collection[str],
        start_countdown: Callable[[str, Refused], None],
        clock: Clock,
        committed: Callable[[], None],
    ) -> None:
        """``sources`` are those whose orders we know, now and later. ``start_countdown`` is called with the source of a refused
        ``order.created``, ``committed`` when there is something to publish."""
        self._database = database
        self._store = SourceStore(database)
        self._sources = sources
        self._start_countdown = start_countdown
        self._clock = clock
        self._committed = committed
        self._pending: dict[str | None, _Pending] = {}

    def refused(self, refused: Refused) -> None:
        """Take note of a request that did not prove its source."""
        pending = self._pending.setdefault(refused.source, _Pending())
        pending.count += 1
        if len(pending.refused) < _MOST_PENDING and (refused.claim is not None or not pending.refused):
            pending.refused.append(refused)

    async def step(self) -> None:
        """Open and end problems. When the database is away this raises, and nothing is forgotten."""
        for name in list(self._pending):
            item = f"source {name}"
            if item in kept_apart():
                continue
            pending = self._pending.pop(name)
            decided = False
            try:
                with apart(item):
                    decided = await self._decide(name, pending)
            finally:
                if not decided:
                    self._keep(name, pending)
        await self._end()

    async def _decide(self, name: str | None, pending: _Pending) -> bool:
        """Return False when nobody knows yet whether the source ever was right."""
        numbers = {
            order_number(source, refused.claim.external_id): source
            for refused in pending.refused
            if refused.claim is not None
            for source in self._sources
        }
        right_before, known = await self._store.known([] if name is None else [name], list(numbers))
        sources = {numbers[number] for number in known} if name is None else {name} if right_before or known else set()
        for source in sources:
            mine = [one for one in pending.refused if _concerns(one, name, source, known)]
            if mine and await self._open(source, mine[0], pending.count):
                self._committed()
            for one in mine:
                if one.claim is not None and one.claim.created:
                    self._start_countdown(source, one)
        return bool(sources)

    async def _open(self, source: str, first: Refused, count: int) -> bool:
        async with self._database.transaction() as connection:
            opened = await open_refusal(connection, source, first, count)
            if opened:
                await outbox.add(connection, _raised(source, first))
        return opened

    async def _end(self) -> None:
        async with self._database.acquire() as connection:
            if not await any_refusals(connection):
                return
        async with self._database.transaction() as connection:
            recovered = await close_refusals(connection, self._clock.now() - _QUIET)
            await outbox.add(connection, *map(_resolved, recovered))
        if recovered:
            self._committed()

    def _keep(self, name: str | None, pending: _Pending) -> None:
        """Look at them again in the next round; those of a source that never was right (scanners, a new set-up) are given up one day."""
        newer = self._pending.pop(name, _Pending())
        horizon = self._clock.now() - _PATIENCE
        pending.refused = [one for one in (*pending.refused, *newer.refused) if one.at >= horizon][:_MOST_PENDING]
        pending.count += newer.count
        if pending.refused:
            self._pending[name] = pending


def _concerns(refused: Refused, name: str | None, source: str, known: frozenset[str]) -> bool:
    if name is not None:
        return True
    return refused.claim is not None and order_number(source, refused.claim.external_id) in known


def _fingerprint(source: str) -> str:
    return derived_id("source-refused", source)


def _raised(source: str, first: Refused) -> Envelope:
    claim = first.claim
    problem = ProblemRaisedV1(
        kind="source.refused",
        severity="critical",
        fingerprint=_fingerprint(source),
        summary=(
            f"Источник {source} получил отказ {first.status}, хотя раньше его хуки принимались: при 401 и 403, вероятно, токен сменили "
            "с одной стороны, при 413 и 408 тело слишком велико или пришло не целиком. "
            "Маркетплейс повторит хуки семь раз и отменит заказы"
        ),
        details={
            "status": str(first.status),
            "external_id": "-" if claim is None else claim.external_id,
            "digest": "-" if claim is None else claim.digest,
        },
        service=_SERVICE,
        order_number=None if claim is None else order_number(source, claim.external_id),
        source=source,
        occurred_at=first.at,
    )
    return Envelope.of(
        problem,
        event_id=derived_id("problem", "source.refused", source, first.at.isoformat()),
        source=f"/{_SERVICE}",
        subject=problem.order_number,
        time=first.at,
    )


def _resolved(recovered: Recovered) -> Envelope:
    over = ProblemResolvedV1(
        fingerprint=_fingerprint(recovered.source),
        summary=f"Хуки источника {recovered.source} снова принимаются",
        service=_SERVICE,
        occurred_at=recovered.at,
    )
    return Envelope.of(
        over,
        event_id=derived_id("problem-resolved", "source.refused", recovered.source, recovered.at.isoformat()),
        source=f"/{_SERVICE}",
        subject=None,
        time=recovered.at,
    )
