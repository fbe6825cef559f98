"""What the notifier counts. Everything exists at zero from the start; no order, chat or text is a label."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from common.telemetry.metrics import FAST_SECONDS, SIZES, SLOW_SECONDS
from notifier.incidents.model import RecipeName
from notifier.messages.channels import CHANNELS

_ORDERS = ("created", "changed", "paid", "received", "delivered", "cancelled", "corrected")
_KINDS = (
    *(f"order.{name}" for name in _ORDERS),
    "workflow.stopped",
    "workflow.crashed",
    "refund.rejected",
    "problem",
    "heartbeat",
    "test",
)
_CALLS = ("sent", "gone", "toolong", "throttled", "moved", "refused", "notsent", "unclear")
_STEPS = ("remind", "call", "nobody", "reopen", "held")
_CALL_OUTCOMES = ("placed", "unreachable", "later")
_BUTTON_OUTCOMES = (
    "done",
    "asked",
    "taken",
    "over",
    "forbidden",
    "unknown_person",
    "unknown_button",
    "no_recipe",
    "not_yours",
    "failed",
)
_TRACKED = (
    ("ticket", "done"),
    ("ticket", "later"),
    ("ticket", "refused"),
    ("comment", "done"),
    ("comment", "later"),
    ("comment", "refused"),
    ("read", "done"),
    ("read", "later"),
    ("look", "done"),
    ("look", "later"),
    ("move", "done"),
    ("move", "later"),
    ("move", "refused"),
)


class NotifierMetrics:
    """Counts what happens to notices and messages; gauges of the queue are set by a job that asks the database."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.notifications = Counter(
            "notifier_notifications_total",
            "Notices by what became of them",
            ["channel", "kind", "outcome"],
            registry=registry,
        )
        self.calls = Counter(
            "notifier_provider_calls_total", "Messages tried, by outcome", ["channel", "outcome"], registry=registry
        )
        self.call_seconds = Histogram(
            "notifier_provider_call_duration_seconds",
            "Duration of a provider's call",
            ["channel"],
            registry=registry,
            buckets=FAST_SECONDS,
        )
        self.notices_per_message = Histogram(
            "notifier_notices_per_message",
            "Notices that shared a message",
            ["channel"],
            registry=registry,
            buckets=SIZES,
        )
        self.latency = Histogram(
            "notifier_send_latency_seconds",
            "From an event's intake to the provider's yes",
            ["channel"],
            registry=registry,
            buckets=SLOW_SECONDS,
        )
        self.waiting = Gauge("notifier_queue_depth", "Deliveries not yet at their end", ["channel"], registry=registry)
        self.oldest = Gauge(
            "notifier_queue_oldest_seconds",
            "Age of the oldest delivery not yet at its end",
            ["channel"],
            registry=registry,
        )
        self.expired = Counter(
            "notifier_leases_expired_total", "Deliveries whose sender died half-way", registry=registry
        )
        self.edits = Counter(
            "notifier_edits_total",
            "Edits of messages and digests, by outcome",
            ["channel", "outcome"],
            registry=registry,
        )
        self.digests = Gauge(
            "notifier_digests_open", "Storms that are told in a digest", ["channel"], registry=registry
        )
        self.failed_over = Counter(
            "notifier_failed_over_total", "Notices told by another channel than theirs", registry=registry
        )
        self.refused = Counter(
            "notifier_alerts_refused_total",
            "Calls of other systems that were refused for their token or signature",
            ["sender", "looks"],
            registry=registry,
        )
        for sender in ("alertmanager", "sentry", "slack", "telegram", "twilio"):
            for looks in ("genuine", "other"):
                self.refused.labels(sender, looks)
        self.muted = Gauge("notifier_incidents_muted", "Open incidents that nobody was told of", registry=registry)
        self.heartbeat_at = Gauge(
            "notifier_heartbeat_timestamp_seconds",
            "When a provider took the last message of the dead-man's switch while nothing was overdue; 0: never",
            registry=registry,
        )
        self.heartbeat_withheld = Gauge(
            "notifier_heartbeat_withheld", "Whether something overdue withholds the heartbeat", registry=registry
        )
        self.incidents = Gauge(
            "notifier_incidents_open", "Incidents that are not resolved", ["severity"], registry=registry
        )
        for severity in ("critical", "warning", "info"):
            self.incidents.labels(severity)
        for channel in CHANNELS:
            for outcome in _CALLS:
                self.calls.labels(channel, outcome)
            for kind in _KINDS:
                for outcome in ("sent", "failed", "unknown"):
                    self.notifications.labels(channel, kind, outcome)
                self.edits.labels(channel, outcome)
            for metric in (
                self.digests,
                self.call_seconds,
                self.notices_per_message,
                self.latency,
                self.waiting,
                self.oldest,
            ):
                metric.labels(channel)

    def delivered(self, *, channel: str, kind: str, outcome: str, seconds: float | None) -> None:
        """One notice came to an outcome; ``seconds`` since the event was taken in, when it was sent."""
        label = kind if kind in _KINDS else "problem"
        self.notifications.labels(channel, label, outcome).inc()
        if seconds is not None:
            self.latency.labels(channel).observe(seconds)

    def called(self, *, channel: str, outcome: str, notices: int, seconds: float) -> None:
        """One message was tried."""
        self.calls.labels(channel, outcome).inc()
        self.call_seconds.labels(channel).observe(seconds)
        if outcome == "sent":
            self.notices_per_message.labels(channel).observe(notices)

    def edited(self, *, channel: str, outcome: str) -> None:
        """One message that stands in a chat, or a digest, was tried to be brought up to date."""
        self.edits.labels(channel, outcome).inc()

    def heartbeat(self, taken_at: datetime, well: bool) -> None:
        """Show the last heartbeat, unless something is overdue."""
        self.heartbeat_withheld.set(0 if well else 1)
        if well:
            self.heartbeat_at.set(taken_at.timestamp())

    def alert_refused(self, sender: str, genuine: bool) -> None:
        """One call of another system was refused; ``genuine`` if it looks like its sender's own."""
        self.refused.labels(sender, "genuine" if genuine else "other").inc()

    def no_heartbeat(self) -> None:
        """Show that none is to be expected: nobody must be alarmed by its absence."""
        self.heartbeat_at.set(float("inf"))


class PeopleMetrics:
    """Counts escalation, calls, buttons, recipes, tickets and handovers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.steps = Counter(
            "notifier_escalation_steps_total", "Steps of the escalation chain", ["act"], registry=registry
        )
        self.calls = Counter("notifier_calls_total", "Calls tried, by outcome", ["outcome"], registry=registry)
        self.button_actions = Counter(
            "notifier_presses_total", "Pressed buttons, by what came of them", ["channel", "outcome"], registry=registry
        )
        self.recipes = Counter(
            "notifier_recipes_total", "Recipes carried out, by outcome", ["recipe", "outcome"], registry=registry
        )
        self.tracker = Counter(
            "notifier_tracker_total", "Calls to the outside tracker, by outcome", ["what", "outcome"], registry=registry
        )
        self.handovers = Counter("notifier_handovers_total", "Handovers of the duty", ["outcome"], registry=registry)
        self.gaps = Gauge(
            "notifier_roster_gaps", "Shifts of the next four weeks with nobody on duty", registry=registry
        )
        self.overdue = Gauge(
            "notifier_timers_overdue_seconds", "How late the oldest timer of escalation is", registry=registry
        )
        self.unfollowed = Gauge(
            "notifier_follow_ups_oldest_seconds",
            "Age of the oldest act on an incident that ticket, chats and timeline do not know",
            registry=registry,
        )
        self.untracked = Gauge(
            "notifier_tickets_waiting", "Tickets that the outside tracker does not have yet", registry=registry
        )
        for act in _STEPS:
            self.steps.labels(act)
        for outcome in _CALL_OUTCOMES:
            self.calls.labels(outcome)
        for channel in ("telegram", "slack"):
            for outcome in _BUTTON_OUTCOMES:
                self.button_actions.labels(channel, outcome)
        for recipe in get_args(RecipeName):
            for outcome in ("done", "failed", "running", "superseded"):
                self.recipes.labels(recipe, outcome)
        for what, outcome in _TRACKED:
            self.tracker.labels(what, outcome)
        for outcome in ("announced", "unconfirmed"):
            self.handovers.labels(outcome)
