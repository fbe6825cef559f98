"""What an order has to be, told by a reference that knows nothing of the service.

It reads docs/requirements.md#what-each-hook-does and #replays-keep-their-time as a person would.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import strategies as st

KINDS = ("order.created", "order.changed", "order.paid", "order.received", "order.delivered", "order.cancelled")
WITH_CONTENT = frozenset(KINDS[:3])
STORE = "17"
"""The store that every creation names which names no other."""

Goods = tuple[tuple[str, int, int | None], ...]
"""(position, quantity, price in kopecks; None: not said again), one id perhaps several times."""


class Told(NamedTuple):
    """What is said beside the goods; None where nothing is."""

    address: str | None = None
    phone: str | None = None
    comment: str | None = None
    window: str | None = None
    store: str | None = None

    def then(self, later: Told) -> Told:
        """What holds after ``later`` was said: what that one leaves out stays."""
        return Told(*(new or old for old, new in zip(self, later, strict=True)))


NOTHING = Told()


def _goods(prices: st.SearchStrategy[int | None]) -> st.SearchStrategy[Goods]:
    line = st.tuples(st.sampled_from("ab"), st.integers(1, 3), prices)
    return st.lists(line, min_size=1, max_size=3).map(lambda items: tuple(sorted(items, key=lambda item: item[0])))


goods_of_an_order = _goods(st.sampled_from([1000, 2550]))
later_goods = _goods(st.sampled_from([None, 1000, 2550]))
told_beside = st.builds(
    Told,
    st.sampled_from([None, "Main Street 1", "Main Street 2"]),
    st.sampled_from([None, "+79120000001", "+79120000002"]),
    st.sampled_from([None, None, "ring twice"]),
    st.sampled_from([None, None, "in the evening"]),
    st.sampled_from([None, None, "18"]),
)


def beside(kind: str, said: Told) -> Told:
    """What a hook of this kind says of it: every creation names a store."""
    if kind == KINDS[0]:
        return said._replace(store=said.store or STORE)
    return said if kind in WITH_CONTENT else NOTHING


@dataclass(frozen=True, slots=True)
class Sent:
    """What happened to an order ``minute`` minutes after the start; no two hooks are of one minute.

    A hook without ``timed`` has no timestamp, only its receipt. ``again`` counts replays, which have their origin's minute; ``origin`` is
    what one repeats word for word. ``name``: a person did it. ``spoilt``: it cannot be read.
    """

    kind: str
    minute: int
    goods: Goods = ()
    told: Told = NOTHING
    timed: bool = True
    again: int = 0
    origin: str | None = None
    name: str | None = None
    spoilt: bool = False

    @property
    def digest(self) -> str:
        """Equal for equal contents."""
        return json.dumps([self.kind, self.goods, self.told, self.spoilt])

    @property
    def event_id(self) -> str:
        """The same for a repeat."""
        return self.name or f"{self.kind}@{self.minute}:{self.digest}:{self.again}"

    @property
    def identity(self) -> str:
        """The same for what says the same again."""
        return self.origin or self.event_id


@dataclass(slots=True)
class Expected:
    """What an order has to be."""

    status: str
    goods: Goods
    told: Told
    began: Told
    closed: bool = False
    paid: bool = False
    shipped: Goods | None = None
    shipped_from: str | None = None
    incidents: set[str] = field(default_factory=set)

    @property
    def refund(self) -> bool:
        """Whether money has to go back: once."""
        return self.paid and self.status == "cancelled"

    @property
    def cost(self) -> int | None:
        """What the goods cost, if all their prices are known."""
        sums = [None if price is None else quantity * price for _, quantity, price in self.goods]
        return None if None in sums else sum(item for item in sums if item is not None)

    def after(self, hook: Sent) -> tuple[Goods, Told]:
        """Goods and what was told beside them if the hook holds: what it leaves out stays, for the same occurrence of a position."""
        known = dict(zip(_occurrences(self.goods), self.goods, strict=True))
        goods = tuple(
            (name, quantity, known[key][2] if price is None and key in known else price)
            for key, (name, quantity, price) in zip(_occurrences(hook.goods), hook.goods, strict=True)
        )
        return goods or self.goods, self.told.then(hook.told)


def _occurrences(goods: Goods) -> list[tuple[str, int]]:
    names = [name for name, _, _ in goods]
    return [(name, names[:place].count(name)) for place, name in enumerate(names)]


def reference(sent: Sequence[Sent]) -> Expected | None:
    """Return what these hooks and acts make of an order, told in the order of time."""
    creations = sorted(
        (hook for hook in sent if hook.kind == "order.created"), key=lambda hook: (hook.again, hook.minute)
    )
    if not creations:
        return None
    first = creations[0]
    order = Expected("created", first.goods, first.told, first.told)
    latest = {first.kind: first.digest}
    others = sorted((hook for hook in sent if hook.kind != "order.created"), key=lambda hook: (hook.minute, hook.again))
    for hook in [*creations[1:], *others]:
        if hook.name is None:
            if not hook.timed and latest.get(hook.kind) == hook.digest:
                continue  # without a time, a repeat is known by its content
            latest[hook.kind] = hook.digest
        _happens(order, hook)
    return order


def _happens(order: Expected, hook: Sent) -> None:
    goods, told = order.after(hook)
    if hook.kind == "order.corrected":
        order.goods, order.told = goods, told
    elif hook.kind in {"order.created", "order.changed"}:
        if hook.kind == "order.changed" and not order.closed:
            order.goods, order.told = goods, told
        elif (goods, told) != (order.goods, order.told):
            order.incidents.add(hook.identity)
    elif hook.kind == "order.paid":
        order.goods, order.told, order.paid, order.closed = goods, told, True, True
        order.status = "paid" if order.status == "created" else order.status
    elif hook.kind == "order.cancelled":
        order.status, order.closed = "cancelled", True
    elif order.status == "cancelled":
        order.incidents.add(hook.identity)
    elif order.status != "delivered":
        order.closed = True
        if order.shipped is None:
            order.shipped, order.shipped_from = order.goods, order.told.store
        order.status = hook.kind.removeprefix("order.")
