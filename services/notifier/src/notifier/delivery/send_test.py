"""A test message: does this destination work?"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from common.errors import Conflict, NotFound
from common.ids import new_id
from common.telemetry import scrub_text
from notifier.delivery.model import NewNotice
from notifier.delivery.notifications import NotificationStore
from notifier.messages.incident_notices import render_test
from notifier.messages.words import Words
from notifier.routing.model import Chosen, Destination, Routes


class SendTest:
    """Sends through the same lanes, limits and log as everything else."""

    def __init__(self, *, routes: Routes, words: Words, environment: str, channels: Collection[str]) -> None:
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

    async def __call__(
        self, notifications: NotificationStore, *, name: str, text: str, now: datetime, traceparent: str | None
    ) -> str:
        """Put a test message into the destination's lane, in the caller's transaction; returns the notice's id."""
        destination = self.destination(name)
        notice_id = new_id()
        await notifications.add(
            [
                NewNotice(
                    id=notice_id,
                    subject=f"test:{notice_id}",
                    transition="test",
                    sequence=0,
                    kind="test",
                    severity="info",
                    event_id=notice_id,
                    occurred_at=now,
                    document=render_test(scrub_text(text), environment=self._environment, words=self._words),
                    traceparent=traceparent,
                    chosen=(Chosen(destination, "test-message"),),
                )
            ]
        )
        return notice_id
