"""Computes an order's state, and what each event did, from all known events of the order (a fold over them).

The state depends on the set of events only, never on the order in which they arrived; events are recognised by
their ``event_id``. Adding an event that is newer than all others gives the same as folding everything again, which is what makes
the incremental way safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from common.reading import Line
from orchestrator.orders.content import complete, costs_nothing, kept_sums, quantity_is_missing, totals
from orchestrator.orders.model import (
    NOTHING,
    Difference,
    FieldChange,
    HookType,
    Incident,
    IncidentKind,
    OrderFact,
    OrderState,
    Status,
    StockEntry,
    compare,
    content_changes,
    evolve,
)
from orchestrator.orders.transitions import INCIDENTS, TRANSITIONS, Act

NO_STORE = "unknown"
"""The store whose balance is used when no hook named one."""


_SAYS_GOODS = frozenset({HookType.CREATED, HookType.CHANGED, HookType.PAID, HookType.CORRECTED})
"""Events that change the goods; what the others say of them is not theirs to say."""
_NO_GOODS: dict[str, Any] = {"lines": None, "total_price": None, "total_discount_price": None}


@dataclass(frozen=True, slots=True)
class Step:
    """One event folded in: what was done, and the order before and after. ``after`` is None only when the event was parked."""

    fact: OrderFact
    act: Act
    before: OrderState | None
    after: OrderState | None
    difference: Difference = NOTHING


def fold(number: str, facts: Iterable[OrderFact]) -> list[Step]:
    """Fold all known events of an order, in any order and with repeats; return one step for each different event, in their order.

    The state is the last step's ``after``; None when ``created`` is not known, and then every event is parked.
    """
    known: dict[str, OrderFact] = {}
    for fact in facts:
        first = known.get(fact.event_id)
        if first is None or fact.key < first.key:
            known[fact.event_id] = fact
    steps: list[Step] = []
    state: OrderState | None = None
    for fact in sorted(known.values(), key=lambda item: item.key):
        result = step(number, state, fact)
        state = result.after
        steps.append(result)
    return steps


def is_next(state: OrderState | None, fact: OrderFact) -> bool:
    """Whether the event can be added to the state without folding everything again."""
    return fact.hook is HookType.CREATED if state is None else state.last < fact.key


def step(number: str, state: OrderState | None, fact: OrderFact) -> Step:
    """Add one event that is newer than all that the state knows."""
    act = TRANSITIONS[(None if state is None else state.status, fact.hook)]
    if state is None:
        if act is Act.PARK:
            return Step(fact, act, None, None)
        if costs_nothing((), fact):
            return _without(number, state, fact, IncidentKind.EMPTIED)
        return Step(fact, act, None, _created(number, fact))
    if fact.hook in _SAYS_GOODS:
        if fact.hook is not HookType.CREATED and fact.currency not in {None, state.currency}:
            named = Difference(fields=(("currency", state.currency, fact.currency),))
            return _without(number, state, fact, IncidentKind.CURRENCY_DIFFERS, named, currency=None, **_NO_GOODS)
        if fact.lines is not None and quantity_is_missing(state.lines, fact.lines):
            return _without(number, state, fact, IncidentKind.QUANTITY_MISSING, **_NO_GOODS)
        if _leaves_nothing(state, fact):
            return _without(number, state, fact, IncidentKind.EMPTIED, lines=None)
        if costs_nothing(state.lines, fact):
            return _without(number, state, fact, IncidentKind.EMPTIED)
    if fact.sent_at is None and fact.digest is not None and (fact.hook, fact.digest) in state.repeats:
        return Step(fact, Act.REPEATS_LATEST, state, evolve(state, last=fact.key))
    seen = _remember(state, fact)
    difference = NOTHING
    if act is Act.ALREADY_CREATED and fact.digest != state.created_digest and differ(state, _created_again(seen, fact)):
        act = Act.CREATED_DIFFERS
    after = seen
    if act in _APPLY:
        after = _APPLY[act](seen, fact)
        difference = differ(state, after)
        if not difference and act in {Act.CHANGE, Act.CORRECT}:
            act, after = Act.CHANGES_NOTHING, evolve(seen, lines=after.lines)  # said now: what they followed before
        elif not difference and act is Act.PAY and state.paid:
            act, after = Act.ALREADY_PAID, evolve(seen, lines=after.lines)
    elif act in INCIDENTS:
        difference = differ(
            state, _created_again(seen, fact) if act is Act.CREATED_DIFFERS else _with_content(seen, fact)
        )
        if act is Act.CHANGED_AFTER_CLOSING and not difference:
            act = Act.CHANGES_NOTHING
        else:
            incident = Incident(INCIDENTS[act], fact.origin, fact.hook, fact.moment, difference)
            if incident.identity not in {known.identity for known in state.incidents}:
                after = evolve(seen, incidents=(*state.incidents, incident))
    return Step(fact, act, state, after, difference)


def _leaves_nothing(state: OrderState, fact: OrderFact) -> bool:
    """Whether a hook names no goods, none of any, or a sum of nothing for goods that it leaves out.

    An operator's correction may: a person has seen it.
    """
    if fact.lines is None:
        return fact.total_price == 0 and bool(state.total_price)
    if not fact.lines:
        return True
    if fact.hook is HookType.CORRECTED or any(line.pieces for line in fact.lines):
        return False
    return any(line.quantity for line in state.lines) and not any(
        line.quantity for line in complete(state.lines, fact.lines)
    )


def _without(
    number: str,
    state: OrderState | None,
    fact: OrderFact,
    kind: IncidentKind,
    difference: Difference = NOTHING,
    **left_out: Any,
) -> Step:
    """Take what the event says but for what cannot be believed, as a sum of nothing where it leaves nothing; a person is called."""
    zeros = [name for name in TOTALS if getattr(fact, name) == 0 and kind is IncidentKind.EMPTIED]
    left_out |= dict.fromkeys(zeros)
    taken = step(number, state, replace(fact, **left_out))
    if taken.after is None or taken.act is Act.REPEATS_LATEST:
        return taken
    difference = difference or Difference(
        fields=tuple((name, _text(getattr(taken.after, name)), "0") for name in zeros)
    )
    incident = Incident(kind, fact.origin, fact.hook, fact.moment, difference)
    if incident.identity in {item.identity for item in taken.after.incidents}:
        return taken
    return replace(taken, fact=fact, after=evolve(taken.after, incidents=(*taken.after.incidents, incident)))


def _created_again(state: OrderState, fact: OrderFact) -> OrderState:
    """What a repeated ``created`` would make of the order, compared by what is understood of it."""
    return evolve(_with_content(state, fact), currency=fact.currency or state.currency)


def _created(number: str, fact: OrderFact) -> OrderState:
    lines = complete((), fact.lines or ())
    total, discounted = totals(None, lines, fact)
    return OrderState(
        number=number,
        source=fact.source,
        external_id=fact.external_id,
        status=Status.CREATED,
        created_at=fact.moment,
        last=fact.key,
        store_id=fact.store_id,
        zone=fact.zone,
        tariff=fact.tariff,
        comment=fact.comment,
        shipment_method=fact.shipment_method,
        replacement_policy=fact.replacement_policy,
        currency=fact.currency or "RUB",
        payment_method=fact.payment_method,
        payment_id=fact.payment_id,
        total_price=total,
        total_discount_price=discounted,
        lines=lines,
        told_lines=lines,
        created_digest=fact.digest,
        repeats=() if fact.digest is None else ((fact.hook, fact.digest),),
        customer=fact.customer,
        address=fact.address,
        delivery_window=fact.delivery_window,
    )


def _changed(state: OrderState, fact: OrderFact) -> OrderState:
    changed = _with_content(state, fact)
    return evolve(changed, told_lines=changed.lines)


def _paid(state: OrderState, fact: OrderFact) -> OrderState:
    content = _with_content(state, fact)
    status = Status.PAID if state.status is Status.CREATED else state.status
    return evolve(content, status=status, closed=True, paid=True, paid_at=state.paid_at or fact.moment)


def _received(state: OrderState, fact: OrderFact) -> OrderState:
    return evolve(_shipped(_with_people(state, fact), fact.moment), status=Status.RECEIVED)


def _delivered(state: OrderState, fact: OrderFact) -> OrderState:
    shipped = _shipped(_with_people(state, fact), fact.moment)
    return evolve(shipped, status=Status.DELIVERED, finished_at=fact.moment)


def _cancelled(state: OrderState, fact: OrderFact) -> OrderState:
    return evolve(
        _with_people(state, fact),
        status=Status.CANCELLED,
        closed=True,
        cancelled_at=fact.moment,
        cancel_slug=fact.slug,
        cancel_description=fact.description,
        told_cancelled=not state.shipped,
    )


_APPLY: dict[Act, Callable[[OrderState, OrderFact], OrderState]] = {
    Act.CHANGE: _changed,
    Act.PAY: _paid,
    Act.RECEIVE: _received,
    Act.DELIVER: _delivered,
    Act.CANCEL: _cancelled,
    Act.CORRECT: _changed,
}


def _shipped(state: OrderState, moment: datetime) -> OrderState:
    if state.shipped:
        return evolve(state, closed=True)
    store = state.store_id or NO_STORE
    entries: dict[str, StockEntry] = {}
    for line in state.lines:
        if line.quantity:
            before = entries.get(line.id)
            quantity = line.quantity if before is None else before.quantity + line.quantity
            entries[line.id] = StockEntry(store, line.id, quantity)
    return evolve(state, closed=True, shipped=True, shipped_at=moment, written_off=tuple(entries.values()))


_CONTENT = ("store_id", "shipment_method", "replacement_policy", "payment_method", "payment_id")
TOTALS = ("total_price", "total_discount_price")


def _with_people(state: OrderState, fact: OrderFact) -> OrderState:
    """The state with what the event says about the customer, the address, the time of delivery, and in words."""
    given: dict[str, Any] = {
        name: value for name in ("comment", "delivery_window") if (value := getattr(fact, name)) is not None
    }
    if fact.customer is not None:
        given["customer"] = fact.customer if state.customer is None else state.customer.updated(fact.customer)
    if fact.address is not None:
        given["address"] = fact.address if state.address is None else state.address.updated(fact.address)
    return evolve(state, **given) if given else state


def _with_content(state: OrderState, fact: OrderFact) -> OrderState:
    """The state with what the event says about its content; what the event does not mention stays."""
    given: dict[str, Any] = {name: value for name in _CONTENT if (value := getattr(fact, name)) is not None}
    state = _with_people(state, fact)
    lines: tuple[Line, ...] = state.lines
    if fact.lines is not None:
        lines = complete(state.lines, fact.lines)
    total, discounted = totals(state, lines, fact)
    known = kept_sums(state, fact, total, discounted)
    return evolve(state, lines=lines, total_price=total, total_discount_price=discounted, known=known, **given)


def differ(before: OrderState, after: OrderState) -> Difference:
    """Return how an order's content differs: its goods, its sums, and what it says beside them."""
    fields: list[FieldChange] = content_changes(before, after)
    fields += [(name, _text(getattr(before, name)), _text(getattr(after, name))) for name in TOTALS]
    if before.currency != after.currency:
        fields.append(("currency", before.currency, after.currency))
    return compare(before.lines, after.lines, fields)


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _remember(state: OrderState, fact: OrderFact) -> OrderState:
    if fact.digest is None:
        return evolve(state, last=fact.key)
    others = tuple(item for item in state.repeats if item[0] is not fact.hook)
    return evolve(state, last=fact.key, repeats=(*others, (fact.hook, fact.digest)))
