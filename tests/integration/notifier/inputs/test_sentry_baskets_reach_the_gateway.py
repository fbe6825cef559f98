"""A front end's error with a basket, reported by Sentry, is an incident here and an endangered order at the gateway."""

from __future__ import annotations

import json
import uuid
from typing import Any

import aio_pika

from common.contracts import Envelope
from common.contracts.intake import FRONTEND_ERROR_REPORTED, IntakeMessage
from common.messaging.topology import RECORDER
from tests.integration.notifier.factories import Kit, MakeKit
from tests.support.servers import eventually

ORDER = {
    "externalId": "W-7",
    "positions": [{"id": "sku-1", "quantity": 1}],
    "customer": {"name": "Анна", "phone": "+79990001122"},
}
ALERT: dict[str, Any] = {
    "action": "triggered",
    "data": {
        "event": {
            "event_id": "0476467adf8f499ea795a48fcc4bf290",
            "issue_id": "17",
            "title": "HttpError: 422 for +79990001122",
            "level": "error",
            "datetime": "2026-11-21T06:59:00Z",
            "web_url": "https://sentry.example/17",
            "extra": {"order": ORDER, "answer": {"status": 422, "code": "unprocessable"}},
        }
    },
}


async def recorded(kit: Kit) -> list[IntakeMessage]:
    """Take everything out of the recorder's queue."""
    hooks: list[IntakeMessage] = []
    connection = await aio_pika.connect(kit.amqp_url)
    async with connection:
        queue = await (await connection.channel()).get_queue(RECORDER.name)
        while (message := await queue.get(fail=False, no_ack=True)) is not None:
            hooks.append(IntakeMessage.from_envelope(Envelope.decode(message.body)))
    return hooks


async def test_a_basket_goes_to_the_gateway_whole_and_chats_get_no_customers_data(make_kit: MakeKit) -> None:
    kit = await make_kit()
    first = await kit.call("POST", "/alerts/v1/sentry", role="internal", body=ALERT)
    again = await kit.call("POST", "/alerts/v1/sentry", role="internal", body=ALERT)
    assert first == again
    status, answer = first
    assert (status, answer["incidents"]) == (200, [1])
    hooks = await eventually(lambda: recorded(kit), what="the event")
    [hook] = {each.delivery_id: each for each in hooks}.values()
    assert (hook.type, hook.delivery_id, hook.status, hook.external_id, hook.reason) == (
        FRONTEND_ERROR_REPORTED,
        answer["endangered_order"],
        422,
        "W-7",
        "front_end",
    )
    assert str(uuid.UUID(hook.delivery_id)) == hook.delivery_id
    assert json.loads(hook.body) == ORDER
    _, incidents = await kit.call("GET", "/admin/v1/incidents")
    assert "79990001122" not in str(incidents)
    assert (await kit.call("POST", "/alerts/v1/sentry", body=ALERT))[0] == 403
    plain = {"action": "created", "data": {"installation": {"uuid": "u"}}}
    assert await kit.call("POST", "/alerts/v1/sentry", role="internal", body=plain) == (
        200,
        {"incidents": [], "endangered_order": None},
    )
