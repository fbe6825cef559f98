"""What is counted around people. Everything exists at zero from the start; no person, incident or ticket is a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

_STEPS = ("remind", "call", "nobody", "reopen")
_CALLS = ("placed", "unreachable", "later")
_PRESSES = (
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
_RECIPES = ("retry_workflow", "restart_refund")
_TRACKED = (
    ("ticket", "done"),
    ("ticket", "later"),
    ("ticket", "refused"),
    ("comment", "done"),
    ("comment", "later"),
    ("comment", "refused"),
    ("read", "done"),
    ("read", "later"),
)


class PeopleMetrics:
    """See the ``…Watch`` protocols of the use cases."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.steps = Counter(
            "notifier_escalation_steps_total", "Steps of the escalation chain", ["act"], registry=registry
        )
        self.calls = Counter("notifier_calls_total", "Calls tried, by outcome", ["outcome"], registry=registry)
        self.presses = Counter(
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
        for outcome in _CALLS:
            self.calls.labels(outcome)
        for channel in ("telegram", "slack"):
            for outcome in _PRESSES:
                self.presses.labels(channel, outcome)
        for recipe in _RECIPES:
            for outcome in ("done", "failed", "running", "superseded"):
                self.recipes.labels(recipe, outcome)
        for what, outcome in _TRACKED:
            self.tracker.labels(what, outcome)
        for outcome in ("announced", "unconfirmed"):
            self.handovers.labels(outcome)

    def escalated(self, act: str) -> None:
        """Count a step of the chain."""
        self.steps.labels(act).inc()

    def phoned(self, outcome: str) -> None:
        """Count a call."""
        self.calls.labels(outcome).inc()

    def pressed(self, channel: str, outcome: str) -> None:
        """Count a press."""
        self.presses.labels(channel, outcome).inc()

    def cooked(self, recipe: str, outcome: str) -> None:
        """Count a recipe."""
        self.recipes.labels(recipe, outcome).inc()

    def tracked(self, what: str, outcome: str) -> None:
        """Count a call to the tracker."""
        self.tracker.labels(what, outcome).inc()

    def handed_over(self, outcome: str) -> None:
        """Count a handover."""
        self.handovers.labels(outcome).inc()

    def roster_gaps(self, count: int) -> None:
        """Show the gaps ahead."""
        self.gaps.set(count)
