"""Makes an event durable: confirmed by the broker, else synced to the spool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.errors import Unavailable
from common.messaging.publisher import Publisher
from common.resilience import CircuitBreaker
from webhook_gateway.durable.batches import HookBatches
from webhook_gateway.durable.metrics import DurabilityMetrics
from webhook_gateway.durable.model import EXCHANGE, NoStoragePath, StoragePath
from webhook_gateway.durable.spool import Spool

_CERTAIN = "broker_away"  # the code of common.messaging's error for "no connection at all"


class KeepSafe:
    """Two storage paths and a breaker.

    When a call returns, the event is on disk: in a quorum queue, or in this replica's spool, from which it is relayed in order. It may
    be in both (the broker took it but its confirmation came late): consumers recognise the event's id. Events go to the broker only
    while the breaker is closed; the relay probes, so that no marketplace waits for a broker that hangs. Safe for concurrent use within
    one event loop.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        spool: Spool,
        breaker: CircuitBreaker,
        metrics: DurabilityMetrics,
        monotonic: Callable[[], float],
        deadline: float,
        disown: Callable[[IntakeMessage], None] = lambda hook: None,
        batches: HookBatches | None = None,
    ) -> None:
        """``deadline`` (seconds, well under one) is how long the broker has to confirm. ``disown`` is called with an event that no path
        confirmed: one that timed out may have taken it all the same. ``batches`` publishes hooks together, when every consumer reads
        that."""
        self._publisher = publisher
        self._spool = spool
        self._breaker = breaker
        self._metrics = metrics
        self._monotonic = monotonic
        self._deadline = deadline
        self._disown = disown
        self._batches = batches

    async def __call__(self, hook: IntakeMessage) -> StoragePath:
        """Store the event and say by which path. Raises ``NoStoragePath`` when neither can take it."""
        if not self._breaker.is_open:
            if await self._by_broker(hook):
                return "broker"
            if await self._by_spool(hook):
                return "spool"
        else:
            if await self._by_spool(hook):
                return "spool"
            if await self._by_broker(hook):  # better a slow try than a refusal
                return "broker"
        self._disown(hook)
        raise NoStoragePath("neither the broker nor the spool can take the event", retry_after=1)

    async def check(self) -> None:
        """Readiness: one path must be able to take an order. Raises ``Unavailable``."""
        if not self._publisher.ready:
            try:
                await self._spool.check()
            except Unavailable as error:
                raise Unavailable(f"no storage path can take an order: RabbitMQ is away, and {error.detail}") from error

    async def _by_broker(self, hook: IntakeMessage) -> bool:
        try:
            if self._batches is not None and hook.type == HOOK_RECEIVED:
                await self._batches.publish(hook.encode(), deadline=self._deadline)
            else:
                await self._publisher.publish_raw(EXCHANGE, hook.type, hook.encode(), deadline=self._deadline)
        except Unavailable as error:
            self._breaker.failed(self._monotonic(), certain=error.code == _CERTAIN)
            self._metrics.path_failed("broker", error.code)
            self._metrics.breaker_is(self._breaker.state)
            return False
        was_open = self._breaker.is_open
        self._breaker.succeeded()
        if was_open:
            self._metrics.breaker_is(self._breaker.state)
        return True

    async def _by_spool(self, hook: IntakeMessage) -> bool:
        try:
            await self._spool.append(hook.type, replace(hook, lane="spool").encode())
        except Unavailable as error:
            self._metrics.path_failed("spool", error.code)
            return False
        return True
