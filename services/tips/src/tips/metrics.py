"""Metrics of tips, technical and product (docs/requirements.md#technical-monitoring, #product-monitoring)."""

from __future__ import annotations

from functools import partial
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from common.telemetry.metrics import FAST_SECONDS
from tips.rules.order import Choice, Order, TipsType
from tips.rules.write import REFUSED, Direction, Outcome, Written

OTHER = "other"
_AMOUNTS = (1000, 2500, 5000, 7500, 10000, 15000, 20000, 30000, 50000, 100000, 200000, 500000)
_RATIOS = (0.01, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0)
_WAITS = (0.0, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_OPERATIONS = ("set_tips_sum", "need_hold_tips", "explain")
_ANSWERS = ("ok", "refused", "shed", "unavailable", "failed")
_SHED = ("queue_full", "queue_slow", "database_full", "database_away", "feedback_full", "feedback_away")
_CHANGES = frozenset(Direction) - {Direction.UNCHANGED}


class TipsMetrics:
    """Every series of tips, at zero from the start. Labels are bounded: unknown zones, tariffs and currencies become ``other``.

    What is counted once an order rests on the marks that the database hands out, so it can be compared with the orders table; a
    repeat or a lost race counts nothing. Sums are observed only when the sum of an order changes. Nothing here raises.
    """

    def __init__(
        self, registry: CollectorRegistry, *, zones: frozenset[str], tariffs: frozenset[str], currencies: frozenset[str]
    ) -> None:
        self._zones, self._tariffs, self._currencies = zones, tariffs, currencies
        self._timers: dict[tuple[object, ...], Histogram] = {}
        self._declare_technical(registry)
        self._declare_product(registry)
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

    def _declare_product(self, registry: CollectorRegistry) -> None:
        place = ("zone", "tariff")
        counter, histogram = partial(Counter, registry=registry), partial(Histogram, registry=registry)
        self._writes = counter(
            "tips_writes_total", "Writes of set-tips-sum by what the orders database made of them.", ["outcome"]
        )
        self._seen = counter("tips_orders_seen_total", "Orders that went through set-tips-sum, each once.", place)
        self._orders = counter(
            "tips_orders_total",
            "Orders that got tips (true, each once), and orders whose first decision was no tips (false, each once).",
            [*place, "has_tip"],
        )
        self._set = counter(
            "tips_set_total", "Orders with tips by where the tips come from, each once a source.", [*place, "source"]
        )
        self._types = counter(
            "tips_types_total", "Orders with tips by percent or flat, each once a type.", [*place, "type"]
        )
        self._changes = counter(
            "tips_changes_total",
            "Orders whose tips went up, down or away after they had been decided, each once a direction; unchanged counts calls.",
            [*place, "direction"],
        )
        self._refunded = counter(
            "tips_refunded_total", "Orders that had tips and were refunded in full, each once.", place
        )
        self._amount = histogram(
            "tips_amount_minor_units",
            "Tips, in minor units, observed when they change to more than nothing.",
            [*place, "currency"],
            buckets=_AMOUNTS,
        )
        self._ratio = histogram(
            "tips_cost_ratio",
            "Tips as a share of the cost, observed when they change to more than nothing.",
            place,
            buckets=_RATIOS,
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
        place, marks = self._place(order.zone, order.tariff), written.marks
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
        """A set-tips-sum found the order as it should be."""
        self._changes.labels(*self._place(order.zone, order.tariff), Direction.UNCHANGED).inc()

    def refunded(self, zone: str, tariff: str) -> None:
        """The tips of an order have gone with a refund."""
        self._refunded.labels(*self._place(zone, tariff)).inc()

    def _place(self, zone: str, tariff: str) -> tuple[str, str]:
        return zone if zone in self._zones else OTHER, tariff if tariff in self._tariffs else OTHER

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
