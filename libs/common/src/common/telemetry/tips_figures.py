"""The product's figures on tips (docs/requirements.md#product-monitoring), reported by whoever decided the tips of an order."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from functools import partial
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Histogram

OTHER = "other"
_AMOUNTS = (1000, 2500, 5000, 7500, 10000, 15000, 20000, 30000, 50000, 100000, 200000, 500000)
_RATIOS = (0.01, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0)
_CHOICES, _TYPES = ("suggested", "custom", "default"), ("percent", "flat")
_UNCHANGED = "unchanged"
_CHANGES = frozenset({"increase", "decrease", "removed"})


class TipsFigures:
    """Every series of them, at zero from the start. Labels are bounded: unknown zones, tariffs and currencies become ``other``.

    What is counted once an order rests on the marks that the orders database hands out (``tips_set_sum``), so the sums over all who report
    can be compared with the orders table; a repeat or a lost race counts nothing. Nothing here raises.
    """

    def __init__(
        self, registry: CollectorRegistry, *, zones: frozenset[str], tariffs: frozenset[str], currencies: frozenset[str]
    ) -> None:
        self._zones, self._tariffs, self._currencies = zones, tariffs, currencies
        place = ("zone", "tariff")
        counter, histogram = partial(Counter, registry=registry), partial(Histogram, registry=registry)
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
        self._start_at_zero()

    def decided(
        self, zone: str, tariff: str, *, marks: AbstractSet[str], changed: bool, amount: int, cost: int, currency: str
    ) -> None:
        """A write of tips was taken: ``marks`` are those that it is the first of its order to earn, sums are minor units."""
        place = self._place(zone, tariff)
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
        if changed and amount > 0 and cost > 0:
            self._amount.labels(*place, currency if currency in self._currencies else OTHER).observe(amount)
            self._ratio.labels(*place).observe(amount / cost)

    def unchanged(self, zone: str, tariff: str) -> None:
        """Tips were found as they should be."""
        self._changes.labels(*self._place(zone, tariff), _UNCHANGED).inc()

    def refunded(self, zone: str, tariff: str) -> None:
        """The tips of an order have gone with a refund."""
        self._refunded.labels(*self._place(zone, tariff)).inc()

    def _place(self, zone: str, tariff: str) -> tuple[str, str]:
        return zone if zone in self._zones else OTHER, tariff if tariff in self._tariffs else OTHER

    def _start_at_zero(self) -> None:
        for place in product(sorted({*self._zones, OTHER}), sorted({*self._tariffs, OTHER})):
            self._seen.labels(*place)
            self._refunded.labels(*place)
            self._ratio.labels(*place)
            for has_tip in ("true", "false"):
                self._orders.labels(*place, has_tip)
            for choice in _CHOICES:
                self._set.labels(*place, choice)
            for kind in _TYPES:
                self._types.labels(*place, kind)
            for way in (*sorted(_CHANGES), _UNCHANGED):
                self._changes.labels(*place, way)
            for currency in sorted({*self._currencies, OTHER}):
                self._amount.labels(*place, currency)
