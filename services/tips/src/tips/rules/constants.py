"""The constants of the rules, by zone and tariff."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class TipsRules:
    """The constants that hold for one order.

    ``cashless_methods``: payment methods (lower case) that are cashless; another or none is not. ``maximum`` caps the tips, in minor
    units by currency; ``default_maximum`` is for currencies it does not name (None: no such cap); ``maximum_share`` caps them too, in
    percent of the cost, and is never more than 100. ``negative_rating``: tips of an order rated this or lower are 0; 0 turns the rule
    off. Tips are held from ``hold_after`` the end of the order (inclusive) to ``hold_until`` (exclusive).
    """

    cashless_methods: frozenset[str] = frozenset()
    maximum: Mapping[str, int] = field(default_factory=dict)
    default_maximum: int | None = None
    maximum_share: Decimal = Decimal(100)
    negative_rating: int = 3
    hold_after: timedelta = timedelta(minutes=30)
    hold_until: timedelta = timedelta(hours=24)

    def __post_init__(self) -> None:
        """Refuse constants that contradict each other: ``ValueError`` with one line."""
        if not 0 <= self.maximum_share <= 100:
            raise ValueError("maximum_share is a percentage of the cost, from 0 to 100")
        if not timedelta(0) <= self.hold_after < self.hold_until:
            raise ValueError("hold_after has to come before hold_until")

    def maximum_for(self, currency: str) -> int | None:
        """Return the configured maximum in minor units, or None where there is none."""
        return self.maximum.get(currency, self.default_maximum)


@dataclass(frozen=True, slots=True)
class LocalRules:
    """Constants that differ for a zone, a tariff, or a tariff in a zone: only those named in ``changes``."""

    zone: str | None
    tariff: str | None
    changes: Mapping[str, object]


class RuleBook:
    """The defaults and what differs where. The more particular wins, constant by constant: zone and tariff, zone, tariff, default."""

    def __init__(self, default: TipsRules, local: Iterable[LocalRules] = ()) -> None:
        """Raises ``ValueError`` when a place is named twice, names neither zone nor tariff, or has contradicting constants."""
        self.default = default
        self._places: dict[tuple[str | None, str | None], Mapping[str, object]] = {}
        for place in local:
            key = (place.zone, place.tariff)
            if key == (None, None):
                raise ValueError("a place names a zone, a tariff, or both")
            if key in self._places:
                raise ValueError(f"{_name(key)} is named twice")
            self._places[key] = place.changes
        zones, tariffs = ({key[part] for key in self._places} | {None} for part in (0, 1))
        # Every combination at once: a contradiction shows at start, and a look-up is one step.
        self._rules = {(zone, tariff): self._merged(zone, tariff) for zone in zones for tariff in tariffs}
        self._zones, self._tariffs = zones, tariffs

    def rules_for(self, zone: str, tariff: str) -> TipsRules:
        """Return the constants for an order of this zone and tariff; unknown ones get the defaults."""
        return self._rules[zone if zone in self._zones else None, tariff if tariff in self._tariffs else None]

    def _merged(self, zone: str | None, tariff: str | None) -> TipsRules:
        changes: dict[str, object] = {}
        for key in ((None, tariff), (zone, None), (zone, tariff)):
            changes.update(self._places.get(key, {}))
        try:
            return replace(self.default, **changes)  # type: ignore[arg-type]  # the settings check the types
        except ValueError as error:
            raise ValueError(f"{_name((zone, tariff))}: {error}") from None


def _name(key: tuple[str | None, str | None]) -> str:
    return " and ".join(f"{what} {value}" for what, value in zip(("zone", "tariff"), key, strict=True) if value)
