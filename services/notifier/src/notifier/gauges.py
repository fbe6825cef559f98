"""Gauges of what waits, read from the database by the clock."""

from __future__ import annotations

from notifier.delivery.reads import NotificationReads
from notifier.duty.timer_store import TimerStore
from notifier.messages.channels import CHANNELS
from notifier.metrics import NotifierMetrics, PeopleMetrics
from notifier.tickets.follow_up_store import FollowUpStore


async def show_queues(reads: NotificationReads, metrics: NotifierMetrics) -> None:
    """Set the gauges of deliveries, digests and incidents."""
    queue, digests = await reads.queue(), await reads.open_digests()
    metrics.muted.set(await reads.muted())
    for channel in CHANNELS:
        metrics.digests.labels(channel).set(digests.get(channel, 0))
        waiting, oldest = queue.get(channel, (0, 0.0))
        metrics.waiting.labels(channel).set(waiting)
        metrics.oldest.labels(channel).set(oldest)
    open_incidents = await reads.open_incidents()
    for severity in ("critical", "warning", "info"):
        metrics.incidents.labels(severity).set(open_incidents.get(severity, 0))


async def show_backlog(timers: TimerStore, follow_ups: FollowUpStore, metrics: PeopleMetrics) -> None:
    """Set the gauges of escalation, follow-ups and tickets."""
    metrics.overdue.set(await timers.overdue())
    oldest, waiting = await follow_ups.backlog()
    metrics.unfollowed.set(oldest)
    metrics.untracked.set(waiting)
