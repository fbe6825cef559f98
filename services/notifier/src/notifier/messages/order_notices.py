"""Notices about orders, for those who pick them and for the store.

The order's number stands in each exactly once, and in each further message that a long one is cut into. Goods come first to what a picker
reads: what, and how much. What a customer or a shop wrote is told whole, however long it is: the last word may be the one that matters.
"""

from __future__ import annotations

from dataclasses import dataclass

from notifier.messages.document import Document, Line, Section, Span, bold, code, plain
from notifier.messages.words import Words

_NAMED_FIELDS = {
    "store_id": None,
    "delivery_window": None,
    "address": None,
    "customer.name": None,
    "customer.phone": None,
    "customer.email": None,
    "comment": None,
    "replacement_policy": "replacement",
    "shipment_method": "shipment",
}
"""Fields whose change is told, in the order in which it is read, and the family of our words for their values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """One position. ``quantity`` is a decimal string; prices are minor units of the order's currency.

    ``replaces`` is the id of the position that it stands in for.
    """

    id: str
    quantity: str
    name: str | None = None
    price: int | None = None
    replaces: str | None = None

    @property
    def label(self) -> str:
        """What a picker calls it: the name, else the id."""
        return self.name or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as it was right after the event. ``customer`` and ``address`` are masked; ``link`` shows them to whoever may see them."""

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
    customer: str | None = None
    address: str | None = None
    delivery_window: str | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What changed: goods by kind, changed ones as (before, after), other fields as (name, before, after)."""

    added: tuple[Goods, ...] = ()
    removed: tuple[Goods, ...] = ()
    changed: tuple[tuple[Goods, Goods], ...] = ()
    fields: tuple[tuple[str, str | None, str | None], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFact:
    """An order event as the notifier sees it. ``kind`` is ``order.created`` and so on; ``notify`` is the orchestrator's decision."""

    kind: str
    order: Order
    notify: bool
    difference: Difference | None = None
    reason: str | None = None


def render_order(fact: OrderFact, words: Words) -> Document:
    """Return the notice of any order event."""
    order = fact.order
    sections: list[Section] = [Section(lines=(_heading(order, words),))]
    if fact.kind == "order.created":
        sections += [_goods(order, words["goods"], words), _facts(order, words)]
    elif fact.kind == "order.cancelled":
        sections.append(_cancelled(fact, words))
    elif fact.kind == "order.corrected":
        status = words.named("status", order.status)
        sections.append(Section(lines=((plain(words["corrected.why"]),), _fact(words["status"], status))))
        sections += _difference(fact.difference or Difference(), order, words)
        sections.append(_goods(order, words["goods.now"], words))
    elif fact.kind in {"order.changed", "order.paid"}:
        sections += _difference(fact.difference or Difference(), order, words)
        sections.append(Section(lines=_total(order, words)))
    if order.link:
        sections.append(Section(lines=((Span(words["link"], "plain", order.link),),)))
    title = bold(f"{words[fact.kind]} {order.external_id}")
    return Document(
        title=(title,),
        sections=tuple(section for section in sections if section.lines),
        again=(plain("№ "), code(order.number), plain(" · "), title),
    )


def _heading(order: Order, words: Words) -> Line:
    heading: Line = (plain("№ "), code(order.number))
    return (*heading, plain(f" · {words['store']} {order.store_id}")) if order.store_id else heading


def _goods(order: Order, heading: str, words: Words) -> Section:
    if not order.goods:
        return Section(lines=((plain(f"{heading}: {words['goods.none']}"),),))
    return Section(
        heading=(bold(f"{heading} ({len(order.goods)}):"),),
        lines=tuple(_item(goods, words) for goods in order.goods),
        bullets=True,
    )


def _item(goods: Goods, words: Words) -> Line:
    return (plain(f"{goods.label} × "), bold(words.quantity(goods.quantity)))


def _facts(order: Order, words: Words) -> Section:
    said = ("delivery_window", "address", "customer", "comment")
    lines = [_fact(words[name], value) for name in said if (value := getattr(order, name))]
    if order.replacement_policy:
        lines.append(_fact(words["replacement_policy"], words.named("replacement", order.replacement_policy)))
    if order.shipment_method:
        lines.append(_fact(words["shipment_method"], words.named("shipment", order.shipment_method)))
    return Section(lines=(*lines, *_total(order, words)))


def _total(order: Order, words: Words) -> tuple[Line, ...]:
    total = order.total if order.discounted_total is None else order.discounted_total
    if total is None:
        return ()
    text = words.money(total, order.currency)
    if order.total is not None and order.total != total:
        text += f" ({words['without_discount']} {words.money(order.total, order.currency)})"
    return (_fact(words["total"], text),)


def _cancelled(fact: OrderFact, words: Words) -> Section:
    lines: list[Line] = [_fact(words["reason"], fact.reason)] if fact.reason else []
    return Section(lines=(*lines, (plain(words["cancelled.what"]),)))


def _difference(difference: Difference, order: Order, words: Words) -> list[Section]:
    amounts = [(before, after) for before, after in difference.changed if before.quantity != after.quantity]
    prices = [
        (before, after)
        for before, after in difference.changed
        if before.quantity == after.quantity and before.price != after.price
    ]
    replaced, added, removed = _replacements(difference, order)
    fields = {name: (before, after) for name, before, after in difference.fields}
    sections = [
        _listed(words["replaced"], [_replacement(before, after, words) for before, after in replaced]),
        _listed(words["added"], [_item(goods, words) for goods in added]),
        _listed(words["removed"], [_item(goods, words) for goods in removed]),
        _listed(words["quantity"], [_amount(before, after, words) for before, after in amounts]),
        _listed(words["price"], [_price(before, after, order.currency, words) for before, after in prices]),
        Section(lines=tuple(_field(name, *fields[name], words) for name in _NAMED_FIELDS if name in fields)),
    ]
    changed = [section for section in sections if section.lines]
    return changed or [Section(lines=((plain(words["same"]),),))]


def _replacements(difference: Difference, order: Order) -> tuple[list[tuple[Goods, Goods]], list[Goods], list[Goods]]:
    """Return (goods, what stands in for them) pairs, and what else was added and removed.

    What is replaced may still be in the order, as less of it; or nobody ever knew it, and then it is told by its id.
    """
    removed = list(difference.removed)
    known = {goods.id: goods for goods in (*order.goods, *(before for before, _ in difference.changed))}
    replaced: list[tuple[Goods, Goods]] = []
    added: list[Goods] = []
    for goods in difference.added:
        if goods.replaces is None:
            added.append(goods)
            continue
        gone = next((each for each in removed if each.id == goods.replaces), None)
        if gone is not None:
            removed.remove(gone)
        replaced.append((gone or known.get(goods.replaces) or Goods(id=goods.replaces, quantity=""), goods))
    return replaced, added, removed


def _replacement(before: Goods, after: Goods, words: Words) -> Line:
    old = f"{before.label} × {words.quantity(before.quantity)}" if before.quantity else before.label
    return (plain(f"{old} → {after.label} × "), bold(words.quantity(after.quantity)))


def _listed(heading: str, lines: list[Line]) -> Section:
    return Section(heading=(bold(f"{heading}:"),), lines=tuple(lines), bullets=True)


def _amount(before: Goods, after: Goods, words: Words) -> Line:
    return (plain(f"{after.label}: {words.quantity(before.quantity)} → "), bold(words.quantity(after.quantity)))


def _price(before: Goods, after: Goods, currency: str, words: Words) -> Line:
    old = words["empty"] if before.price is None else words.money(before.price, currency)
    new = words["empty"] if after.price is None else words.money(after.price, currency)
    return (plain(f"{after.label}: {old} → "), bold(new))


def _field(name: str, before: str | None, after: str | None, words: Words) -> Line:
    prefix = _NAMED_FIELDS[name]

    def shown(value: str | None) -> str:
        if not value:
            return words["empty"]
        return words.named(prefix, value) if prefix else value

    if before == after:  # what differs is behind the mask
        return (plain(f"{words[name]}: {words['differs']}, "), bold(shown(after)))
    return (plain(f"{words[name]}: {shown(before)} → "), bold(shown(after)))


def _fact(name: str, value: str) -> Line:
    return (plain(f"{name}: "), plain(value))
