"""What the checker finds, and what it takes for equal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.checks import Finding
from common.contracts import intake
from webhook_gateway.deliveries.check_ledger import Carried, Evidence, Kept, Orders, balance, check

KEPT = Kept(
    delivery_id="d1",
    type=intake.HOOK_RECEIVED,
    event="order.created",
    event_id="e1",
    number="N1",
    digest="ab",
    replica="gw-1",
    outcome="confirmed",
)
PAID = replace(KEPT, delivery_id="d2", event="order.paid", event_id="e2", outcome="spooled", replica="gw-2")
CARRIED = Carried(number="N1", event="order.created", event_id="e1:ab", delivery_id="d1")
CARRIED_PAID = Carried(number="N1", event="order.paid", event_id="e2", delivery_id="d2")
ORDERS = Orders(carried=(CARRIED, CARRIED_PAID), orders=(("N1", "sbermarket", "H1"),))
WHOLE = Evidence(kept=(KEPT, PAID), orders=ORDERS, acknowledged=(("N1", "order.created"), ("N1", "order.paid")))


def test_what_fits_has_no_difference() -> None:
    repeat = replace(KEPT, delivery_id="d3")  # the orchestrator takes one of the two
    ignored = replace(KEPT, delivery_id="d4", type=intake.HOOK_IGNORED, event="courier.assigned", event_id="e4")
    refused = replace(KEPT, delivery_id="d5", event_id="e5", outcome="refused")  # answered 503; it may come or not
    assert check(replace(WHOLE, kept=(*WHOLE.kept, repeat, ignored, refused))) == []


@pytest.mark.parametrize(
    ("evidence", "kind", "waiting"),
    [
        (replace(WHOLE, kept=(*WHOLE.kept, KEPT)), "twice_in_the_ledger", False),
        (
            replace(WHOLE, kept=(*WHOLE.kept, replace(PAID, delivery_id="d9", where="/spool/gw-1"))),
            "only_in_the_spool",
            True,
        ),
        (
            replace(WHOLE, kept=(*WHOLE.kept, replace(PAID, delivery_id="d9", where="dead_letter"))),
            "dead_letter_of_the_recorder",
            False,
        ),
        (replace(WHOLE, damaged=(("/spool/gw-1", 1),)), "damaged_in_the_spool", False),
        (replace(WHOLE, endangered=frozenset({"x"})), "endangered_and_not_in_the_ledger", False),
        (
            replace(WHOLE, kept=(*WHOLE.kept, replace(KEPT, delivery_id="d9", type=intake.WEBSITE_ORDER_REFUSED))),
            "refused_and_not_endangered",
            False,
        ),
        (replace(WHOLE, orders=replace(ORDERS, carried=(CARRIED,))), "not_at_the_orchestrator", False),
        (
            replace(WHOLE, orders=replace(ORDERS, carried=(CARRIED,), dead=frozenset({"d2"}))),
            "dead_letter_of_the_orchestrator",
            False,
        ),
        (replace(WHOLE, kept=(KEPT,), acknowledged=None), "not_in_the_ledger", False),
        (
            replace(WHOLE, orders=replace(ORDERS, carried=(CARRIED, CARRIED_PAID, CARRIED_PAID))),
            "twice_at_the_orchestrator",
            False,
        ),
        (
            replace(WHOLE, orders=replace(ORDERS, orders=(*ORDERS.orders, ("N2", "sbermarket", "H1")))),
            "two_orders_of_one",
            False,
        ),
        (replace(WHOLE, orders=replace(ORDERS, orders=())), "created_and_no_order", True),
        (replace(WHOLE, acknowledged=(("N1", "order.paid"),) * 2), "acknowledged_and_lost", False),
        (replace(WHOLE, orders=None, unarrived=("N1",)), "not_at_orchestrator", True),
    ],
)
def test_what_does_not_fit_is_found(evidence: Evidence, kind: str, waiting: bool) -> None:
    [found] = check(evidence)
    assert (found.kind, found.waiting) == (kind, waiting)


def test_a_repeated_created_with_another_content_has_to_be_at_the_orchestrator_too() -> None:
    other = replace(KEPT, delivery_id="d3", digest="cd")
    assert check(replace(WHOLE, kept=(*WHOLE.kept, other))) == [
        Finding("not_at_the_orchestrator", "order.created of N1, delivery d3")
    ]


def test_received_is_the_sum_of_the_four_outcomes_for_each_replica_and_in_total() -> None:
    sums = balance(
        Evidence(
            kept=(
                KEPT,
                PAID,
                replace(PAID, delivery_id="d3", outcome="quarantined"),
                replace(PAID, outcome="replayed"),
            ),
            refused=(("gw-1", 3),),
            archived=(("gw-2", "confirmed", 10), ("gw-0", "refused", 1)),
        )
    )
    assert sums.by_replica == {
        "gw-0": {"confirmed": 0, "spooled": 0, "quarantined": 0, "refused": 1},
        "gw-1": {"confirmed": 1, "spooled": 0, "quarantined": 0, "refused": 3},
        "gw-2": {"confirmed": 10, "spooled": 1, "quarantined": 1, "refused": 0},
    }
    assert sums.total == {"received": 17, "confirmed": 11, "spooled": 1, "quarantined": 1, "refused": 4}
