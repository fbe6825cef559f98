"""A test message: does this destination work?"""

from __future__ import annotations

from collections.abc import Collection

from common.clock import Clock
from common.errors import Conflict, NotFound
from common.http import Change
from common.ids import new_id
from common.telemetry import current_traceparent, scrub_text
from notifier.delivery.model import NewNotice
from notifier.delivery.named import lines_of
from notifier.delivery.notifications import NotificationStore
from notifier.delivery.views import TestMessage, TestMessageAccepted
from notifier.messages.incident_notices import render_test
from notifier.messages.words import Words
from notifier.routing.model import Chosen, Destination, Routes


class SendTest:
    """Sends through the same queues, limits and log as everything else."""

    def __init__(
        self, *, routes: Routes, words: Words, environment: str, channels: Collection[str], clock: Clock
    ) -> None:
        self._clock = clock
        self._channels = channels
        self._routes = routes
        self._words = words
        self._environment = environment

    def destination(self, name: str) -> Destination:
        """Return the destination of that name. Raises ``NotFound``, and ``Conflict`` when its channel is off: it would wait for ever."""
        destination = self._routes.destinations.get(name)
        if destination is None:
            raise NotFound("no such destination in the routes file")
        if destination.channel not in self._channels:
            raise Conflict(f"the channel {destination.channel} is not configured")
        return destination

    async def __call__(self, wanted: TestMessage, change: Change) -> TestMessageAccepted:
        """Put a test message into the queue of the destination's chat, in the change's transaction. Raises as ``destination`` does."""
        destination = self.destination(wanted.destination)
        notice_id = new_id()
        notice = NewNotice(
            id=notice_id,
            subject=f"test:{notice_id}",
            transition="test",
            sequence=0,
            kind="test",
            severity="info",
            event_id=notice_id,
            occurred_at=self._clock.now(),
            document=render_test(scrub_text(wanted.text), environment=self._environment, words=self._words),
            traceparent=current_traceparent(),
            chosen=(Chosen(destination, "test-message"),),
        )
        await NotificationStore(change.connection).add([notice])
        await change.record("message.test", f"destination:{wanted.destination}", after={"notice": notice_id})
        change.tells(*lines_of(notice))
        made = None if change.dry_run else notice_id
        return TestMessageAccepted(
            notice_id=made, channel=destination.channel, address=destination.address, dry_run=change.dry_run
        )
