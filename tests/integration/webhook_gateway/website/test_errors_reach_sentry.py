"""A failed order request reaches Sentry with stack, answer and basket, without the customer: the real SDK, the sandbox's ingest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from common.messaging.publisher import Publisher
from common.telemetry.sentry import setup_sentry
from sandbox.testing import RunningSandbox, running_sandbox
from tests.integration.webhook_gateway.conftest import Start, bearer
from tests.support.servers import eventually, proxied

ORDERS = "/api/v1/orders/"
ORDER: dict[str, Any] = {
    "externalId": "W-1",
    "positions": [
        {"id": "sku-1", "quantity": 2, "price": "85.00", "comment": "для Анны"},
        {"id": "sku-2", "quantity": "0.5", "totalPrice": "99.90"},
    ],
    "customer": {"name": "Анна Каренина", "phone": "+79990001122", "email": "anna@customer.example"},
    "address": {"full_address": "Тверская 1"},
}
SAID = f"for {ORDER['customer']['phone']}, {ORDER['customer']['email']}"
SECRETS = ("79990001122", "Анн", "Карен", "anna@", "Тверская", "website-token")


@asynccontextmanager
async def reporting() -> AsyncIterator[RunningSandbox]:
    """A sandbox, and this process reporting to its Sentry as a gateway's does."""
    async with running_sandbox() as sandbox:
        close = setup_sentry(
            dsn=sandbox.sentry_dsn, environment="testing", release="1", service="webhook-gateway", replica="gw-1"
        )
        try:
            yield sandbox
        finally:
            await asyncio.to_thread(close)


async def reported(sandbox: RunningSandbox) -> tuple[dict[str, Any], str]:
    """Wait for the one event; return it, and the whole envelope as text.

    What the AMQP library logs as an error is reported too, and is not what these tests are about.
    """

    async def ours() -> list[dict[str, Any]]:
        events = await sandbox.log("sentry")
        return [
            each for each in events if not str(each["request"]["items"][0]["payload"].get("logger")).startswith("aio")
        ]

    [entry] = await eventually(ours, what="an event")
    [item] = entry["request"]["items"]
    payload: dict[str, Any] = item["payload"]
    return payload, json.dumps(entry["request"], ensure_ascii=False)


async def test_an_order_that_failed_unexpectedly_is_reported_kept_and_answered_503(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError(SAID)

    async with reporting() as sandbox, start() as gateway:
        monkeypatch.setattr(Publisher, "publish_raw", send)
        status, problem, _ = await gateway.send(ORDER, path=ORDERS, headers=bearer("website"))
        assert (status, problem["code"]) == (503, "internal_error")
        event, text = await reported(sandbox)
        [value] = event["exception"]["values"]
        assert value["type"] == "ZeroDivisionError"
        functions = [frame["function"] for frame in value["stacktrace"]["frames"]]
        assert functions[-1] == "send"
        assert {"_take", "_by_broker"} <= set(functions)
        suite = event["contexts"]["suite"]
        assert (suite["answer"]["status"], suite["answer"]["code"]) == (503, "internal_error")
        assert json.loads(suite["basket_state"]) == [
            {"id": "sku-1", "quantity": "2", "price": "85.00"},
            {"id": "sku-2", "quantity": "0.5", "totalPrice": "99.90"},
        ]
        assert event["tags"]["service"] == "webhook-gateway"
        for secret in SECRETS:
            assert secret not in text
        # The storage paths are what failed, so it went straight into the database: with the customer.
        [item] = (await gateway.get("/admin/v1/endangered-orders", role="operator"))["items"]
        assert (item["status"], item["category"], item["customer"]) == (503, "back_end", ORDER["customer"])


async def test_an_order_that_nothing_can_store_is_reported_too(start: Start, amqp_url: str) -> None:
    async with reporting() as sandbox, proxied(amqp_url) as (proxy, address):
        proxy.refuse()
        async with start(ready=False, amqp_url=SecretStr(address), spool_limit_bytes=1024**2) as gateway:
            large = {**ORDER, "comment": "x" * 900_000}
            assert (await gateway.send(large, path=ORDERS, headers=bearer("website")))[0] == 503
            event, text = await reported(sandbox)
            [value] = event["exception"]["values"]
            assert (value["type"], value["stacktrace"]["frames"][-1]["function"]) == ("NoStoragePath", "__call__")
            assert event["contexts"]["suite"]["answer"]["code"] == "no_lane"
            assert "sku-2" in event["contexts"]["suite"]["basket_state"]
            for secret in SECRETS:
                assert secret not in text


async def test_an_order_refused_for_its_own_faults_is_no_error_of_ours(start: Start) -> None:
    async with reporting() as sandbox, start() as gateway:
        assert (await gateway.send({**ORDER, "positions": []}, path=ORDERS, headers=bearer("website")))[0] == 422
        await gateway.deliveries(1)
        assert await sandbox.log("sentry") == []
