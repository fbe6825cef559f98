"""What an order has to be, told by a reference that knows nothing of the service.

It reads docs/requirements.md#what-each-hook-does as a person would.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

KINDS = ("order.created", "order.changed", "order.paid", "order.received", "order.delivered", "order.cancelled")
WITH_GOODS = frozenset(KINDS[:3])

Goods = tuple[tuple[str, int, int], ...]
"""(position, quantity, price in kopecks)."""

goods_of_an_order = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.sampled_from([1000, 2550])),
    min_size=1,
    max_size=3,
    unique_by=lambda item: item[0],
).map(lambda items: tuple(sorted(items)))


@dataclass(frozen=True, slots=True)
class Sent:
    """A hook that the marketplace sent, ``minute`` minutes after the start. No two are of one minute."""

    kind: str
    minute: int
    goods: Goods

    @property
    def digest(self) -> str:
        """Equal for equal contents."""
        return json.dumps([self.kind, self.goods])

    @property
    def event_id(self) -> str:
        """The same for a repeat."""
        return f"{self.kind}@{self.minute}:{self.digest}"


@dataclass(slots=True)
class Expected:
    """What an order has to be."""

    status: str
    goods: Goods
    closed: bool = False
    paid: bool = False
    shipped: Goods | None = None
    incidents: int = 0

    @property
    def refund(self) -> bool:
        """Whether money has to go back: once."""
        return self.paid and self.status == "cancelled"


def reference(sent: Sequence[Sent]) -> Expected | None:
    """Return what these hooks make of an order, told in the marketplace's own order of time."""
    creations = sorted((hook for hook in sent if hook.kind == "order.created"), key=lambda hook: hook.minute)
    if not creations:
        return None
    order = Expected("created", creations[0].goods)
    different = {hook.event_id for hook in creations[1:] if hook.goods != creations[0].goods}
    order.incidents = len(different)
    for hook in sorted({item for item in sent if item.kind != "order.created"}, key=lambda item: item.minute):
        if hook.kind == "order.changed":
            if not order.closed:
                order.goods = hook.goods
            elif hook.goods != order.goods:
                order.incidents += 1
        elif hook.kind == "order.paid":
            order.goods, order.paid, order.closed = hook.goods, True, True
            order.status = "paid" if order.status == "created" else order.status
        elif hook.kind == "order.cancelled":
            order.status, order.closed = "cancelled", True
        elif order.status == "cancelled":
            order.incidents += 1
        elif order.status != "delivered":
            order.closed = True
            order.shipped = order.goods if order.shipped is None else order.shipped
            order.status = hook.kind.removeprefix("order.")
    return order
