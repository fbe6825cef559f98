"""What the recorder keeps and publishes, and what an operator may send again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.contracts import intake
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.envelope import parse
from common.contracts.intake import IntakeMessage
from common.contracts.journal import JournalEntryV1
from common.errors import Unprocessable
from common.ids import derived_id, order_number
from webhook_gateway.deliveries.digests import PeopleDigests
from webhook_gateway.deliveries.record import RecordDeliveries, Recording, outcome_of
from webhook_gateway.deliveries.replay import replayed
from webhook_gateway.deliveries.store import DeliveryRow, StoredDelivery
from webhook_gateway.deliveries.unarrived import AwaitedOrder
from webhook_gateway.hooks.model import Outcome
from webhook_gateway.rescue.alerts import endangered_alert, no_longer_endangered
from webhook_gateway.rescue.model import endangered_fingerprint
from webhook_gateway.rescue.record import endangered_rows, tried_again

AT = datetime(2026, 11, 21, 7, tzinfo=UTC)
PAYLOAD: dict[str, Any] = {"originalOrderId": "H1", "positions": [{"id": "1", "quantity": 2}]}
BODY = json.dumps({"event_type": "order.created", "payload": PAYLOAD}).encode()
NUMBER = order_number("sbermarket", "H1")
HOOK = IntakeMessage(
    type=intake.HOOK_RECEIVED,
    event_id="e",
    delivery_id="01a1fcc2-ffa5-76f2-8271-2bb638b97e43",
    source="sbermarket",
    event="order.created",
    body_form="envelope",
    body=BODY,
    received_at=AT,
    replica="gw-1",
    number=NUMBER,
    external_id="H1",
    status=200,
    headers='{"host":"x"}',
    traceparent="00-d89ee8df3b1cbae3cf864d924fbcf378-8c992dbd7342a936-01",
)
QUARANTINED = replace(HOOK, type=intake.HOOK_QUARANTINED, number=None, reason="not_json", status=400)
REFUSED = replace(
    HOOK,
    type=intake.WEBSITE_ORDER_REFUSED,
    source="website",
    number=None,
    body=json.dumps({"customer": {"phone": "+79990001122"}}).encode(),
    reason="banned",
    status=429,
    answer='{"code":"too_many_requests"}',
)


def recorded(*hooks: IntakeMessage) -> Recording:
    return RecordDeliveries(digests=PeopleDigests([b"key"])).plan(hooks)


def test_every_delivery_of_an_order_stands_in_its_timeline_in_the_trace_of_the_hook() -> None:
    recording = recorded(HOOK)
    assert recording.deliveries == [DeliveryRow(hook=HOOK, outcome="confirmed", replay_of=None, headers={"host": "x"})]
    [event] = recording.events
    assert (event.id, event.traceparent, event.subject) == (
        derived_id("journal", "webhook-gateway", HOOK.delivery_id),
        HOOK.traceparent,
        NUMBER,
    )
    assert parse(event, JournalEntryV1) == JournalEntryV1(
        order_number=NUMBER,
        service="webhook-gateway",
        kind="hook.received",
        actor="sbermarket",
        summary="order.created: confirmed",
        details={
            "event": "order.created",
            "outcome": "confirmed",
            "lane": "broker",
            "delivery_id": HOOK.delivery_id,
            "replica": "gw-1",
            "status": "200",
        },
        occurred_at=AT,
    )


def test_every_acknowledged_created_order_is_awaited_from_the_orchestrator() -> None:
    accepted = replace(HOOK, type=intake.HOOK_QUARANTINED, reason="missing:payload.positions")
    changed = replace(HOOK, event="order.changed")
    recording = recorded(HOOK, accepted, replace(accepted, status=422), changed, QUARANTINED, REFUSED)
    order = AwaitedOrder(number=NUMBER, source="sbermarket", external_id="H1", acknowledged_at=AT)
    assert recording.awaited == [order, order]


def test_what_is_quarantined_of_an_order_raises_one_incident() -> None:
    recording = recorded(QUARANTINED, replace(QUARANTINED, delivery_id="another"))
    problems = [parse(event, ProblemRaisedV1) for event in recording.events]
    assert [problem.kind for problem in problems] == ["hook.quarantined", "hook.quarantined"]
    assert len({problem.fingerprint for problem in problems}) == 1
    assert problems[0].link == f"/d/{HOOK.delivery_id}"


def test_a_refused_website_order_is_endangered_and_alerts_with_masked_data() -> None:
    [row] = endangered_rows([REFUSED, HOOK])
    assert (row.status, row.category, row.answer, row.rescue.customer) == (
        429,
        "banned",
        {"code": "too_many_requests"},
        {"phone": "+79990001122"},
    )
    event = endangered_alert(row)
    problem = parse(event, ProblemRaisedV1)
    assert (problem.kind, problem.severity, problem.details["phone"]) == (
        "website_order.endangered",
        "critical",
        "***22",
    )
    assert b"79990001122" not in event.encode()


def test_a_customers_own_network_wakes_nobody() -> None:
    [row] = endangered_rows([replace(REFUSED, status=408, reason="customer_network")])
    assert parse(endangered_alert(row), ProblemRaisedV1).severity == "warning"


def test_a_basket_that_the_front_end_lost_is_endangered_and_no_delivery() -> None:
    reported = replace(
        REFUSED,
        type=intake.FRONTEND_ERROR_REPORTED,
        reason="front_end",
        status=0,
        answer=None,
        headers='{"link": "https://sentry.example/17"}',
    )
    assert recorded(reported).deliveries == []
    [row] = endangered_rows([reported])
    assert (row.origin, row.link, row.category, row.status) == (
        "front_end",
        "https://sentry.example/17",
        "front_end",
        0,
    )
    problem = parse(endangered_alert(row), ProblemRaisedV1)
    assert problem.summary.startswith("Заказ с сайта под угрозой: сайт сообщил об ошибке с корзиной.")


def test_an_endangered_order_that_the_website_sends_again_ends_its_incident() -> None:
    taken = replace(HOOK, source="website:kz", external_id="W-1")
    tries = [taken, replace(taken, delivery_id="again", reason="replay:x"), HOOK]
    assert tried_again(tries) == [("website:kz", "W-1")]
    over = no_longer_endangered("e-1", NUMBER, at=AT)
    assert parse(over, ProblemResolvedV1).fingerprint == endangered_fingerprint("e-1")


@pytest.mark.parametrize(
    ("hook", "outcome"),
    [
        (HOOK, Outcome.CONFIRMED),
        (replace(HOOK, lane="spool"), Outcome.SPOOLED),
        (replace(HOOK, type=intake.HOOK_IGNORED), Outcome.CONFIRMED),
        (replace(QUARANTINED, lane="spool"), Outcome.QUARANTINED),
        (REFUSED, Outcome.REFUSED),
        (replace(HOOK, reason="replay:x"), Outcome.REPLAYED),
    ],
)
def test_every_delivery_has_one_outcome(hook: IntakeMessage, outcome: Outcome) -> None:
    assert outcome_of(hook) is outcome


def stored(body: bytes = BODY, **known: Any) -> StoredDelivery:
    values: dict[str, Any] = {
        "id": HOOK.delivery_id,
        "type": intake.HOOK_QUARANTINED,
        "event_id": "e",
        "source": "sbermarket",
        "event": "order.created",
        "body_form": "envelope",
        "body": body,
        "occurred_at": AT,
        "repeats": None,
        "number": NUMBER,
        "external_id": "H1",
        "sent_at": None,
        "digest": None,
        "currency": "RUB",
    }
    return StoredDelivery(**{**values, **known})


def sent_again(delivery: StoredDelivery, mended: object | None = None) -> IntakeMessage:
    later = AT + timedelta(hours=3)
    return replayed(delivery, mended, now=later, replica="gw-1", actor="anna", why="looked at it")


def test_a_replayed_delivery_is_a_new_event_about_the_same_order() -> None:
    hook = sent_again(stored())
    assert (hook.type, hook.number, hook.body, hook.reason) == (
        intake.HOOK_RECEIVED,
        NUMBER,
        BODY,
        f"replay:{HOOK.delivery_id}",
    )
    assert hook.event_id != HOOK.event_id
    assert IntakeMessage.from_envelope(hook.to_envelope()) == hook


def test_a_broken_delivery_is_replayed_only_mended() -> None:
    with pytest.raises(Unprocessable):
        sent_again(stored(b"{"))
    mended = {"event_type": "order.paid", "payload": PAYLOAD}
    hook = sent_again(stored(b"{"), mended)
    assert (hook.event, hook.number) == ("order.paid", NUMBER)


def test_a_replay_names_its_person_and_keeps_the_time_of_its_origin_mended_or_not() -> None:
    mended = {"event_type": "order.created", "payload": {**PAYLOAD, "comment": "mended"}}
    for hook in (sent_again(stored()), sent_again(stored(), mended)):
        assert (hook.occurred_at, hook.received_at) == (AT, AT + timedelta(hours=3))
        assert (hook.actor, hook.why) == ("anna", "looked at it")
    sent = stored(sent_at="2026-11-21T06:59:00+00:00")
    assert sent_again(sent, mended).sent_at == sent.sent_at  # the mended body has no timestamp of its own
    stamped = {**mended, "timestamp": "2026-11-21T06:58:00Z"}
    assert sent_again(sent, stamped).sent_at == "2026-11-21T06:58:00+00:00"


def test_only_a_replay_word_for_word_repeats_the_event_of_its_origin() -> None:
    same = stored(digest=sent_again(stored()).digest)
    assert sent_again(same).repeats == "e"
    assert sent_again(replace(same, event_id="replay-1", repeats="e")).repeats == "e"  # a replay of a replay
    mended = {"event_type": "order.created", "payload": {**PAYLOAD, "comment": "mended"}}
    assert sent_again(same, mended).repeats is None


def test_what_a_person_sent_again_or_entered_is_noted_once_by_whoever_did_it() -> None:
    replay = replace(HOOK, reason="replay:x", actor="anna", why="looked at it")
    entered = replace(HOOK, reason="entered", actor="anna", why="it never came")
    assert (outcome_of(replay), outcome_of(entered)) == (Outcome.REPLAYED, Outcome.ENTERED)
    assert recorded(replay, entered).events == []
