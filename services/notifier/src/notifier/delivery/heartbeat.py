"""The dead-man's switch (research/notifier.md, design 10): a synthetic event through the whole pipeline, and its heartbeat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta

from common.clock import Clock
from common.contracts import Envelope
from common.contracts.alerts import HeartbeatV1
from common.ids import derived_id
from common.telemetry import get_logger
from notifier.delivery.heartbeat_store import HeartbeatStore
from notifier.delivery.notifications import NotificationStore

_log = get_logger()


class Beat:
    """Any number of replicas may run it: an interval's event is the same event, whoever sends it."""

    def __init__(
        self,
        *,
        open_notifications: Callable[[], AbstractAsyncContextManager[NotificationStore]],
        pulses: HeartbeatStore,
        clock: Clock,
        every: timedelta,
        patience: timedelta,
        show: Callable[[datetime, bool], None],
        ping: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._open_notifications = open_notifications
        self._pulses = pulses
        self._clock = clock
        self._every = every
        self._patience = patience
        self._show = show
        self._ping = ping
        self._pinged: datetime | None = None

    async def send(self) -> None:
        """Promise this interval's event: outbox, RabbitMQ, intake, routes, lane, provider, as for any problem."""
        now = self._clock.now()
        turn = int(now.timestamp() // self._every.total_seconds())
        envelope = Envelope.of(
            HeartbeatV1(service="notifier", occurred_at=now),
            event_id=derived_id("notifier.heartbeat", str(turn)),
            source="/notifier",
            subject=None,
            time=now,
        )
        async with self._open_notifications() as notifications:
            await notifications.add_to_outbox(envelope)

    async def look(self) -> None:
        """Show the last one that the provider took; tell the outside, once for each, if nothing else is overdue."""
        pulse = await self._pulses.pulse(patience=self._patience)
        if pulse.taken_at is None:
            return
        self._show(pulse.taken_at, pulse.overdue is None)
        if pulse.overdue is not None:
            _log.warning("heartbeat_withheld", reason=pulse.overdue)
            return
        if self._ping is not None and pulse.taken_at != self._pinged:
            await self._ping()
            self._pinged = pulse.taken_at
