"""Metrics of tips, technical and product (docs/requirements.md#technical-monitoring, #product-monitoring)."""

from __future__ import annotations

from functools import partial
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from common.telemetry.metrics import FAST_SECONDS
from common.telemetry.tips_figures import TipsFigures
from tips.rules.order import Order
from tips.rules.write import REFUSED, Outcome, Written

_WAITS = (0.0, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_OPERATIONS = ("set_tips_sum", "need_hold_tips", "explain")
_ANSWERS = ("ok", "refused", "shed", "unavailable", "failed")
_SHED = ("queue_full", "queue_slow", "database_full", "database_away", "feedback_full", "feedback_away")


class TipsMetrics:
    """Every series of tips, at zero from the start; what the product is told stands at ``TipsFigures``. Nothing here raises."""

    def __init__(
        self, registry: CollectorRegistry, *, zones: frozenset[str], tariffs: frozenset[str], currencies: frozenset[str]
    ) -> None:
        self._timers: dict[tuple[object, ...], Histogram] = {}
        self._declare_technical(registry)
        self._figures = TipsFigures(registry, zones=zones, tariffs=tariffs, currencies=currencies)
        self._writes = Counter(
            "tips_writes_total",
            "Writes of set-tips-sum by what the orders database made of them.",
            ["outcome"],
            registry=registry,
        )
        self._start_at_zero()

    def _declare_technical(self, registry: CollectorRegistry) -> None:
        timer = partial(Histogram, buckets=FAST_SECONDS, registry=registry)
        self._requests = timer(
            "tips_request_duration_seconds",
            "Time of requests by operation and outcome, waiting for a place included.",
            ["operation", "outcome"],
        )
        self._database = timer(
            "tips_database_duration_seconds",
            "Time of calls to the orders database, waiting for a connection included.",
            ["operation"],
        )
        self._feedback = timer("tips_feedback_duration_seconds", "Time of calls to the feedback service.", ["outcome"])
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

    def waited(self, seconds: float) -> None:
        """A request waited so long for its place, whether it got one or not."""
        self._waits.observe(seconds)

    def shed(self, reason: str) -> None:
        """A call was refused at once: ``queue_…`` by the admission, ``database_…`` or ``feedback_…`` by a bulkhead."""
        self._shed.labels(reason).inc()

    def in_progress(self, count: int) -> None:
        """So many requests are worked on now."""
        self._in_progress.set(count)

    def answered(self, operation: str, outcome: str, seconds: float) -> None:
        """An answer: ``ok``, ``refused`` (unknown or unfinished order), ``shed``, ``unavailable`` or ``failed``."""
        self._timer(self._requests, operation, outcome).observe(seconds)

    def observe_database(self, operation: str, seconds: float) -> None:
        """A call to the orders database ended, failed or not: ``read``, ``update``, ``refunded`` or ``check``."""
        self._timer(self._database, operation).observe(seconds)

    def observe_feedback(self, outcome: str, seconds: float) -> None:
        """A call to the feedback service ended: ``found``, ``none`` or ``failed``."""
        self._timer(self._feedback, outcome).observe(seconds)

    def decided(self, order: Order, written: Written, *, amount: int) -> None:
        """A set-tips-sum asked for ``amount``; ``order`` is as it was read, ``written`` what came of it."""
        self._writes.labels(written.outcome).inc()
        if written.outcome in REFUSED:
            return
        self._figures.decided(
            order.zone,
            order.tariff,
            marks=written.marks,
            changed=written.outcome is Outcome.CHANGED,
            amount=amount,
            cost=order.cost,
            currency=order.currency,
        )

    def nothing_to_write(self, order: Order) -> None:
        """A set-tips-sum found the order as it should be."""
        self._figures.unchanged(order.zone, order.tariff)

    def refunded(self, zone: str, tariff: str) -> None:
        """The tips of an order have gone with a refund."""
        self._figures.refunded(zone, tariff)

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
