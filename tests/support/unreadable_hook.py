"""A hook that no orchestrator can read, as a gateway of another release might pass one on: the order's workflow crashes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from common.contracts import Envelope
from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.ids import new_id
from common.messaging import Broker

POSITION = "sku-1"


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


async def publish_unreadable_change(
    amqp_url: str, order: Mapping[str, Any], *, quantity: str = "a few", **more: Any
) -> None:
    """Publish an ``order.changed`` of this order with a quantity that is no number, and ``more`` in its body."""
    now = datetime.now(UTC)
    hook = IntakeMessage(
        type=HOOK_RECEIVED,
        event_id=new_id(),
        delivery_id=new_id(),
        source=order["source"],
        event="order.changed",
        body_form="payload",
        body=json.dumps({"positions": [{"id": POSITION, "quantity": quantity}], **more}).encode(),
        received_at=now,
        replica="another",
        number=order["number"],
        external_id=order["external_id"],
        sent_at=now.isoformat(),
    )
    await publish_as_another(amqp_url, hook.to_envelope())
