"""Notices about orders, for those who pick them and for the store.

The order's number stands in each exactly once. Goods come first to what a picker reads: what, and how much.
"""

from __future__ import annotations

from dataclasses import dataclass

from notifier.messages.document import Document, Line, Section, bold, code, plain, shorten
from notifier.messages.words import Words

_LONGEST_TEXT = 1000  # of a comment or a reason; a customer may write a megabyte
_LONGEST_NAME = 300  # of goods
_NAMED_FIELDS = {"comment": None, "replacement_policy": "replacement", "shipment_method": "shipment"}


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
    title: Line = (bold(f"{words[fact.kind]} {order.external_id}"),)
    return Document(title=title, sections=tuple(section for section in sections if section.lines))


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
    return (plain(f"{_label(goods)} × "), bold(words.quantity(goods.quantity)))


def _label(goods: Goods) -> str:
    return shorten(goods.label, _LONGEST_NAME)


def _facts(order: Order, words: Words) -> Section:
    lines: list[Line] = []
    if order.comment:
        lines.append(_fact(words["comment"], order.comment))
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
    sections = [
        _listed(words["added"], [_item(goods, words) for goods in difference.added]),
        _listed(words["removed"], [_item(goods, words) for goods in difference.removed]),
        _listed(words["quantity"], [_amount(before, after, words) for before, after in amounts]),
        _listed(words["price"], [_price(before, after, order.currency, words) for before, after in prices]),
        Section(lines=tuple(_field(*field, words) for field in difference.fields if field[0] in _NAMED_FIELDS)),
    ]
    changed = [section for section in sections if section.lines]
    return changed or [Section(lines=((plain(words["same"]),),))]


def _listed(heading: str, lines: list[Line]) -> Section:
    return Section(heading=(bold(f"{heading}:"),), lines=tuple(lines), bullets=True)


def _amount(before: Goods, after: Goods, words: Words) -> Line:
    return (
        plain(f"{_label(after)}: {words.quantity(before.quantity)} → "),
        bold(words.quantity(after.quantity)),
    )


def _price(before: Goods, after: Goods, currency: str, words: Words) -> Line:
    old = words["empty"] if before.price is None else words.money(before.price, currency)
    new = words["empty"] if after.price is None else words.money(after.price, currency)
    return (plain(f"{_label(after)}: {old} → "), bold(new))


def _field(name: str, before: str | None, after: str | None, words: Words) -> Line:
    prefix = _NAMED_FIELDS[name]

    def shown(value: str | None) -> str:
        if not value:
            return words["empty"]
        return shorten(words.named(prefix, value) if prefix else value, _LONGEST_TEXT)

    return (plain(f"{words[name]}: {shown(before)} → "), bold(shown(after)))


def _fact(name: str, value: str) -> Line:
    return (plain(f"{name}: "), plain(shorten(value, _LONGEST_TEXT)))
