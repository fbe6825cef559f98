"""Trust, YooKassa and feedback over HTTP, as the services' adapters meet them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from sandbox.testing import RunningSandbox, running_sandbox
from tests.support.clocks import SandboxClock

TRUST = {"X-Service-Token": "trust"}
REFUND = {"payment_id": "p1", "amount": 300, "currency": "RUB"}
YOO = aiohttp.encode_basic_auth("shop", "key")
YOO_REFUND = {"payment_id": "y1", "amount": {"value": "3.00", "currency": "RUB"}}


@pytest.fixture
async def clock() -> SandboxClock:
    return SandboxClock()


@pytest.fixture
async def sandbox(clock: SandboxClock) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(
        clock=clock, trust_service_token="trust", yookassa_shop_id="shop", yookassa_secret_key="key"
    ) as running:
        await running.put_payment("p1", captured=1000)
        await running.control("PUT", "/sandbox/yookassa/payments/y1", {"captured": 1000})
        yield running


class Api:
    """A plain client of the sandbox; answers (status, body)."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self._sandbox = sandbox

    async def trust(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> tuple[int, Any]:
        headers = TRUST | ({"X-Idempotency-Key": key} if key else {})
        return await self.call(method, f"/trust-payments/v2{path}", json=body, headers=headers)

    async def yoo(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> tuple[int, Any]:
        return await self.call(
            method, f"/v3{path}", json=body, headers={"Authorization": YOO, "Idempotence-Key": key or ""}
        )

    async def call(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        async with self._sandbox.session.request(method, self._sandbox.url + path, **arguments) as response:
            return response.status, await response.json()


@pytest.fixture
async def api(sandbox: RunningSandbox) -> Api:
    return Api(sandbox)


async def test_a_refund_is_created_started_and_polled_to_its_end(sandbox: RunningSandbox, api: Api) -> None:
    status, created = await api.trust("POST", "/refunds", REFUND, key="k1")
    refund_id = created["trust_refund_id"]
    assert status == 200
    started = await api.trust("POST", f"/refunds/{refund_id}/start", key="k1")
    polls = [(await api.trust("GET", f"/refunds/{refund_id}"))[1]["status"] for _ in range(3)]
    assert (started[0], started[1]["status"], polls) == (
        200,
        "wait_for_notification",
        ["wait_for_notification", "success", "success"],
    )
    assert await api.trust("GET", "/payments/p1") == (
        200,
        {"payment_id": "p1", "status": "cleared", "captured": 1000, "currency": "RUB"},
    )
    [ledger] = (await sandbox.control("GET", "/sandbox/trust/ledger"))["items"]
    assert (ledger["refunded"], ledger["spent"], ledger["captured"]) == (300, 300, 1000)
    operations = [entry["operation"] for entry in await sandbox.log("trust")]
    assert operations == ["create_refund", "start_refund", *["get_refund"] * 3, "get_payment"]


async def test_the_same_key_sent_many_times_at_once_makes_one_refund(sandbox: RunningSandbox, api: Api) -> None:
    answers = await asyncio.gather(*(api.trust("POST", "/refunds", REFUND, key="k1") for _ in range(20)))
    assert len({body["trust_refund_id"] for _, body in answers}) == 1
    [ledger] = (await sandbox.control("GET", "/sandbox/trust/ledger"))["items"]
    assert ledger["spent"] == 300


@pytest.mark.parametrize(
    ("key", "body", "status", "code"),
    [
        (None, REFUND, 400, "idempotency_key_missing"),
        ("k1", REFUND | {"amount": 301}, 409, "idempotency_key_reused"),
        ("k2", REFUND | {"payment_id": "p9"}, 404, "payment_not_found"),
        ("k2", REFUND | {"amount": 701}, 422, "refund_exceeds_captured"),
        ("k2", REFUND | {"currency": "USD"}, 422, "currency_mismatch"),
        ("k2", REFUND | {"amount": "300"}, 400, "invalid_request"),
        ("k2", REFUND | {"amount": 0}, 400, "invalid_request"),
    ],
)
async def test_trust_refuses_what_does_not_fit(
    api: Api, key: str | None, body: dict[str, Any], status: int, code: str
) -> None:
    await api.trust("POST", "/refunds", REFUND, key="k1")
    answered, refusal = await api.trust("POST", "/refunds", body, key=key)
    assert (answered, refusal["status_code"]) == (status, code)


async def test_trust_knows_its_callers(api: Api) -> None:
    for headers in ({}, {"X-Service-Token": "other"}):
        status, body = await api.call("GET", "/trust-payments/v2/payments/p1", headers=headers)
        assert (status, body["status_code"]) == (401, "unauthorized")


async def test_a_lost_answer_leaves_a_refund_that_the_same_key_finds_again(sandbox: RunningSandbox, api: Api) -> None:
    await sandbox.fault("trust", mode="lost_response", count=1, match="create_refund")
    with pytest.raises(aiohttp.ClientError):
        await api.trust("POST", "/refunds", REFUND, key="k1")
    status, found = await api.trust("POST", "/refunds", REFUND, key="k1")
    assert (status, found["trust_refund_id"]) == (200, "trust-refund-000001")
    [ledger] = (await sandbox.control("GET", "/sandbox/trust/ledger"))["items"]
    assert len(ledger["refunds"]) == 1


async def test_an_error_can_hide_that_the_refund_was_made(sandbox: RunningSandbox, api: Api) -> None:
    await sandbox.fault("trust", mode="error", count=1, effect=True)
    status, error = await api.trust("POST", "/refunds", REFUND, key="k1")
    assert (status, error["status_code"]) == (500, "technical_error")
    [entry] = await sandbox.log("trust")
    assert (entry["fault"], entry["effect"]) == ("error", True)
    [ledger] = (await sandbox.control("GET", "/sandbox/trust/ledger"))["items"]
    assert ledger["spent"] == 300


async def test_a_declined_refund_fails_later_and_a_status_can_be_forced(sandbox: RunningSandbox, api: Api) -> None:
    await sandbox.put_payment("p2", captured=500, polls=0)
    await sandbox.fault("trust", mode="declined", count=1)
    _, created = await api.trust("POST", "/refunds", REFUND | {"payment_id": "p2"}, key="k1")
    path = f"/refunds/{created['trust_refund_id']}"
    await api.trust("POST", f"{path}/start")
    _, failed = await api.trust("GET", path)
    assert (failed["status"], failed["status_desc"]) == ("failed", "not_enough_funds")
    forced = {"status": "success", "status_desc": "late"}
    await sandbox.control("PUT", f"/sandbox/trust/refunds/{created['trust_refund_id']}", forced)
    _, shown = await api.trust("GET", path)
    assert (shown["status"], shown["status_desc"]) == ("success", "late")


async def test_a_payment_can_end_its_refunds_in_an_error(sandbox: RunningSandbox, api: Api) -> None:
    await sandbox.put_payment("p3", captured=500, polls=0, outcome="error")
    _, created = await api.trust("POST", "/refunds", REFUND | {"payment_id": "p3"}, key="k1")
    path = f"/refunds/{created['trust_refund_id']}"
    await api.trust("POST", f"{path}/start")
    assert (await api.trust("GET", path))[1]["status"] == "error"


async def test_yookassa_refunds_at_once_and_answers_the_same_key_with_the_same_refund(api: Api) -> None:
    first = await api.yoo("POST", "/refunds", YOO_REFUND, key="k1")
    assert await api.yoo("POST", "/refunds", YOO_REFUND, key="k1") == first
    status, refund = first
    assert (status, refund["status"], refund["amount"]) == (200, "succeeded", {"value": "3.00", "currency": "RUB"})
    assert await api.yoo("GET", f"/refunds/{refund['id']}") == (200, refund)
    _, payment = await api.yoo("GET", "/payments/y1")
    assert payment["refunded_amount"] == {"value": "3.00", "currency": "RUB"}


async def test_yookassa_forgets_a_key_after_a_day(api: Api, clock: SandboxClock) -> None:
    _, first = await api.yoo("POST", "/refunds", YOO_REFUND, key="k1")
    clock.advance(24 * 3600 + 1)
    _, second = await api.yoo("POST", "/refunds", YOO_REFUND, key="k1")
    assert first["id"] != second["id"]


@pytest.mark.parametrize(
    ("key", "body", "status", "code", "parameter"),
    [
        ("", YOO_REFUND, 400, "invalid_request", "Idempotence-Key"),
        ("k" * 65, YOO_REFUND, 400, "invalid_request", "Idempotence-Key"),
        ("k1", YOO_REFUND | {"description": "other"}, 400, "invalid_request", "Idempotence-Key"),
        ("k2", YOO_REFUND | {"payment_id": "y9"}, 400, "invalid_request", "payment_id"),
        ("k2", YOO_REFUND | {"amount": {"value": "7.01", "currency": "RUB"}}, 400, "invalid_request", "amount.value"),
        ("k2", YOO_REFUND | {"amount": {"value": 7, "currency": "RUB"}}, 400, "invalid_request", "amount.value"),
        (
            "k2",
            YOO_REFUND | {"amount": {"value": "1.00", "currency": "USD"}},
            400,
            "invalid_request",
            "amount.currency",
        ),
    ],
)
async def test_yookassa_refuses_with_its_documented_error(
    api: Api, key: str, body: dict[str, Any], status: int, code: str, parameter: str
) -> None:
    await api.yoo("POST", "/refunds", YOO_REFUND, key="k1")
    answered, error = await api.yoo("POST", "/refunds", body, key=key)
    assert (answered, error["type"], error["code"], error["parameter"]) == (status, "error", code, parameter)


async def test_yookassa_knows_its_shops_and_its_refunds(api: Api) -> None:
    status, error = await api.call(
        "GET", "/v3/refunds/x", headers={"Authorization": aiohttp.encode_basic_auth("shop", "other")}
    )
    assert (status, error["code"]) == (401, "invalid_credentials")
    status, error = await api.yoo("GET", "/refunds/x")
    assert (status, error["code"]) == (404, "not_found")


async def test_a_yookassa_refund_can_stay_pending_and_be_canceled(sandbox: RunningSandbox, api: Api) -> None:
    await sandbox.control("PUT", "/sandbox/yookassa/payments/y1", {"captured": 1000, "polls": 2, "outcome": "canceled"})
    _, refund = await api.yoo("POST", "/refunds", YOO_REFUND, key="k1")
    shown = [(await api.yoo("GET", f"/refunds/{refund['id']}"))[1] for _ in range(2)]
    assert [refund["status"], *(each["status"] for each in shown)] == ["pending", "pending", "canceled"]
    assert shown[-1]["cancellation_details"] == {"party": "refund_network", "reason": "insufficient_funds"}


async def test_feedback_is_what_the_customer_last_said(sandbox: RunningSandbox, api: Api) -> None:
    assert await api.call("GET", "/feedback/v1/orders/n1") == (404, {"code": "not_found"})
    said = {"rating": 5, "tips": {"type": "percent", "value": "10"}, "choice": "suggested", "done": True}
    await sandbox.put_feedback("n1", **said)
    assert await api.call("GET", "/feedback/v1/orders/n1") == (200, said | {"updated_at": "2026-11-21T07:00:00+00:00"})
    with pytest.raises(AssertionError, match="422"):
        await sandbox.put_feedback("n1", rating=6)
    with pytest.raises(AssertionError, match="422"):
        await sandbox.put_feedback("n1", tips={"type": "flat", "value": "many"})
    await sandbox.fault("feedback", mode="error", count=1)
    assert (await api.call("GET", "/feedback/v1/orders/n1"))[0] == 500


async def test_trust_lists_forgets_and_lets_go_of_what_was_not_captured(
    api: Api, sandbox: RunningSandbox, clock: SandboxClock
) -> None:
    _, first = await api.trust("POST", "/refunds", REFUND, key="k1")
    clock.advance(7 * 86400 - 1)
    assert (await api.trust("POST", "/refunds", REFUND, key="k1"))[1] == first
    clock.advance(1)
    _, second = await api.trust("POST", "/refunds", REFUND, key="k1")
    assert second != first
    await sandbox.control("POST", "/sandbox/trust/forget-keys")
    await api.trust("POST", "/refunds", REFUND, key="k1")
    since = "2026-11-22T00:00:00%2B00:00"
    _, week = await api.trust("GET", f"/refunds?from=2026-11-01T00:00:00Z&to={since}&limit=10")
    clock.advance(1)
    until = clock.now().isoformat().replace("+", "%2B")
    _, later = await api.trust("GET", f"/refunds?from={since}&to={until}&limit=1")
    _, last = await api.trust("GET", f"/refunds?from={since}&to={until}&limit=1&cursor={later['next_cursor']}")
    assert [one["trust_refund_id"] for page in (week, later, last) for one in page["items"]] == [
        first["trust_refund_id"],
        second["trust_refund_id"],
        "trust-refund-000003",
    ]
    assert last["next_cursor"] is None

    await sandbox.put_payment("held", captured=0, held=500)
    answers = [await api.trust("POST", "/payments/held/unhold", key="c") for _ in range(2)]
    assert answers == [(200, {"payment_id": "held", "status": "cancelled"})] * 2
    assert (await api.trust("POST", "/payments/p1/unhold", key="c"))[0] == 422


async def test_a_late_call_is_cut_at_once_and_takes_effect_when_it_is_let_go(api: Api, sandbox: RunningSandbox) -> None:
    await sandbox.fault("trust", mode="late", count=1, match="create_refund")
    with pytest.raises(aiohttp.ClientError):
        await api.trust("POST", "/refunds", REFUND, key="late")
    _, newer = await api.trust("POST", "/refunds", REFUND, key="newer")
    assert newer["trust_refund_id"] == "trust-refund-000001"
    assert await sandbox.control("POST", "/sandbox/trust/late") == {"took_effect": 1}
    [ledger] = (await sandbox.control("GET", "/sandbox/trust/ledger"))["items"]
    assert [one["idempotency_key"] for one in ledger["refunds"]] == ["newer", "late"]


async def test_yookassa_lists_by_payment_and_time_keeps_metadata_and_cancels(api: Api, sandbox: RunningSandbox) -> None:
    await sandbox.control("PUT", "/sandbox/yookassa/payments/y2", {"captured": 0, "held": 700})
    body = YOO_REFUND | {"metadata": {"our": "key"}}
    _, made = await api.yoo("POST", "/refunds", body, key="k1")
    assert made["metadata"] == {"our": "key"}
    assert (await api.yoo("GET", "/refunds?payment_id=y1"))[1] == {"type": "list", "items": [made]}
    assert (await api.yoo("GET", "/refunds?payment_id=y2"))[1]["items"] == []
    assert (await api.yoo("GET", "/refunds?created_at.gte=2030-01-01T00:00:00Z"))[1]["items"] == []
    assert (await api.yoo("GET", "/refunds?limit=101"))[0] == 400
    status, cancelled = await api.yoo("POST", "/payments/y2/cancel", {}, key="c")
    assert (status, cancelled["status"], cancelled["amount"]["value"]) == (200, "canceled", "7.00")
    assert (await api.yoo("POST", "/payments/y1/cancel", {}, key="c"))[0] == 400
    taken_back = await sandbox.control("PUT", f"/sandbox/yookassa/refunds/{made['id']}", {"status": "canceled"})
    assert taken_back["status"] == "canceled"
    ledgers = (await sandbox.control("GET", "/sandbox/yookassa/ledger"))["items"]
    assert [[one["payouts"] for one in item["refunds"]] for item in ledgers] == [[1], []]
