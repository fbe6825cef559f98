"""Website orders: what is taken, what it is called, and what is kept of one that is not taken."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from common.contracts import intake
from common.contracts.intake import IntakeMessage
from common.errors import Unavailable
from common.ids import order_number
from webhook_gateway.durable.keep_safe import KeepSafe
from webhook_gateway.durable.model import NoStoragePath, StoragePath
from webhook_gateway.hooks.model import Outcome, Verdict
from webhook_gateway.hooks.request import masked_headers
from webhook_gateway.website import model as website
from webhook_gateway.website.accept import AcceptWebsiteOrder, Refusal, Submission
from webhook_gateway.website.budget import RecordBudget
from webhook_gateway.website.callers import Caller
from webhook_gateway.website.limits import NamedOrder, OrderLimits
from webhook_gateway.website.metrics import WebsiteMetrics
from webhook_gateway.website.model import Admission, Category
from webhook_gateway.website.sites import Site

ORDER: dict[str, Any] = {
    "positions": [{"id": "1", "quantity": "2", "price": 85}],
    "customer": {"name": "Анна", "phone": "+79990001122", "email": "a@example.org"},
    "address": {"full_address": "Москва, Тверская 1"},
}
SUBMISSION = Submission(
    site=Site(),
    body=json.dumps(ORDER).encode(),
    headers="{}",
    received_at=datetime(2026, 11, 21, 7, tzinfo=UTC),
    traceparent=None,
    idempotency_key=None,
    manager=False,
)


class Paths(KeepSafe):
    """Remembers what it was given; refuses on command."""

    def __init__(self) -> None:
        self.kept: list[IntakeMessage] = []
        self.dead = False

    async def __call__(self, hook: IntakeMessage) -> StoragePath:
        if self.dead:
            raise NoStoragePath("both paths are dead")
        self.kept.append(hook)
        return "broker"


class Direct:
    """Takes what no path takes; refuses on command."""

    def __init__(self) -> None:
        self.kept: list[IntakeMessage] = []
        self.dead = False

    async def __call__(self, hook: IntakeMessage) -> None:
        if self.dead:
            raise Unavailable("the database is away")
        self.kept.append(hook)


class Limits(OrderLimits):
    """The limits on command; remembers what it was asked."""

    def __init__(self, answer: Admission | Exception | None = None) -> None:
        self.answer = answer or Admission(outcome="passed")
        self.asked: list[tuple[Caller, NamedOrder | None]] = []

    async def admit(self, caller: Caller, *, order: NamedOrder | None, source: str) -> Admission:
        self.asked.append((caller, order))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def accepting(
    limits: Limits | None = None, *, registry: CollectorRegistry | None = None, unproven: int = 1024**2
) -> tuple[AcceptWebsiteOrder, Paths, Direct]:
    paths, direct = Paths(), Direct()
    accept = AcceptWebsiteOrder(
        paths,
        direct,
        limits=limits or Limits(),
        budget=RecordBudget(proven=1024**2, unproven=unproven, monotonic=lambda: 0.0),
        metrics=WebsiteMetrics(registry or CollectorRegistry()),
        replica="gw-1",
    )
    return accept, paths, direct


async def test_a_good_order_is_created_and_published_as_its_payload() -> None:
    accept, paths, _ = accepting()
    body = json.dumps({**ORDER, "externalId": "W-1"}).encode()
    verdict = await accept(replace(SUBMISSION, body=body))
    number = order_number("website", "W-1")
    assert verdict == Verdict(status=201, event="order.created", outcome=Outcome.CONFIRMED, body={"number": number})
    [hook] = paths.kept
    assert (hook.type, hook.body_form, hook.external_id, hook.number, hook.body) == (
        intake.HOOK_RECEIVED,
        "payload",
        "W-1",
        number,
        body,
    )


async def test_the_same_idempotency_key_gives_the_same_order_and_the_same_event() -> None:
    accept, paths, _ = accepting()
    verdicts = [await accept(replace(SUBMISSION, idempotency_key="k-1")) for _ in range(2)]
    assert verdicts[0] == verdicts[1]
    assert paths.kept[0].event_id == paths.kept[1].event_id
    assert paths.kept[0].delivery_id != paths.kept[1].delivery_id


async def test_orders_without_id_and_key_are_different_orders() -> None:
    accept, paths, _ = accepting()
    for _ in range(2):
        await accept(SUBMISSION)
    assert paths.kept[0].number != paths.kept[1].number


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"positions": None}, "positions"),
        ({"positions": []}, "positions"),
        ({"positions": [{"id": "1"}]}, "positions.0.quantity"),
        ({"positions": [{"id": "1", "quantity": 1, "price": "dear"}]}, "positions.0.price"),
        ({"positions": [{"id": "1", "quantity": -5, "price": 10}]}, "positions.0.quantity"),
        ({"positions": [{"id": "1", "quantity": 1, "price": -1}]}, "positions.0.price"),
        ({"positions": [{"id": "1", "quantity": 1, "price": "1,299"}]}, "positions.0.price"),
        ({"total": {"totalPrice": "много"}}, "total.totalPrice"),
        ({"currency": "ZZZ"}, "currency"),
        ({"externalId": ""}, "externalId"),
    ],
)
async def test_what_does_not_fit_is_422_with_the_field_at_fault_and_endangered(
    change: dict[str, Any], field: str
) -> None:
    accept, paths, _ = accepting()
    verdict = await accept(replace(SUBMISSION, body=json.dumps({**ORDER, **change}).encode()))
    assert (verdict.status, verdict.outcome, [fault.field for fault in verdict.fields]) == (
        422,
        Outcome.REFUSED,
        [field],
    )
    [hook] = paths.kept
    assert (hook.type, hook.status, hook.reason) == (intake.WEBSITE_ORDER_REFUSED, 422, "front_end")
    assert json.loads(hook.answer or "")["fields"][0]["field"] == field


async def test_a_byte_order_mark_before_an_order_is_no_fault() -> None:
    accept, paths, _ = accepting()
    body = json.dumps({**ORDER, "externalId": "W-1"}).encode("utf-8-sig")
    verdict = await accept(replace(SUBMISSION, body=body))
    assert (verdict.status, [hook.body for hook in paths.kept]) == (201, [body])


async def test_what_is_no_json_is_400_and_endangered() -> None:
    accept, paths, _ = accepting()
    verdict = await accept(replace(SUBMISSION, body=b"nonsense"))
    assert (verdict.status, [hook.body for hook in paths.kept]) == (400, [b"nonsense"])


async def test_with_both_paths_dead_the_order_goes_into_the_database_and_the_answer_is_503() -> None:
    accept, paths, direct = accepting()
    paths.dead = True
    verdict = await accept(replace(SUBMISSION, idempotency_key="k-1"))
    assert (verdict.status, verdict.outcome) == (503, Outcome.REFUSED)
    [hook] = direct.kept
    assert (hook.type, hook.status, hook.reason, hook.external_id) == (
        intake.WEBSITE_ORDER_REFUSED,
        503,
        "back_end",
        website.external_id_from_key("k-1"),
    )


async def test_a_nameless_order_that_was_not_stored_keeps_its_number_when_resubmitted() -> None:
    accept, paths, direct = accepting()
    paths.dead = True
    await accept(SUBMISSION)
    [hook] = direct.kept
    assert hook.external_id is not None
    assert hook.number == order_number("website", hook.external_id)


async def test_with_everything_dead_the_answer_is_still_503_and_the_loss_is_counted() -> None:
    registry = CollectorRegistry()
    accept, paths, direct = accepting(registry=registry)
    paths.dead = direct.dead = True
    assert (await accept(SUBMISSION)).status == 503
    assert registry.get_sample_value("gateway_endangered_not_kept_total", {"reason": "nowhere"}) == 1


async def test_too_many_orders_are_429_with_the_time_to_wait_and_endangered() -> None:
    limits = Limits(Admission(outcome="limited", by=("address", "phone"), retry_after=17))
    accept, paths, _ = accepting(limits)
    verdict = await accept(replace(SUBMISSION, ip="2001:db8::7", idempotency_key="k-1"))
    assert verdict == Verdict(
        status=429,
        event="order.created",
        outcome=Outcome.REFUSED,
        code="too_many_requests",
        detail="too many orders by one address and phone",
        retry_after=17,
    )
    assert [(hook.status, hook.reason) for hook in paths.kept] == [(429, "banned")]
    caller = Caller(phone="+79990001122", address="москва тверская 1", ip="2001:db8::/64")
    [(asked, named)] = limits.asked
    assert (asked, named and (named.source, named.name)) == (caller, ("website", website.external_id_from_key("k-1")))


async def test_a_managers_token_never_meets_the_limits() -> None:
    limits = Limits()
    accept, _, _ = accepting(limits)
    assert (await accept(replace(SUBMISSION, manager=True))).status == 201
    assert limits.asked == [(Caller(), None)]


async def test_an_order_that_does_not_fit_is_not_counted_by_the_limits() -> None:
    limits = Limits()
    accept, _, _ = accepting(limits)
    assert (await accept(replace(SUBMISSION, body=b"{}"))).status == 422
    assert limits.asked == []


async def test_a_flood_is_counted_and_no_longer_kept() -> None:
    registry = CollectorRegistry()
    accept, paths, _ = accepting(registry=registry, unproven=1)
    refusal = Refusal(status=401, code="unauthorized", detail="a valid bearer token is needed")
    assert (await accept.refuse(SUBMISSION, refusal)).status == 401
    assert paths.kept == []
    assert registry.get_sample_value("gateway_endangered_not_kept_total", {"reason": "flood"}) == 1
    assert registry.get_sample_value("gateway_endangered_orders_total", {"category": "front_end"}) == 1


async def test_what_nobody_expected_is_503_kept_and_a_person_is_notified() -> None:
    accept, paths, _ = accepting(Limits(ZeroDivisionError()))
    verdict = await accept(SUBMISSION)
    assert (verdict.status, verdict.code) == (503, "internal_error")
    assert [(hook.status, hook.reason, hook.body) for hook in paths.kept] == [(503, "back_end", SUBMISSION.body)]


@pytest.mark.parametrize(
    ("change", "category"),
    [
        ({}, "front_end"),
        ({"manager_sign": True}, "manager_bypass_broken"),
        ({"body": json.dumps({**ORDER, "managerId": 7}).encode()}, "manager_bypass_broken"),
        ({"body": json.dumps({**ORDER, "manager": {"name": "Ольга"}}).encode()}, "manager_bypass_broken"),
        ({"body": json.dumps({**ORDER, "manager": None}).encode()}, "front_end"),
        ({"body": b'"manager"'}, "front_end"),
    ],
)
async def test_a_denied_order_that_a_manager_placed_says_that_the_bypass_is_broken(
    change: dict[str, Any], category: str
) -> None:
    accept, paths, _ = accepting()
    refusal = Refusal(status=401, code="unauthorized", detail="a valid bearer token is needed")
    await accept.refuse(replace(SUBMISSION, **change), refusal)
    assert [hook.reason for hook in paths.kept] == [category]


@pytest.mark.parametrize(
    ("status", "manager", "category"),
    [
        (401, False, Category.FRONT_END),
        (422, True, Category.FRONT_END),
        (429, False, Category.BANNED),
        (429, True, Category.MANAGER_BYPASS_BROKEN),
        (401, True, Category.MANAGER_BYPASS_BROKEN),
        (403, True, Category.MANAGER_BYPASS_BROKEN),
        (503, True, Category.BACK_END),
        (500, False, Category.BACK_END),
        (302, False, Category.BACK_END),
    ],
)
def test_the_status_says_where_to_look(status: int, manager: bool, category: Category) -> None:
    assert website.category_of(status, manager=manager) is category


def test_secrets_never_leave_the_headers() -> None:
    headers = [
        ("Client-Token", "t"),
        ("Authorization", "Bearer t"),
        ("Webhook-Signature", "v1,t"),
        ("Cookie", "t"),
        ("X-Service-Token", "t"),
        ("Content-Type", "application/json"),
        ("X-Odd", "a\x00\udcff" + "b" * 400),
    ]
    assert json.loads(masked_headers(headers)) == {
        "client-token": "***",
        "authorization": "***",
        "webhook-signature": "***",
        "cookie": "***",
        "x-service-token": "***",
        "content-type": "application/json",
        "x-odd": "a\ufffd?" + "b" * 297,
    }


def test_a_header_that_an_authentication_names_is_masked_whatever_its_name() -> None:
    headers = [("X-Hub-Signature-256", "sha256=ab"), ("Content-Type", "application/json")]
    assert json.loads(masked_headers(headers, frozenset({"x-hub-signature-256"}))) == {
        "x-hub-signature-256": "***",
        "content-type": "application/json",
    }
