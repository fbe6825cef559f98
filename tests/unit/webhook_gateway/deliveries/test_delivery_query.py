"""What people type to find deliveries, and what a customer is found by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from common.errors import InvalidInput
from webhook_gateway.deliveries.digests import PeopleDigests, tokens_of
from webhook_gateway.deliveries.query import TypedQuery, read_query

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = datetime(2026, 11, 21, tzinfo=UTC)


def typed(*people: str, whole: str | None, since: datetime | None = None, until: datetime | None = None) -> TypedQuery:
    return TypedQuery(since=since, until=until, whole=whole, people=frozenset(people))


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        ("8 (916) 123-45-67", typed("phone:+79161234567", whole="8 (916) 123-45-67")),
        ("+79161234567", typed("phone:+79161234567", whole="+79161234567")),
        ("Anna@Example.RU", typed("mail:anna@example.ru", whole="Anna@Example.RU")),
        ("Семёнова  Анна", typed("name:семенова", "name:анна", whole="Семёнова Анна")),
        ("Анна 89161234567", typed("name:анна", "phone:+79161234567", whole="Анна 89161234567")),
        ("H-1001", typed("name:h", "name:1001", whole="H-1001")),
        ("2026-11-21", typed(whole=None, since=DAY, until=DAY + timedelta(days=1))),
        ("анна 2026-11-21T15+03:00", typed("name:анна", whole="анна", since=NOON, until=NOON + timedelta(hours=1))),
        ("2026-11-21 12:00", typed(whole=None, since=NOON, until=NOON + timedelta(minutes=1))),
        ("2026-11-21T12:00:00Z", typed(whole=None, since=NOON, until=NOON + timedelta(seconds=1))),
    ],
)
def test_what_was_typed_is_understood(text: str, understood: TypedQuery) -> None:
    assert read_query(text) == understood


@pytest.mark.parametrize("text", ["", "   ", "2026-13-45", "0001-01-01T00:00+14:00", "9999-12-31"])
def test_what_cannot_be_looked_for_is_said(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_query(text)
    assert [fault.field for fault in refused.value.fields] == ["q"]


def body(**customer: str) -> bytes:
    return orjson.dumps({"event_type": "order.created", "payload": {"originalOrderId": "H1", "customer": customer}})


def test_every_spelling_of_a_customer_has_the_same_digests_by_one_key() -> None:
    digests = PeopleDigests([b"new", b"old"])
    found = digests.of_body(
        body(name="Анна Семёнова", phone="8 (916) 123-45-67", email="ANNA@example.ru"), form="envelope"
    )
    again = digests.of_body(body(name="СЕМЕНОВА АННА", phone="+79161234567", email="anna@Example.ru "), form="envelope")
    assert found == again
    assert len(found) == 4
    assert all(-(2**63) <= digest < 2**63 for digest in found)
    new, old = digests.asked(["phone:+79161234567"])
    assert set(new) < set(found)
    assert not set(old) & set(found)
    assert set(old) < set(PeopleDigests([b"old"]).of_body(body(phone="89161234567", name="x"), form="envelope"))


@pytest.mark.parametrize(
    "raw", [b"", b"\xff", b"[]", b'{"payload": 7}', b'{"payload": {"customer": 7, "positions": [{"name": "a"}]}}']
)
def test_a_body_that_names_nobody_has_no_digests(raw: bytes) -> None:
    assert PeopleDigests([b"key"]).of_body(raw, form="envelope") == ()


def test_the_names_of_goods_are_nobodys() -> None:
    assert tokens_of({"positions": [{"id": "a", "name": "Анна"}], "name": "Заказ"}) == set()
