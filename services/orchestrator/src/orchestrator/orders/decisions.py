"""What follows from an order's events: who is notified, which goods move, which problems begin and end, whether money goes back.

Decisions only: ``life.py`` has ``messages.py`` and ``store.py`` turn them into messages and rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from orchestrator.orders.fold import Step
from orchestrator.orders.model import (
    NOTHING,
    Difference,
    FieldChange,
    HookType,
    Incident,
    OrderFact,
    OrderState,
    StockEntry,
    compare,
    content_changes,
    needs_contact,
)
from orchestrator.orders.transitions import CHANGING

_OF_CONTENT = frozenset({HookType.CHANGED, HookType.CORRECTED})
_UNANNOUNCED = frozenset({"payment_method", "payment_id"})
_OF_MONEY = _UNANNOUNCED | {"total_price", "total_discount_price", "currency"}


@dataclass(frozen=True, slots=True)
class Announcement:
    """An event to publish. ``notify``: pickers and store are notified. ``correction``: it corrects what was published before.

    ``order`` is the order right after the event.
    """

    fact: OrderFact
    order: OrderState
    notify: bool
    difference: Difference = NOTHING
    correction: bool = False


@dataclass(frozen=True, slots=True)
class Decisions:
    """Everything that follows. ``stock`` holds what moves now: negative leaves the store, positive comes back to its balance."""

    announcements: tuple[Announcement, ...] = ()
    stock: tuple[StockEntry, ...] = ()
    raised: tuple[Incident, ...] = ()
    resolved: tuple[Incident, ...] = ()
    refund: bool = False
    contact_found: bool = False
    """The customer can be reached after all, or need not be any more."""


def decide(
    before: OrderState | None,
    steps: Sequence[Step],
    *,
    fresh: frozenset[str] | None = None,
    again: OrderFact | None = None,
) -> Decisions:
    """Return what follows from going from ``before`` (as the world knows the order) to the state after the last step.

    ``steps`` are either the new events alone, in order, after ``before``; or, when an older event came late, all of the order's
    events, and then ``fresh`` names the ids of those that the world has not heard of. ``again`` is a past event that a person had
    carried out again: if the order comes out otherwise than the world knows it, the correction is published as this event's.
    """
    after = steps[-1].after if steps else before
    if after is None:
        return Decisions()
    refolded = before is not None and fresh is not None
    if before is not None and fresh is not None:
        announcements = _late(before, after, steps, fresh, again)
    else:
        announcements = [item for step in steps if (item := _announce(step)) is not None]
    old = frozenset(item.identity for item in before.incidents) if before is not None else frozenset()
    new = frozenset(item.identity for item in after.incidents)
    return Decisions(
        announcements=tuple(announcements),
        stock=_movements(() if before is None else before.written_off, after.written_off),
        raised=tuple(item for item in after.incidents if item.identity not in old),
        resolved=tuple(item for item in before.incidents if item.identity not in new) if before and refolded else (),
        contact_found=not needs_contact(after) and any(map(needs_contact, _states(before, steps))),
        refund=after.refund_due and not (before is not None and before.refund_due),
    )


def _states(before: OrderState | None, steps: Sequence[Step]) -> list[OrderState]:
    return [state for state in (before, *(step.after for step in steps)) if state is not None]


def _announce(step: Step) -> Announcement | None:
    if step.after is None or step.act not in CHANGING:
        return None
    notify = step.fact.hook is HookType.CREATED or step.fact.hook in _OF_CONTENT
    if step.fact.hook is HookType.PAID:  # who packs needs no prices, but a store, an address, a time of delivery
        notify = any(name not in _OF_MONEY for name, _, _ in step.difference.fields)
    elif step.fact.hook is HookType.CANCELLED:
        notify = step.after.told_cancelled
    return Announcement(step.fact, step.after, notify, step.difference)


def _late(
    before: OrderState, after: OrderState, steps: Sequence[Step], fresh: frozenset[str], again: OrderFact | None
) -> list[Announcement]:
    """What to say when an older event changed the story: each new event once, and a correction if what was announced is not so.

    A late ``changed`` or ``corrected`` that nothing announced later contradicts is announced as if it had come in time.
    """
    told_lines = before.told_lines
    announcements: list[Announcement] = []
    changed_in_time = False
    for step in steps:
        item = _announce(step) if step.fact.event_id in fresh else None
        if item is None or step.before is None or step.after is None:
            continue
        notify = item.notify
        if step.fact.hook in _OF_CONTENT:
            notify = step.before.told_lines == told_lines and step.after.told_lines == after.told_lines
            changed_in_time = changed_in_time or notify
            told_lines = after.told_lines if notify else told_lines
        announcements.append(Announcement(item.fact, after, notify, item.difference))
    fields: list[FieldChange] = []
    if not changed_in_time:
        fields += [change for change in content_changes(before, after) if change[0] not in _UNANNOUNCED]
    if before.told_cancelled and not after.told_cancelled:
        fields.append(("shipped", "false", "true"))
    untrue = compare(told_lines, after.told_lines, fields)
    if untrue or (before.written_off and before.written_off != after.written_off):
        late = again or next((step.fact for step in steps if step.fact.event_id in fresh), steps[-1].fact)
        announcements.append(Announcement(late, after, bool(untrue), untrue, correction=True))
    return announcements


def _movements(before: Sequence[StockEntry], after: Sequence[StockEntry]) -> tuple[StockEntry, ...]:
    if before == after:
        return ()
    balance: dict[tuple[str, str], Decimal] = {}
    for entries, sign in ((before, 1), (after, -1)):
        for entry in entries:
            key = (entry.store_id, entry.position_id)
            balance[key] = balance.get(key, Decimal(0)) + sign * entry.quantity
    return tuple(StockEntry(store, position, quantity) for (store, position), quantity in balance.items() if quantity)
