"""A hook that no orchestrator can read, as a gateway of another release might pass one on: the order's workflow crashes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suite_local.practise import publish_as_another, unreadable_change

POSITION = "sku-1"


async def publish_unreadable_change(
    amqp_url: str, order: Mapping[str, Any], *, quantity: str = "a few", **more: Any
) -> None:
    """Publish an ``order.changed`` of this order with a quantity that is no number, and ``more`` in its body."""
    await publish_as_another(amqp_url, unreadable_change(order, position=POSITION, quantity=quantity, **more))
