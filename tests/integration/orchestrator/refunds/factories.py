"""Orders that were paid, and a refunds service that answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from common.contracts.envelope import Envelope, Message
from common.contracts.refunds import RefundStateChangedV1
from common.ids import new_id
from tests.support.servers import eventually

STATES = {"CREATE": 2, "SUCCESS": 5, "ERROR": 7, "REVERSED": 9, "REJECTED": 10, "CLOSED": 12}


async def paid_order(api: Any, gateway: Any, name: str, *, payment: str | None = "pay-1", paid: bool = True) -> str:
    """Make an order of three a at 85.00 and one b at 100.00, delivered; return its number."""
    number: str = gateway.number(name)
    goods = [gateway.position("a", 3, "85.00"), gateway.position("b", 1, "100.00")]
    how: dict[str, Any] = {"method": "card"} | ({} if payment is None else {"id": payment})
    hooks = [gateway.hook(name, "order.created", minute=1, positions=goods, payment=how)]
    if paid:
        hooks += [gateway.hook(name, "order.paid", minute=2), gateway.hook(name, "order.delivered", minute=3)]
    await gateway.send(*hooks)

    async def known() -> Any:
        status, order = await api.call("GET", f"/orders/v1/orders/{number}")
        return status == 200 and order["status"] == ("delivered" if paid else "created")

    await eventually(known)
    return number


async def publish(gateway: Any, message: Message, number: str) -> None:
    """Say something as the refunds service."""
    envelope = Envelope.of(
        message, event_id=new_id(), source="/refunds", subject=number, time=datetime.now(UTC), traceparent=None
    )
    await gateway.broker.publisher.publish(envelope)


async def moved(gateway: Any, asked: dict[str, Any], state: str, version: int, amount: int, **more: Any) -> None:
    """Let a refund go into a state."""
    message = RefundStateChangedV1(
        refund_id=f"refund of {asked['business_key']}", order_number=asked["number"], payment_id=asked["payment_id"],
        business_key=asked["business_key"], state=STATES[state], state_name=state, version=version, attempt=1, amount=amount,
        currency="RUB", reason="r", occurred_at=datetime.now(UTC), **more,
    )  # fmt: skip
    await publish(gateway, message, asked["number"])


async def workflow_of(api: Any, asked: dict[str, Any]) -> Any:
    """Return the workflow that follows a refund."""
    items = await api.all(f"/admin/v1/workflows?order_number={asked['number']}&kind=refund_request")
    (found,) = [item for item in items if item["key"] == asked["business_key"]]
    return found


async def in_state(api: Any, asked: dict[str, Any], state: str, done: int) -> None:
    """Wait until the workflow of a refund has carried so many events out and is in a state."""

    async def there() -> Any:
        workflow = await workflow_of(api, asked)
        assert (workflow["state_name"], workflow["done_seq"]) == (state, done)
        return True

    await eventually(there)
