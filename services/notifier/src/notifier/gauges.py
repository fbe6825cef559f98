"""What waits, read from the database: by the clock for the gauges, and for whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from common.messaging import Broker
from common.messaging.topology import QueueSpec
from common.postgres import Database
from common.service import LookAtQueues, WaitingQueue, platform_queues, queue
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
    _, overdue = await timers.overdue()
    metrics.overdue.set(overdue)
    backlog = await follow_ups.backlog()
    metrics.unfollowed.set(backlog.oldest)
    metrics.untracked.set(backlog.tickets)


def queues_of(
    database: Database, broker: Broker, specs: Sequence[QueueSpec], timers: TimerStore, follow_ups: FollowUpStore
) -> Sequence[LookAtQueues]:
    """Return the reads of everything that waits."""
    own = partial(notifier_waiting, NotificationReads(database), timers, follow_ups)
    return (*platform_queues(database, broker, specs, outbox_late_after=120.0), own)


async def notifier_waiting(
    reads: NotificationReads, timers: TimerStore, follow_ups: FollowUpStore
) -> Sequence[WaitingQueue]:
    """Read what is to be sent by channel, acts to be followed up, timers of escalation that are due, tickets for the outside tracker."""
    channels, due, backlog = await reads.queue(), await timers.overdue(), await follow_ups.backlog()
    return [
        *(queue(f"to_send.{channel}", *channels.get(channel, (0, 0.0)), late_after=300.0) for channel in CHANNELS),
        queue("follow_ups", backlog.lines, backlog.oldest, late_after=120.0),
        queue("timers", *due, late_after=60.0),
        queue("outside_tickets", backlog.tickets, backlog.tickets_oldest),
    ]
