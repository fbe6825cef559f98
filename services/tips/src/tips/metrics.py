"""Metrics of tips: technical (M18) and product (M19). Labels are bounded: unknown zones, tariffs and currencies become ``other``."""

from __future__ import annotations

from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from common.telemetry.metrics import FAST_SECONDS
from tips.ports import REFUSED, Outcome, Place, Written
from tips.rules.order import Applied, Choice, Order, TipsType
from tips.rules.write import Direction

OTHER = "other"
_AMOUNTS = (1000, 2500, 5000, 7500, 10000, 15000, 20000, 30000, 50000, 100000, 200000, 500000)
_RATIOS = (0.01, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0)
_PLACE = ("zone", "tariff")
_WAITS = (0.0, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_OPERATIONS = ("set_tips_sum", "need_hold_tips", "explain")
_ANSWERS = ("ok", "refused", "shed", "unavailable", "failed")
_SHED = ("queue_full", "queue_slow", "database_full", "database_away", "feedback_full", "feedback_away")


class TipsMetrics:
    """Port ``Observer``, the meter of the door, and the timer of the orders database and of feedback.

    What is counted once an order rests on the marks that the database hands out, so it can be compared with the orders table; a
    repeat or a lost race counts nothing. Sums are observed only when the sum of an order changes (M19).
    """

    def __init__(
        self, registry: CollectorRegistry, *, zones: frozenset[str], tariffs: frozenset[str], currencies: frozenset[str]
    ) -> None:
        self._zones, self._tariffs, self._currencies = zones, tariffs, currencies
        self._timers: dict[tuple[object, ...], Histogram] = {}

        self._requests = Histogram(
            "tips_request_duration_seconds",
            "Time of requests by operation and outcome, waiting for a place included (M18).",
            ["operation", "outcome"],
            buckets=FAST_SECONDS,
            registry=registry,
        )
        self._waits = Histogram(
            "tips_queue_wait_seconds",
            "Time that requests waited for a place, sent away or not.",
            buckets=_WAITS,
            registry=registry,
        )
        self._in_progress = Gauge("tips_requests_in_progress", "Requests being worked on.", registry=registry)
        self._shed = Counter(
            "tips_shed_total",
            "Calls refused at once so that nothing waits in vain: at the door (queue_…), before the database, before feedback.",
            ["reason"],
            registry=registry,
        )
        self._database = Histogram(
            "tips_database_duration_seconds",
            "Time of calls to the orders database, waiting for a connection included (M18).",
            ["operation"],
            buckets=FAST_SECONDS,
            registry=registry,
        )
        self._feedback = Histogram(
            "tips_feedback_duration_seconds",
            "Time of calls to the feedback service.",
            ["outcome"],
            buckets=FAST_SECONDS,
            registry=registry,
        )
        self._writes = Counter(
            "tips_writes_total",
            "Writes of set-tips-sum by what the orders database made of them.",
            ["outcome"],
            registry=registry,
        )
        self._seen = Counter(
            "tips_orders_seen_total", "Orders that went through set-tips-sum, each once.", [*_PLACE], registry=registry
        )
        self._orders = Counter(
            "tips_orders_total",
            "Orders that got tips (true, each once), and orders whose first decision was no tips (false, each once).",
            [*_PLACE, "has_tip"],
            registry=registry,
        )
        self._set = Counter(
            "tips_set_total",
            "Orders with tips by where the tips come from, each once a source.",
            [*_PLACE, "source"],
            registry=registry,
        )
        self._types = Counter(
            "tips_types_total",
            "Orders with tips by percent or flat, each once a type.",
            [*_PLACE, "type"],
            registry=registry,
        )
        self._changes = Counter(
            "tips_changes_total",
            "Orders whose tips went up, down or away after they had been decided, each once a direction; unchanged counts calls.",
            [*_PLACE, "direction"],
            registry=registry,
        )
        self._refunded = Counter(
            "tips_refunded_total",
            "Orders that had tips and were refunded in full, each once.",
            [*_PLACE],
            registry=registry,
        )
        self._amount = Histogram(
            "tips_amount_minor_units",
            "Tips, in minor units, observed when they change to more than nothing.",
            [*_PLACE, "currency"],
            buckets=_AMOUNTS,
            registry=registry,
        )
        self._ratio = Histogram(
            "tips_cost_ratio",
            "Tips as a share of the cost, observed when they change to more than nothing.",
            [*_PLACE],
            buckets=_RATIOS,
            registry=registry,
        )
        self._start_at_zero()

    def waited(self, seconds: float) -> None:
        """Record how long a request waited for its place."""
        self._waits.observe(seconds)

    def shed(self, reason: str) -> None:
        """Count a call that was refused at once."""
        self._shed.labels(reason).inc()

    def in_progress(self, count: int) -> None:
        """Show how many requests are being worked on."""
        self._in_progress.set(count)

    def answered(self, operation: str, outcome: str, seconds: float) -> None:
        """Record an answer."""
        self._timer(self._requests, operation, outcome).observe(seconds)

    def observe_database(self, operation: str, seconds: float) -> None:
        """Record one call to the orders database."""
        self._timer(self._database, operation).observe(seconds)

    def observe_feedback(self, outcome: str, seconds: float) -> None:
        """Record one call to the feedback service; ``outcome`` is found, none or failed."""
        self._timer(self._feedback, outcome).observe(seconds)

    def decided(self, order: Order, written: Written, *, amount: int, applied: Applied) -> None:
        """Count a write by its marks and, when the sum changed, observe the sum."""
        self._writes.labels(written.outcome).inc()
        if written.outcome in REFUSED:
            return
        place, marks = self._place(order), written.marks
        if "order" in marks:
            self._seen.labels(*place).inc()
        if "tipped" in marks:
            self._orders.labels(*place, "true").inc()
        elif "order" in marks:
            self._orders.labels(*place, "false").inc()
        if "refunded" in marks:
            self._refunded.labels(*place).inc()
        for mark in marks:
            kind, _, value = mark.partition(":")
            if kind == "choice":
                self._set.labels(*place, value).inc()
            elif kind == "type":
                self._types.labels(*place, value).inc()
            elif kind in _CHANGES:
                self._changes.labels(*place, kind).inc()
        if written.outcome is Outcome.CHANGED and amount > 0:
            self._amount.labels(*place, order.currency if order.currency in self._currencies else OTHER).observe(amount)
            self._ratio.labels(*place).observe(amount / order.cost)

    def nothing_to_write(self, order: Order) -> None:
        """Count a call that found the order as it should be."""
        self._changes.labels(*self._place(order), Direction.UNCHANGED).inc()

    def refunded(self, place: Place) -> None:
        """Count an order whose tips have gone with a refund."""
        self._refunded.labels(*self._place(place)).inc()

    def _place(self, where: Order | Place) -> tuple[str, str]:
        return (
            where.zone if where.zone in self._zones else OTHER,
            where.tariff if where.tariff in self._tariffs else OTHER,
        )

    def _timer(self, histogram: Histogram, *labels: str) -> Histogram:
        """Return a child, looked up once: `labels()` takes a lock and builds a key each time."""
        key = (histogram, *labels)
        child = self._timers.get(key)
        if child is None:
            child = self._timers[key] = histogram.labels(*labels)
        return child

    def _start_at_zero(self) -> None:
        for operation, outcome in product(_OPERATIONS, _ANSWERS):
            self._requests.labels(operation, outcome)
        for reason in _SHED:
            self._shed.labels(reason)
        for operation in ("read", "update", "refunded", "check"):
            self._database.labels(operation)
        for outcome in ("found", "none", "failed"):
            self._feedback.labels(outcome)
        for written in Outcome:
            self._writes.labels(written)
        for place in product(sorted({*self._zones, OTHER}), sorted({*self._tariffs, OTHER})):
            self._seen.labels(*place)
            self._refunded.labels(*place)
            self._ratio.labels(*place)
            for has_tip in ("true", "false"):
                self._orders.labels(*place, has_tip)
            for choice in Choice:
                self._set.labels(*place, choice)
            for kind in TipsType:
                self._types.labels(*place, kind)
            for way in Direction:
                self._changes.labels(*place, way)
            for currency in sorted({*self._currencies, OTHER}):
                self._amount.labels(*place, currency)


_CHANGES = frozenset(Direction) - {Direction.UNCHANGED}
