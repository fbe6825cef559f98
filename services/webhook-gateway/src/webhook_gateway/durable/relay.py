"""Brings spooled events to the broker, in the order they came, and finds out when the broker is back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import groupby

from common.contracts.intake import HOOK_RECEIVED
from common.errors import Unavailable
from common.messaging.publisher import Publisher
from common.resilience import CircuitBreaker
from common.service import apart, kept_apart
from common.telemetry import get_logger
from webhook_gateway.durable.batches import HookBatches
from webhook_gateway.durable.metrics import DurabilityMetrics
from webhook_gateway.durable.model import EXCHANGE, SpoolRecord
from webhook_gateway.durable.spool import Spool

_log = get_logger()
_RELAY_DEADLINE_S = 5.0
_PROBE_DEADLINE_S = 1.0


class RelaySpool:
    """The spool's way out. While the breaker is open its oldest record is the probe: no marketplace waits for a broker that hangs.

    At least once: a record is forgotten after its confirmation. Records are published in the order of storing; one that fails stays and
    goes with the next round.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        spool: Spool,
        breaker: CircuitBreaker,
        metrics: DurabilityMetrics,
        monotonic: Callable[[], float],
        batch: int = 100,
        poll: float = 0.2,
        batches: HookBatches | None = None,
    ) -> None:
        """``batches`` publishes hooks together, when every consumer reads that."""
        self._publisher = publisher
        self._spool = spool
        self._breaker = breaker
        self._metrics = metrics
        self._monotonic = monotonic
        self._batch = batch
        self._poll = poll
        self._batches = batches
        self._stopping = False

    async def run(self) -> None:
        """Relay until ``stop``. To be supervised; survives the absence of the broker and a failing disk."""
        while not self._stopping:
            try:
                busy = await self.step()
            except Unavailable as error:
                _log.warning("spool_not_readable", code=error.code)
                busy = False
            if not busy:
                await self._spool.wait(self._poll)

    async def stop(self) -> None:
        """Let ``run`` end after the batch in hand; what is left waits on disk for the next start."""
        self._stopping = True

    async def step(self) -> bool:
        """Relay one batch, or probe. Return whether there may be more to do at once."""
        if not self._publisher.ready:
            return False
        closed = not self._breaker.is_open
        if not closed and not self._breaker.may_call(self._monotonic()):
            return False
        if self._spool.depth == 0:
            self._end_probe_without_record()
            return False
        aside = set(kept_apart())
        limit = self._batch if closed else 1
        try:
            found = await self._spool.peek(limit + len(aside))
        except Unavailable:
            self._end_probe_without_record()
            raise
        records = [record for record in found if f"spool record {record.id}" not in aside][:limit]
        if not records:
            self._end_probe_without_record()
            return False
        confirmed = await self._publish(records, deadline=_RELAY_DEADLINE_S if closed else _PROBE_DEADLINE_S)
        if confirmed:
            await self._spool.forget(confirmed)
            self._metrics.relayed(len(confirmed))
        return len(confirmed) == len(records)

    def _end_probe_without_record(self) -> None:
        """With nothing to probe with, the connection's state decides: the next hooks find out the rest."""
        if self._breaker.is_open:
            self._breaker.succeeded()
            self._metrics.breaker_is(self._breaker.state)

    async def _publish(self, records: Sequence[SpoolRecord], *, deadline: float) -> list[int]:
        # Of one type those that follow each other, all at once: they are written in this order.
        runs = [(key, [record.body for record in run]) for key, run in groupby(records, lambda each: each.routing_key)]
        published = await asyncio.gather(*(self._publish_run(key, bodies, deadline) for key, bodies in runs))
        outcomes = [outcome for run in published for outcome in run]
        confirmed: list[int] = []
        for record, outcome in zip(records, outcomes, strict=True):
            if outcome is None:
                confirmed.append(record.id)
            elif not isinstance(outcome, Unavailable):
                with apart(f"spool record {record.id}"):  # the records behind it are relayed all the same
                    raise outcome
        if confirmed:
            self._breaker.succeeded()
        elif not any(isinstance(outcome, Unavailable) for outcome in outcomes):
            self._end_probe_without_record()  # a fault of ours says nothing of the broker
        else:
            self._breaker.failed(self._monotonic(), certain=True)
            self._metrics.path_failed("broker", "relay_failed")
        self._metrics.breaker_is(self._breaker.state)
        return confirmed

    async def _publish_run(self, key: str, bodies: Sequence[bytes], deadline: float) -> Sequence[BaseException | None]:
        if self._batches is not None and key == HOOK_RECEIVED:
            return await self._batches.publish_all(bodies, deadline=deadline)
        return await asyncio.gather(
            *(self._publisher.publish_raw(EXCHANGE, key, body, deadline=deadline) for body in bodies),
            return_exceptions=True,
        )
