"""What is read from a body, and what is said about a body that does not fit."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import FieldError
from common.reading import GOODS_NEEDED
from webhook_gateway.hooks.model import HOOKS, UNREADABLE
from webhook_gateway.hooks.reading import Reading, created_order, digest, event_name, read_hook, read_time

PAYLOAD: dict[str, Any] = {"originalOrderId": "H1", "positions": [{"id": "1", "quantity": 2, "price": "85.00"}]}


def body(event: object = "order.created", payload: object = None, **more: object) -> bytes:
    return json.dumps({"event_type": event, "payload": PAYLOAD if payload is None else payload, **more}).encode()


def test_everything_needed_is_read() -> None:
    raw = body("order.updated", timestamp="2026-11-21T10:00:00+03:00")
    assert read_hook(raw) == Reading(
        event="order.changed",
        external_id="H1",
        sent_at="2026-11-21T07:00:00+00:00",
        digest=digest(PAYLOAD),
        problems=(),
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, name) for name in sorted(HOOKS)),
        ("order.updated", "order.changed"),
        ("order.canceled", "order.cancelled"),
        (" ORDER.CREATED ", "order.created"),
        ("courier.assigned", "courier.assigned"),
        ("", UNREADABLE),
        ("a\x00b", UNREADABLE),
        ("x" * 101, UNREADABLE),
        (None, UNREADABLE),
        (7, UNREADABLE),
    ],
)
def test_event_names_have_one_spelling(name: object, expected: str) -> None:
    assert event_name(name) == expected


@pytest.mark.parametrize(
    ("order_id", "expected"),
    [
        ("H1", "H1"),
        (123, "123"),
        (123.0, "123"),
        (123456789012345678901234567890, "123456789012345678901234567890"),
        ("", None),
        ("  ", None),
        ("a\x00b", None),
        ("x" * 256, None),
        (None, None),
        (True, None),
        ([], None),
        (1.5, None),
    ],
)
def test_an_order_id_may_be_a_number_and_must_be_printable(order_id: object, expected: str | None) -> None:
    assert read_hook(body(payload={**PAYLOAD, "originalOrderId": order_id})).external_id == expected


@pytest.mark.parametrize("event", sorted(HOOKS - GOODS_NEEDED))
def test_the_others_need_only_the_order_id(event: str) -> None:
    assert read_hook(body(event, {"originalOrderId": "H1"})).problems == ()


@pytest.mark.parametrize(
    ("raw", "field", "code"),
    [
        (body("order.created", {"originalOrderId": "H1"}), "payload.positions", "missing"),
        (body("order.changed", {"originalOrderId": "H1", "positions": None}), "payload.positions", "missing"),
        (body("order.paid", {"originalOrderId": "H1", "positions": "x"}), "payload.positions", "not_a_list"),
        (
            body("order.paid", {"originalOrderId": "H1", "positions": ["x"]}),
            "payload.positions.0",
            "not_an_object",
        ),
        (
            body("order.paid", {"originalOrderId": "H1", "positions": [{"quantity": 1}]}),
            "payload.positions.0.id",
            "missing",
        ),
        (
            body("order.created", {"originalOrderId": "H1", "positions": [{"id": 1}]}),
            "payload.positions.0.quantity",
            "missing",
        ),
        (
            body("order.paid", {"originalOrderId": "H1", "positions": [{"id": 1, "quantity": 1, "price": "dear"}]}),
            "payload.positions.0.price",
            "not_a_number",
        ),
        (body("order.created", {**PAYLOAD, "positions": []}), "payload.positions", "empty"),
        (body(payload={**PAYLOAD, "currency": "XXX"}), "payload.currency", "unknown_currency"),
        (
            body(payload={**PAYLOAD, "positions": [{"id": "tv", "quantity": -5}]}),
            "payload.positions.0.quantity",
            "negative",
        ),
        (
            body(payload={**PAYLOAD, "positions": [{"id": "a", "quantity": 1, "price": "1,299"}]}),
            "payload.positions.0.price",
            "ambiguous_number",
        ),
        (
            body("order.delivered", {"originalOrderId": "H1", "total": {"totalPrice": []}}),
            "payload.total.totalPrice",
            "not_a_number",
        ),
        (body(None), "event_type", "missing"),
        (body().replace(b"H1", b"H1\xff"), "", "not_strict_json"),
        (body(payload={**PAYLOAD, "total": "170.00"}), "payload.total", "not_an_object"),
        (body(payload={**PAYLOAD, "comment": "x"}).replace(b'"x"', b"NaN"), "", "not_strict_json"),
        (
            body(payload={**PAYLOAD, "comment": "x"}).replace(b'"x"', b"[" * 100 + b"]" * 100),
            "payload",
            "too_deep",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_the_order_is_still_known(raw: bytes, field: str, code: str) -> None:
    reading = read_hook(raw)
    assert ((reading.external_id or "").startswith("H1"), field, code) == (
        True,
        reading.problems[0].field,
        reading.problems[0].code,
    )


@pytest.mark.parametrize(
    ("written", "named"),
    [
        (b'"quantity": 2, "quantity": 9', ["quantity"]),
        (b'"quantity":2,"note":"a\\":","\\u0071uantity":9', ["quantity"]),
        (b'"quantity" : 2, "price" : "85.00", "price" : "8.50"', ["price"]),
        (b'"quantity": 2, "note" : 1, "quantity": 9', ["quantity"]),
        (b'"quantity": 2, "note": "he said\\u0022: no", "quantity": 9', ["quantity"]),
        (b'"quantity": 2, "price": "85.00", "price": 85.0, "id": "a", "note": 1, "note": 2', []),
        (b'"quantity" : 2, "note": "he said: \\"no\\": twice"', []),
    ],
)
def test_a_field_that_decides_and_says_two_things_is_named(written: bytes, named: list[str]) -> None:
    raw = (
        body(payload={**PAYLOAD, "positions": [{"id": "a", "x": 1}]})
        .replace(b'"x": 1', written)
        .replace(b'"x":1', written)
    )
    assert written in raw
    reading = read_hook(raw)
    assert [(each.field, each.code) for each in reading.problems] == [(name, "said_twice") for name in named]
    assert (reading.event, reading.external_id) == ("order.created", "H1")


def test_an_order_id_or_goods_that_are_said_twice_are_named() -> None:
    for written in (b'"originalOrderId": "H2", "originalOrderId"', b'"positions": [], "originalOrderId"'):
        raw = body().replace(b'"originalOrderId"', written)
        assert [each.code for each in read_hook(raw).problems] == ["said_twice"]
    assert read_hook(body().replace(b'"payload"', b'"shop": {"a": {"b": 1}}, "payload"')).problems == ()


@pytest.mark.parametrize(
    "written",
    [b'"\\ud83d"', b'"\\ud83d \xf0\x9f\x8d\x95"', b'"one\ntwo\tthree"', b'"x", "y": 1e999', b'"x", "y": ' + b"9" * 400],
)
def test_what_only_strict_json_refuses_and_nobody_can_misread_is_taken(written: bytes) -> None:
    raw = body("order.created", {**PAYLOAD, "comment": "x"}).replace(b'"x"', written)
    reading = read_hook(raw)
    assert (reading.external_id, reading.problems, reading.digest) == ("H1", (), read_hook(raw).digest)
    assert reading.digest != read_hook(raw.replace(b"85.00", b"86.00")).digest


def test_a_number_that_no_program_reads_is_named() -> None:
    raw = body("order.created", {**PAYLOAD, "comment": "x"}).replace(b'"x"', b"9" * 5000)
    assert [fault.code for fault in read_hook(raw).problems] == ["not_strict_json"]


@pytest.mark.parametrize("payment", ["card", {"method": "card"}])
def test_a_total_of_php_without_fields_is_none_and_a_payment_in_words_is_one(payment: Any) -> None:
    assert read_hook(body("order.created", {**PAYLOAD, "total": [], "payment": payment})).problems == ()


@pytest.mark.parametrize("raw", [b"", b"{", b"\x00", b"nonsense", b"[" * 100_000])
def test_what_is_no_json_has_only_the_digest_of_its_bytes(raw: bytes) -> None:
    assert read_hook(raw) == Reading(
        event=UNREADABLE,
        external_id=None,
        sent_at=None,
        digest=hashlib.sha256(raw).hexdigest(),
        problems=(FieldError("", "not_json", "the body is no JSON object"),),
    )


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise(raw: bytes) -> None:
    assert read_hook(raw).digest


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["event_type", "payload", "timestamp", "originalOrderId", "positions", "id", "price"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_no_json_makes_the_reader_raise(document: object) -> None:
    assert read_hook(json.dumps(document).encode()).digest


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-21T07:00:00Z", "2026-11-21T07:00:00+00:00"),
        ("2026-11-21T10:00:00+03:00", "2026-11-21T07:00:00+00:00"),
        ("2026-11-21 07:00:00", "2026-11-21T07:00:00+00:00"),
        (1795244400, "2026-11-21T07:00:00+00:00"),
        (1795244400000, "2026-11-21T07:00:00+00:00"),
        ("yesterday", None),
        ("0001-01-01T00:00:00+10:00", None),
        (10**30, None),
        (True, None),
        (None, None),
    ],
)
def test_times_are_moments_however_they_are_written(value: object, expected: str | None) -> None:
    assert read_time(value) == expected


CREATED = json.dumps({"event_type": "order.created", "payload": {"originalOrderId": "H1", "positions": []}}).encode()


@pytest.mark.parametrize(
    ("body", "order"),
    [
        (CREATED, "H1"),
        (CREATED[:-10], "H1"),
        (b'{"event_type" : "order.created", "payload": {"originalOrderId": 17, "comm', "17"),
        (b'{"event_type":"order.created","payload":{"originalOrderId":"\\u0417\\"1","comm', 'З"1'),
        (b'{"event_type":"order.paid","payload":{"originalOrderId":"H1","comm', None),
        (b'{"event_type":" ORDER.CREATED","payload":{"originalOrderId":"H1","comm', "H1"),
        (b'{"event_type":"order\\u002ecreated","payload":{"originalOrderId":"H1","comm', "H1"),
        (b'{"event_type":"order.created","payload":{"originalOrderId":"\xff1","comm', "\ufffd1"),
        (b'{"event_type":"order.created","payload":{"comm', None),
        (CREATED.replace(b"created", b"paid"), None),
        (b"", None),
        (b"\xff\x00", None),
    ],
)
def test_whose_created_it_was_is_read_also_from_a_part(body: bytes, order: str | None) -> None:
    assert created_order(body) == order
