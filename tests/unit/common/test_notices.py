"""How the messages to people that follow from a change are named."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from common.contracts import MESSAGES
from common.contracts.envelope import Envelope
from common.contracts.notices import IF_IT_FAILS, NOBODY, NOTHING, notice, notices_of, only, perhaps
from console.client.notices import Told, told
from notifier.inputs.orders import ORDER_EVENTS

NOW = datetime(2026, 11, 21, tzinfo=UTC)
MONEY = "refunds.refund.rejected.v1 or alerts.problem.raised.v1 or nothing of N1: on call"
TOLD = {
    **{kind: f"{kind} of N1: nobody" for kind in ORDER_EVENTS},
    "orders.workflow.stopped.v1": "orders.workflow.stopped.v1 of N1: on call",
    "orders.workflow.crashed.v1": "orders.workflow.crashed.v1 of N1: on call",
    "orders.refund.wanted.v1": MONEY,
    "refunds.tcreate_refund.requested.v1": MONEY,
    "refunds.refund.rejected.v1": "refunds.refund.rejected.v1 of N1: on call",
    "alerts.problem.raised.v1": "alerts.problem.raised.v1 (refund.error) of N1: on call",
    "alerts.problem.resolved.v1": "alerts.problem.resolved.v1 of N1: who was told of it",
}
SILENT = {
    "orders.tips.hold_wanted.v1",
    "refunds.refund.state_changed.v1",
    "alerts.heartbeat.sent.v1",
    "journal.entry.recorded.v1",
}


def published(kind: str, /, *, subject: str | None = "N1", **data: Any) -> tuple[str, bytes]:
    envelope = Envelope(id="1", source="/test", type=kind, subject=subject, time=NOW, data=data)
    return kind, envelope.encode()


@pytest.mark.parametrize("kind", sorted(MESSAGES))
def test_every_event_has_its_notice_or_tells_nobody(kind: str) -> None:
    named = notices_of([published(kind, kind="refund.error")])
    assert named == ([TOLD[kind]] if kind in TOLD else [])
    assert (kind in TOLD) != (kind in SILENT)


def test_an_order_event_names_who_is_notified_and_the_order() -> None:
    events = [published("orders.order.changed.v1", notify=notify) for notify in (True, False)]
    people = [f"orders.order.changed.v1 of N1: {whom}" for whom in ("pickers and store", "nobody")]
    assert notices_of(events) == people
    assert notices_of([published("alerts.problem.resolved.v1", subject=None)]) == [
        "alerts.problem.resolved.v1: who was told of it"
    ]


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (notice("orders.order.paid.v1", of="N1", to=NOBODY), Told((("order.paid", ""),), "N1", "nobody")),
        (
            notice("alerts.problem.raised.v1 (refund.error)", NOTHING, of=None, to="on call"),
            Told((("problem.raised", "refund.error"),), None, "on call", perhaps=True),
        ),
        (
            notice("mail", of="N-1", to="a@b.c, copies to nobody"),
            Told((("mail", ""),), "N-1", "a@b.c, copies to nobody"),
        ),
        (
            only(IF_IT_FAILS, [perhaps(notice("ticket.closed", of="T-1", to="who follows the ticket"))])[0],
            Told((("ticket.closed", ""),), "T-1", "who follows the ticket", "if it fails", perhaps=True),
        ),
        (
            perhaps(notice("ticket.opened", of=None, to="who follows the ticket")),
            Told((("ticket.opened", ""),), None, "who follows the ticket", perhaps=True),
        ),
        ("anything else", Told()),
    ],
)
def test_both_tools_read_a_notice_as_it_was_written(line: str, read: Told) -> None:
    assert told(line) == read
