"""The gateway's quick look and the suite's reader never disagree, and what the gateway takes the orchestrator can carry out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.reading import read_order
from orchestrator.engine.model import WorkflowEvent
from orchestrator.orders.hooks import to_fact
from tests.support.order_payloads import payloads
from webhook_gateway.hooks.model import HOOKS
from webhook_gateway.hooks.reading import read_hook

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


SHAPES: list[tuple[bytes, str | None]] = [
    (b'"half \\ud83d"', "half ?"),
    (b'"one\ntwo"', "one\ntwo"),
    ('["Без лука", "Аллергия на орехи"]'.encode(), "Без лука, Аллергия на орехи"),
    ('{"customer": "Аллергия на орехи", "courier": null, "shop": ["x"]}'.encode(), "Аллергия на орехи"),
    (b'{"text": "x", "more": {"title": "y"}}', "x, y"),
    (b"[]", None),
    (b"1e999", "inf"),
    (b"9" * 400, "9" * 400),
]


@pytest.mark.parametrize(("written", "comment"), SHAPES)
def test_what_a_person_said_is_carried_out_whole_in_any_shape(written: bytes, comment: str | None) -> None:
    body = b'{"event_type": "order.created", "payload": {"originalOrderId": "H1", "positions": [{"id": "a", "quantity": 1}], "comment": '
    body += written + b"}}"
    assert read_hook(body, now=NOW).problems == ()
    attributes = {"source": "sm", "external_id": "H1", "body_form": "envelope", "currency": "RUB"}
    event = WorkflowEvent(
        type="order.created", event_id="e", attributes=attributes, payload=body, received_at=NOW, seq=1
    )
    assert to_fact(event).comment == comment


def test_what_the_release_before_answered_with_a_yes_is_still_carried_out() -> None:
    """Its gateway may run beside this orchestrator; its hooks wait in queue and spool, and orders are folded again from their history."""
    payload = {"originalOrderId": "H1", "positions": [{"id": "a", "quantity": 1, "price": 5}], "total": "5"}
    body = json.dumps({"event_type": "order.created", "payload": payload}).encode()
    assert [each.field for each in read_hook(body, now=NOW).problems] == ["payload.total"]
    attributes = {"source": "sm", "external_id": "H1", "body_form": "envelope", "currency": "RUB"}
    event = WorkflowEvent(
        type="order.created", event_id="e", attributes=attributes, payload=body, received_at=NOW, seq=1
    )
    assert (to_fact(event).total_price, len(to_fact(event).lines or ())) == (None, 1)


@settings(deadline=None, max_examples=1_000)
@given(
    payloads(),
    st.sampled_from(sorted(HOOKS)),
    st.sampled_from(["RUB", "JPY", "KWD"]),
    st.sampled_from([None, "RUB", "JPY", "KWD"]),
)
def test_a_yes_of_the_gateway_can_always_be_carried_out(
    payload: dict[str, Any], event: str, currency: str, order_currency: str | None
) -> None:
    body = orjson.dumps({"event_type": event, "payload": {"originalOrderId": "H1", **payload}})
    reading = read_hook(body, currency=currency, now=NOW)
    said = orjson.loads(body)["payload"]
    assert reading.problems == read_order(said, event=event, currency=currency, prefix="payload.").problems
    if not reading.problems:
        attributes = {"source": "sm", "external_id": "H1", "body_form": "envelope", "currency": currency}
        workflow_event = WorkflowEvent(
            type=event, event_id="e", attributes=attributes, payload=body, received_at=NOW, seq=1
        )
        fact = to_fact(workflow_event, order_currency)
        assert (fact.hook, fact.external_id) == (event, "H1")
