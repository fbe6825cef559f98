"""Which payment system a payment is at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GatewayRoutes:
    """By the beginning of the payment's id (the longest that fits), else by the order's source, else the usual one.

    Decided once, when the payment is first heard of; a later setting moves no payment.
    """

    usual: str
    of_payment: Mapping[str, str] = field(default_factory=dict)
    of_source: Mapping[str, str] = field(default_factory=dict)

    def choose(self, payment_id: str, *, source: str | None) -> str:
        """Return the gateway's name."""
        for beginning in sorted(self.of_payment, key=len, reverse=True):
            if payment_id.startswith(beginning):
                return self.of_payment[beginning]
        return self.of_source.get(source or "", self.usual)

    @property
    def names(self) -> frozenset[str]:
        """Every gateway that can be chosen."""
        return frozenset({self.usual, *self.of_payment.values(), *self.of_source.values()})
