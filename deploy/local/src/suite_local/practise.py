"""Trouble to practise on in a local suite: a late notice, a workflow that crashed, a customer's order that was refused."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import structlog

from common.contracts import Envelope
from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.ids import new_id
from common.messaging import Broker
from suite_local.catalogue import GATEWAY, ORCHESTRATOR, SANDBOX
from suite_local.errors import NotReadyError, SuiteLocalError
from suite_local.paths import RunDirectory

_SEEN_WITHIN_S = 60.0
_REFUSALS = 3


def practise(directory: RunDirectory) -> list[str]:
    """Make one of each in the suite that runs; return what was made and where to go on. Every call makes new ones.

    Nothing is put into a database: Telegram fails, another release's gateway sends what this one cannot read, a website sends no basket.
    """
    if not directory.suite_json.exists():
        raise SuiteLocalError("the suite does not run: `make up` starts it")
    # What a broker's client logs of its connection is no news to whoever practises.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    return asyncio.run(_make(json.loads(directory.suite_json.read_text())))


def unreadable_change(order: Mapping[str, Any], *, position: str, quantity: str = "a few", **more: Any) -> Envelope:
    """Return an ``order.changed`` of this order with a quantity that is no number, and ``more`` in its body.

    A gateway of another release might pass it on so; no orchestrator of this one can carry it out, and the order's workflow crashes.
    """
    now = datetime.now(UTC)
    return IntakeMessage(
        type=HOOK_RECEIVED,
        event_id=new_id(),
        delivery_id=new_id(),
        source=order["source"],
        event="order.changed",
        body_form="payload",
        body=json.dumps({"positions": [{"id": position, "quantity": quantity}], **more}).encode(),
        received_at=now,
        replica="another",
        number=order["number"],
        external_id=order["external_id"],
        sent_at=now.isoformat(),
    ).to_envelope()


async def publish_as_another(amqp_url: str, event: Envelope) -> None:
    """Publish a message, as a service of another release would."""
    broker = Broker(amqp_url, name="another-release")
    task = asyncio.create_task(broker.run())
    try:
        await broker.wait_ready()
        await broker.publisher.publish(event, deadline=15.0)
    finally:
        await broker.stop()
        await task


async def _make(suite: dict[str, Any]) -> list[str]:
    sandbox = suite["infrastructure"][SANDBOX]["url"]
    orchestrator, gateway = (suite["services"][service.name]["url"] for service in (ORCHESTRATOR, GATEWAY))
    tokens = suite["tokens"]
    async with aiohttp.ClientSession() as session:

        async def call(method: str, url: str, token: str = "", body: Any = None, *, fine: int = 200) -> Any:
            headers = {"Authorization": f"Bearer {tokens[token]}"} if token else {}
            async with session.request(method, url, json=body, headers=headers) as answer:
                content = await answer.json(content_type=None)
                if answer.status not in {fine, 404}:
                    raise SuiteLocalError(f"{url} answered {answer.status}: {content}")
                return content if answer.status == fine else {}

        async def until(url: str, token: str, there: str) -> Any:
            deadline = time.monotonic() + _SEEN_WITHIN_S
            while time.monotonic() < deadline:
                if (page := await call("GET", url, token)).get(there):
                    return page
                await asyncio.sleep(0.2)
            raise NotReadyError(f"{url} had no {there} within {_SEEN_WITHIN_S:g} s")

        faults = {"mode": "error", "count": _REFUSALS}
        await call("POST", f"{sandbox}/sandbox/telegram/faults", body=faults, fine=201)
        play = {
            "orders": 1,
            "lifecycle": "full",
            "positions": 2,
            "payments": True,
            "id_prefix": f"practise-{new_id()[:13]}-",
        }
        [played] = (await call("POST", f"{sandbox}/sandbox/marketplace/play", body=play))["orders"]
        number = played["number"]
        order = await until(f"{orchestrator}/orders/v1/orders/{number}", "internal", "positions")
        rabbitmq = suite["infrastructure"]["rabbitmq"]["url"]
        await publish_as_another(rabbitmq, unreadable_change(order, position=order["positions"][0]["id"]))
        crashed = f"{orchestrator}/admin/v1/workflows?state=crashed&order_number={number}"
        workflow = (await until(crashed, "viewer", "items"))["items"][0]["id"]
        failed = f"{orchestrator}/admin/v1/workflow-events?state=failed&workflow_id={workflow}"
        event = (await until(failed, "viewer", "items"))["items"][0]["id"]
        basket = {"customer": {"name": "Anna", "phone": "+79990001122"}, "positions": "milk"}
        await call("POST", f"{gateway}/api/v1/orders/", "website", basket, fine=422)
    return [
        f"order {number}: paid and delivered. Telegram failed {_REFUSALS} times, so a notice was late:",
        f"    ordersctl message list --order {number}",
        f"    ordersctl order refund {number} --amount 1.00 --wait",
        f"workflow {workflow} of it has crashed of a change whose quantity is no number. To repeat it is not enough:",
        f"    ordersctl workflow retry {workflow} --wait",
        f"    ordersctl event show {event}        what failed; then `ordersctl event skip {event}`, or `mend {event} --payload @FILE`",
        "a website's order was refused, for its basket is one word:",
        "    ordersctl endangered list --state open",
        "people are told of both: ordersctl status, ordersctl incident list --state open",
    ]
