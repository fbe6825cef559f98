"""What the notifier knows of an order when it tells people about it. No customer's name, phone, mail or address."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """One position. ``quantity`` is a decimal string; prices are minor units of the order's currency."""

    id: str
    quantity: str
    name: str | None = None
    price: int | None = None

    @property
    def label(self) -> str:
        """What a picker calls it: the name, else the id."""
        return self.name or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as it was right after the event."""

    number: str
    external_id: str
    version: int
    status: str
    source: str
    store_id: str | None = None
    zone: str = "other"
    comment: str | None = None
    shipment_method: str | None = None
    replacement_policy: str | None = None
    currency: str = "RUB"
    goods: tuple[Goods, ...] = ()
    total: int | None = None
    discounted_total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What changed: goods by kind, changed ones as (before, after), other fields as (name, before, after)."""

    added: tuple[Goods, ...] = ()
    removed: tuple[Goods, ...] = ()
    changed: tuple[tuple[Goods, Goods], ...] = ()
    fields: tuple[tuple[str, str | None, str | None], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFact:
    """An order event as the notifier sees it. ``kind`` is ``order.created`` and so on; ``tell`` is the orchestrator's decision (M7)."""

    kind: str
    order: Order
    tell: bool
    difference: Difference | None = None
    reason: str | None = None
