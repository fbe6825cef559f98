"""Brings spooled events to the broker, in the order they came, and finds out when the broker is back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from common.errors import Unavailable
from common.messaging.publisher import Publisher
from common.resilience import CircuitBreaker
from common.telemetry import get_logger
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
    ) -> None:
        self._publisher = publisher
        self._spool = spool
        self._breaker = breaker
        self._metrics = metrics
        self._monotonic = monotonic
        self._batch = batch
        self._poll = poll
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
        try:
            records = await self._spool.peek(self._batch if closed else 1)
        except Unavailable:
            self._end_probe_without_record()
            raise
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
        outcomes = await asyncio.gather(
            *(
                self._publisher.publish_raw(EXCHANGE, record.routing_key, record.body, deadline=deadline)
                for record in records
            ),
            return_exceptions=True,
        )
        confirmed: list[int] = []
        for record, outcome in zip(records, outcomes, strict=True):
            if outcome is None:
                confirmed.append(record.id)
            elif not isinstance(outcome, Unavailable):
                raise outcome
        if confirmed:
            self._breaker.succeeded()
        else:
            self._breaker.failed(self._monotonic(), certain=True)
            self._metrics.path_failed("broker", "relay_failed")
        self._metrics.breaker_is(self._breaker.state)
        return confirmed
