"""The table of transitions is total, and each hook does what docs/requirements.md#what-each-hook-does says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from common.reading import Line
from orchestrator.orders.decisions import Decisions, decide
from orchestrator.orders.fold import Step, fold
from orchestrator.orders.model import (
    Difference,
    HookType,
    IncidentKind,
    LineChange,
    OrderFact,
    OrderState,
    Status,
    StockEntry,
)
from orchestrator.orders.transitions import CHANGING, INCIDENTS, TRANSITIONS, Act

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
TWO_A = (Line(id="a", quantity=Decimal(2), price=100, total_price=200),)
THREE_A = (Line(id="a", quantity=Decimal(3), price=100, total_price=300),)


def fact(
    hook: HookType, minute: float, *, arrival: int = 0, lines: tuple[Line, ...] | None = None, **more: Any
) -> OrderFact:
    moment = START + timedelta(minutes=minute)
    given = {"digest": f"{hook}{lines}{more}", "sent_at": moment, "received_at": moment, **more}
    return OrderFact(
        hook=hook,
        event_id=f"{hook}@{minute}",
        arrival=arrival or int(minute * 10),
        source="sm",
        external_id="H1",
        lines=lines,
        **given,
    )


def created(minute: float = 1, **more: Any) -> OrderFact:
    return fact(HookType.CREATED, minute, **{"lines": TWO_A, "store_id": "17", **more})


def last(*facts: OrderFact) -> OrderState:
    state = fold("N", facts)[-1].after
    assert state is not None
    return state


def follows(*facts: OrderFact) -> Decisions:
    return decide(None, fold("N", facts))


def announced(decisions: Decisions) -> list[tuple[HookType, bool, bool]]:
    return [(item.fact.hook, item.notify, item.correction) for item in decisions.announcements]


def test_every_status_has_an_act_for_every_hook() -> None:
    assert set(TRANSITIONS) == set(product([None, *Status], HookType))


def test_every_act_of_the_table_is_a_change_a_named_no_op_an_incident_or_parking() -> None:
    no_ops = {Act.ALREADY_CREATED, Act.ALREADY_RECEIVED, Act.ALREADY_DELIVERED, Act.ALREADY_CANCELLED}
    assert set(TRANSITIONS.values()) == (CHANGING | no_ops | {Act.PARK} | set(INCIDENTS)) - {Act.CREATED_DIFFERS}


def test_the_whole_table_is_as_written_down_here() -> None:
    expected = {
        # created, changed, paid, received, delivered, cancelled, corrected
        None: "create park park park park park park",
        "created": "already_created change pay receive deliver cancel correct",
        "paid": "already_created changed_after_closing pay receive deliver cancel correct",
        "received": "already_created changed_after_closing pay already_received deliver cancel correct",
        "delivered": "already_created changed_after_closing pay already_received already_delivered cancel correct",
        "cancelled": "already_created changed_after_closing pay received_after_cancelling delivered_after_cancelling "
        "already_cancelled correct",
    }
    table = {
        (None if status is None else Status(status), hook): Act(act)
        for status, row in expected.items()
        for hook, act in zip(HookType, row.split(), strict=True)
    }
    assert dict(TRANSITIONS) == table


def test_created_creates_and_is_announced() -> None:
    decisions = follows(created())
    assert announced(decisions) == [(HookType.CREATED, True, False)]
    order = decisions.announcements[0].order
    assert (order.status, order.closed, order.shipped, order.lines, order.cost) == (
        Status.CREATED, False, False, TWO_A, 200,
    )  # fmt: skip


def test_changed_applies_the_difference_and_tells_it() -> None:
    lines = (replace(THREE_A[0], price=90, total_price=270), Line(id="b", quantity=Decimal("0.5"), price=40))
    decisions = follows(
        created(lines=(*TWO_A, Line(id="c", quantity=Decimal(1)))), fact(HookType.CHANGED, 2, lines=lines)
    )
    assert announced(decisions) == [(HookType.CREATED, True, False), (HookType.CHANGED, True, False)]
    assert decisions.announcements[1].difference == Difference(
        added=(Line(id="b", quantity=Decimal("0.5"), price=40),),
        removed=(Line(id="c", quantity=Decimal(1)),),
        changed=(LineChange(TWO_A[0], lines[0]),),
        fields=(("total_price", None, "290"),),
    )


def test_a_change_that_changes_nothing_is_not_announced() -> None:
    steps = fold("N", [created(), fact(HookType.CHANGED, 2, lines=(replace(TWO_A[0], quantity=Decimal("2.00")),))])
    assert [item.act for item in steps] == [Act.CREATE, Act.CHANGES_NOTHING]
    assert announced(decide(None, steps)) == [(HookType.CREATED, True, False)]


def test_paid_corrects_prices_closes_and_is_not_announced() -> None:
    decisions = follows(created(), fact(HookType.PAID, 2, lines=(Line(id="a", price=95),)))
    assert announced(decisions) == [(HookType.CREATED, True, False), (HookType.PAID, False, False)]
    order = decisions.announcements[1].order
    assert (order.status, order.closed, order.paid, order.cost) == (Status.PAID, True, True, 190)
    assert order.lines == (Line(id="a", quantity=Decimal(2), price=95),)


def test_paid_that_comes_again_with_the_same_prices_does_nothing() -> None:
    paid = fact(HookType.PAID, 2, lines=TWO_A)
    steps = fold(
        "N", [created(), paid, replace(paid, event_id="again", arrival=99, sent_at=START + timedelta(hours=1))]
    )
    assert [item.act for item in steps] == [Act.CREATE, Act.PAY, Act.ALREADY_PAID]


def test_paid_after_delivered_corrects_prices_and_keeps_the_status() -> None:
    order = last(created(), fact(HookType.DELIVERED, 2), fact(HookType.PAID, 3, lines=(Line(id="a", price=95),)))
    assert (order.status, order.paid, order.cost) == (Status.DELIVERED, True, 190)


def test_received_closes_and_writes_the_goods_off_once() -> None:
    decisions = follows(created(), fact(HookType.RECEIVED, 2), fact(HookType.RECEIVED, 3), fact(HookType.DELIVERED, 4))
    assert decisions.stock == (StockEntry("17", "a", Decimal(-2)),)
    assert announced(decisions) == [
        (HookType.CREATED, True, False),
        (HookType.RECEIVED, False, False),
        (HookType.DELIVERED, False, False),
    ]


def test_delivered_without_received_ships_and_delivers() -> None:
    decisions = follows(created(), fact(HookType.DELIVERED, 2))
    order = decisions.announcements[-1].order
    assert (order.status, order.closed, order.shipped, order.finished_at) == (
        Status.DELIVERED, True, True, START + timedelta(minutes=2),
    )  # fmt: skip
    assert decisions.stock == (StockEntry("17", "a", Decimal(-2)),)


@pytest.mark.parametrize(("before", "notify"), [((), True), ((HookType.PAID,), True), ((HookType.RECEIVED,), False)])
def test_cancelled_is_announced_only_if_the_order_was_not_shipped(before: tuple[HookType, ...], notify: bool) -> None:
    decisions = follows(
        created(),
        *(fact(hook, 2) for hook in before),
        fact(HookType.CANCELLED, 3, slug="store_closed", description="shut"),
    )
    item = decisions.announcements[-1]
    assert (item.fact.hook, item.notify) == (HookType.CANCELLED, notify)
    assert (item.order.status, item.order.closed, item.order.cancel_slug) == (Status.CANCELLED, True, "store_closed")


def test_a_change_after_closing_is_an_incident_and_changes_nothing() -> None:
    before = last(created(), fact(HookType.PAID, 2))
    decisions = follows(created(), fact(HookType.PAID, 2), fact(HookType.CHANGED, 3, lines=THREE_A))
    incident = decisions.raised[0]
    assert (incident.kind, incident.difference) == (
        IncidentKind.CHANGED_AFTER_CLOSING,
        Difference(changed=(LineChange(TWO_A[0], THREE_A[0]),), fields=(("total_price", "200", "300"),)),
    )
    after = last(created(), fact(HookType.PAID, 2), fact(HookType.CHANGED, 3, lines=THREE_A))
    assert (after.lines, after.status) == (before.lines, before.status)
    assert HookType.CHANGED not in [item.fact.hook for item in decisions.announcements]


def test_created_again_with_another_content_keeps_the_first_and_is_an_incident() -> None:
    steps = fold("N", [created(), replace(created(1, lines=THREE_A), event_id="other", arrival=11)])
    assert [item.act for item in steps] == [Act.CREATE, Act.CREATED_DIFFERS]
    state = steps[-1].after
    assert state is not None
    assert state.lines == TWO_A
    assert [item.kind for item in decide(None, steps).raised] == [IncidentKind.CREATED_DIFFERS]


@pytest.mark.parametrize("hook", [HookType.RECEIVED, HookType.DELIVERED])
def test_goods_that_leave_after_cancelling_are_an_incident(hook: HookType) -> None:
    decisions = follows(created(), fact(HookType.CANCELLED, 2), fact(hook, 3))
    assert [item.kind for item in decisions.raised] == [INCIDENTS[TRANSITIONS[(Status.CANCELLED, hook)]]]
    assert decisions.stock == ()


def test_a_cancelled_paid_order_with_a_payment_is_refunded_whichever_came_first() -> None:
    payment: dict[str, Any] = {"payment_id": "pay-1"}
    assert follows(created(**payment), fact(HookType.PAID, 2), fact(HookType.CANCELLED, 3)).refund
    assert follows(created(**payment), fact(HookType.CANCELLED, 2), fact(HookType.PAID, 3)).refund
    assert not follows(created(**payment), fact(HookType.CANCELLED, 2)).refund
    assert not follows(created(), fact(HookType.PAID, 2), fact(HookType.CANCELLED, 3)).refund


def test_without_a_timestamp_only_the_latest_content_of_the_kind_is_a_repeat() -> None:
    def change(minute: float, lines: tuple[Line, ...]) -> OrderFact:
        return replace(fact(HookType.CHANGED, minute, lines=lines), sent_at=None)

    steps = fold("N", [created(), change(2, THREE_A), change(3, THREE_A), change(4, TWO_A), change(5, THREE_A)])
    assert [item.act for item in steps] == [Act.CREATE, Act.CHANGE, Act.REPEATS_LATEST, Act.CHANGE, Act.CHANGE]


def test_everything_before_created_is_parked_and_applied_when_it_comes() -> None:
    early = [fact(HookType.PAID, 3, arrival=1), fact(HookType.RECEIVED, 4, arrival=2)]
    assert [item.act for item in fold("N", early)] == [Act.PARK, Act.PARK]
    assert [item.act for item in fold("N", [*early, created(arrival=3)])] == [Act.CREATE, Act.PAY, Act.RECEIVE]


def late(known: list[OrderFact], *new: OrderFact) -> Decisions:
    """What follows when events arrive after newer ones."""
    steps: list[Step] = fold("N", [*known, *new])
    return decide(last(*known), steps, fresh=frozenset(item.event_id for item in new))


def test_a_late_change_that_nothing_contradicts_is_announced_as_if_in_time() -> None:
    decisions = late([created(), fact(HookType.PAID, 3)], fact(HookType.CHANGED, 2, lines=THREE_A))
    assert announced(decisions) == [(HookType.CHANGED, True, False)]
    assert decisions.announcements[0].order.lines == THREE_A


def test_a_late_change_that_a_newer_one_overtook_is_not_announced() -> None:
    four = (replace(TWO_A[0], quantity=Decimal(4), total_price=400),)
    decisions = late([created(), fact(HookType.CHANGED, 3, lines=four)], fact(HookType.CHANGED, 2, lines=THREE_A))
    assert announced(decisions) == [(HookType.CHANGED, False, False)]


def test_a_late_change_before_shipping_corrects_the_stock_and_is_announced() -> None:
    decisions = late([created(), fact(HookType.RECEIVED, 3)], fact(HookType.CHANGED, 2, lines=THREE_A))
    assert decisions.stock == (StockEntry("17", "a", Decimal(-1)),)
    assert announced(decisions) == [(HookType.CHANGED, True, False), (HookType.CHANGED, False, True)]


def test_a_late_shipping_corrects_what_was_announced_of_the_cancellation() -> None:
    decisions = late([created(), fact(HookType.CANCELLED, 3)], fact(HookType.RECEIVED, 2))
    assert announced(decisions) == [(HookType.RECEIVED, False, False), (HookType.RECEIVED, True, True)]
    assert decisions.announcements[1].difference == Difference(fields=(("shipped", "false", "true"),))
    assert decisions.stock == (StockEntry("17", "a", Decimal(-2)),)


def test_an_incident_that_a_late_event_explains_is_resolved() -> None:
    known = [created(), fact(HookType.PAID, 2), fact(HookType.CHANGED, 4, lines=THREE_A)]
    paid_three = fact(HookType.PAID, 3, lines=THREE_A)
    decisions = late(known, paid_three)
    assert [item.kind for item in decisions.resolved] == [IncidentKind.CHANGED_AFTER_CLOSING]
    assert decisions.raised == ()


def test_what_left_the_store_is_fixed_by_the_event_that_shipped_it() -> None:
    decisions = follows(
        created(), fact(HookType.RECEIVED, 2), fact(HookType.PAID, 3, lines=THREE_A), fact(HookType.DELIVERED, 4)
    )
    assert decisions.stock == (StockEntry("17", "a", Decimal(-2)),)


def untimed(hook: HookType, minute: float, **more: Any) -> OrderFact:
    """A hook without a time of its own, received at that minute."""
    return replace(fact(hook, minute, **more), sent_at=None)


def replayed(origin: OrderFact, minute: float, **mended: Any) -> OrderFact:
    """The same again, at that minute, word for word or mended."""
    repeats = None if mended else origin.event_id
    changes: dict[str, Any] = {"digest": f"mended {mended}"} if mended else {}
    moment = START + timedelta(minutes=minute)
    about: dict[str, Any] = {"arrival": int(minute * 10), "replayed_at": moment, "repeats": repeats}
    return replace(origin, event_id=f"replay@{minute}", **about, **changes, **mended)


def test_a_replay_without_a_time_changes_nothing_that_is_newer_mended_or_not() -> None:
    two, three = untimed(HookType.CHANGED, 2, lines=TWO_A), untimed(HookType.CHANGED, 3, lines=THREE_A)
    for again in (replayed(two, 9), replayed(two, 9, lines=(Line(id="a", quantity=Decimal(7)),))):
        decisions = late([created(), two, three], again)
        assert [item.notify for item in decisions.announcements] in ([], [False])
        assert last(created(), two, three, again).lines == last(created(), two, three).lines
    assert late([created(), two, three], replayed(two, 9)) == Decisions()


def test_a_replayed_created_never_makes_an_existing_order_another() -> None:
    refused, good = created(1, lines=THREE_A), created(2)
    again = replayed(refused, 5, lines=THREE_A)  # it was refused at first, the order came another way
    assert last(good, again).lines == last(good).lines
    assert [item.kind for item in last(good, again).incidents] == [IncidentKind.CREATED_DIFFERS]
    assert last(replayed(refused, 5)).created_at == refused.moment  # the only one: the order began when it first came


def test_a_replay_of_what_was_an_incident_is_no_second_incident() -> None:
    paid, changed = fact(HookType.PAID, 2), fact(HookType.CHANGED, 3, lines=THREE_A)
    differs = replace(created(1.5, lines=THREE_A), event_id="created again")
    before = [created(), paid, changed, differs]
    assert len(last(*before).incidents) == 2
    assert last(*before, replayed(changed, 8), replayed(differs, 9)).incidents == last(*before).incidents


@pytest.mark.parametrize(
    "hooks", [(), (HookType.PAID,), (HookType.RECEIVED,), (HookType.DELIVERED,), (HookType.CANCELLED,)]
)
def test_a_correction_holds_in_every_status_and_moves_no_goods_that_left(hooks: tuple[HookType, ...]) -> None:
    life = [created(), *(fact(hook, minute) for minute, hook in enumerate(hooks, 2))]
    corrected = fact(HookType.CORRECTED, 9, lines=THREE_A, store_id="18")
    before, after = last(*life), last(*life, corrected)
    assert (after.lines, after.store_id, after.total_price) == (THREE_A, "18", 300)
    assert (after.status, after.closed, after.written_off) == (before.status, before.closed, before.written_off)
    decisions = decide(before, fold("N", [*life, corrected])[-1:])
    assert announced(decisions) == [(HookType.CORRECTED, True, False)]
    assert decisions.stock == ()
    older = fact(HookType.CHANGED, 1.5, lines=(Line(id="a", quantity=Decimal(9)),))
    assert last(*life, corrected, older).lines == after.lines
