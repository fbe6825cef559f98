"""Makes an event durable: confirmed by the broker, else synced to the spool (CONTRACT 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from common.contracts.intake import Hook
from common.errors import Unavailable
from webhook_gateway.durable import wire
from webhook_gateway.durable.breaker import CircuitBreaker
from webhook_gateway.hooks.ports import BrokerLane, DurabilityObserver, Lane, NoLane, SpoolLane

_CERTAIN = "broker_away"  # the code of common.messaging's error for "no connection at all"


class KeepSafe:
    """Two lanes and a breaker.

    When a call returns, the event is on disk: in a quorum queue, or in this replica's spool, from which it is relayed in order. It may
    be in both (the broker took it but its confirmation came late): consumers recognise the event's id. Safe for concurrent use within
    one event loop.
    """

    def __init__(
        self,
        *,
        broker: BrokerLane,
        spool: SpoolLane,
        breaker: CircuitBreaker,
        observer: DurabilityObserver,
        monotonic: Callable[[], float],
        deadline: float,
        disown: Callable[[Hook], None] = lambda hook: None,
    ) -> None:
        """``deadline`` (seconds, well under one) is how long the broker has to confirm. ``disown`` hears of an event that no lane
        confirmed: one that timed out may have taken it all the same."""
        self._broker = broker
        self._spool = spool
        self._breaker = breaker
        self._observer = observer
        self._monotonic = monotonic
        self._deadline = deadline
        self._disown = disown

    async def __call__(self, hook: Hook) -> Lane:
        """Store the event and say by which lane. Raises ``NoLane`` when neither can take it."""
        if self._breaker.closed:
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
        raise NoLane("neither the broker nor the spool can take the event", retry_after=1)

    async def _by_broker(self, hook: Hook) -> bool:
        try:
            await self._broker.send(hook.type, wire.encode(hook), deadline=self._deadline)
        except Unavailable as error:
            self._breaker.failed(self._monotonic(), certain=error.code == _CERTAIN)
            self._observer.lane_failed("broker", error.code)
            self._observer.breaker_is(self._breaker.state)
            return False
        if not self._breaker.closed:
            self._breaker.succeeded()
            self._observer.breaker_is(self._breaker.state)
        else:
            self._breaker.succeeded()
        return True

    async def _by_spool(self, hook: Hook) -> bool:
        try:
            await self._spool.append(hook.type, wire.encode(replace(hook, lane="spool")))
        except Unavailable as error:
            self._observer.lane_failed("spool", error.code)
            return False
        return True
