"""What messaging counts. One instance a service, shared by its consumers and its relay."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from common.messaging.topology import QueueSpec


class MessagingMetrics:
    """Counters and gauges of consumers, outbox and dead letters. Everything exists at zero from the start."""

    def __init__(self, registry: CollectorRegistry, *, queues: tuple[QueueSpec, ...] = ()) -> None:
        self.consumed = Counter(
            "consumer_events_total", "Events dealt with, by outcome", ["queue", "outcome"], registry=registry
        )
        self.batch_seconds = Histogram(
            "consumer_batch_duration_seconds",
            "From the start of a batch's transaction to its commit",
            ["queue"],
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )
        self.outbox_published = Counter("outbox_published_total", "Events confirmed by the broker", registry=registry)
        self.outbox_failed = Counter(
            "outbox_failed_total", "Publishing attempts that failed", ["code"], registry=registry
        )
        self.outbox_pending = Gauge(
            "outbox_pending",
            "Events waiting to be published (seen by the leader; counted up to 100,000)",
            registry=registry,
        )
        self.outbox_oldest = Gauge(
            "outbox_oldest_seconds", "Age of the oldest event waiting to be published", registry=registry
        )
        self.outbox_leader = Gauge("outbox_leader", "1 where this replica relays the outbox", registry=registry)
        self.dead_letters = Counter("dead_letters_total", "Events given up on", ["queue", "reason"], registry=registry)
        for code in ("broker_away", "publish_timeout", "unroutable", "publish_refused", "unsendable"):
            self.outbox_failed.labels(code)
        for spec in queues:
            for outcome in ("handled", "repeat", "dead"):
                self.consumed.labels(spec.name, outcome)
            for reason in ("poison", "undecodable", "delivery_limit"):
                self.dead_letters.labels(spec.name, reason)
            self.batch_seconds.labels(spec.name)
