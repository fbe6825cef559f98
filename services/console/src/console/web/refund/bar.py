"""A payment as a bar: what of the captured sum went back, what is on its way, what is left. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Parts of the captured sum in hundredths of the bar, and the sums themselves in minor units.

    ``captured`` is None while the payment system was not asked: then nothing can be said of parts. ``too_much``: customers have more
    than was captured; the bar is full then.
    """

    captured: int | None
    refunded: int
    on_the_way: int
    left: int | None
    currency: str | None
    refunded_part: float
    on_the_way_part: float

    @property
    def too_much(self) -> bool:
        """Tell whether more went back than was captured."""
        return self.captured is not None and self.refunded > self.captured


def bar_of(payment: Mapping[str, Any]) -> Bar:
    """Return the bar of a payment as refunds shows it."""
    captured, refunded, reserved = payment["captured"], payment["refunded"], payment["reserved"]
    on_the_way = max(0, reserved - refunded)
    whole = captured or 0
    refunded_part = min(100.0, 100.0 * refunded / whole) if whole else 0.0
    on_the_way_part = min(100.0 - refunded_part, 100.0 * on_the_way / whole) if whole else 0.0
    return Bar(
        captured=captured,
        refunded=refunded,
        on_the_way=on_the_way,
        left=payment["left"],
        currency=payment["currency"],
        refunded_part=round(refunded_part, 2),
        on_the_way_part=round(on_the_way_part, 2),
    )
