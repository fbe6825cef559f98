"""Messages that are well-formed and senseless, in each queue: carried out, failed alone or a dead letter; the order after them is taken."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from common.contracts.envelope import Envelope
from common.contracts.journal import JournalEntryV1
from common.contracts.refunds import RefundRejectedV1, RefundStateChangedV1
from common.ids import new_id, order_number
from common.testing import eventually
from tests.integration.orchestrator.conftest import Gateway, Start
from tests.support.strange import decided, foreseen, publish_strange, strange

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
SOUND = (
    JournalEntryV1(
        order_number="7Q3M", service="s", kind="k", actor="a", summary="s", details={"a": "b"}, occurred_at=NOW
    ),
    RefundStateChangedV1(
        refund_id="0190b5f0-0000-7000-8000-000000000001",
        order_number="7Q3M",
        payment_id="p",
        business_key="7Q3M:cancel",
        state=5,
        state_name="SUCCESS",
        version=4,
        attempt=1,
        amount=100,
        currency="RUB",
        reason="r",
        error="e",
        occurred_at=NOW,
    ),
    RefundRejectedV1(
        order_number="7Q3M", payment_id="p", business_key="7Q3M:cancel", code="c", detail="d", occurred_at=NOW
    ),
)


async def test_each_strange_message_is_decided_and_the_next_order_is_taken(
    start: Start, gateway: Gateway, database: Any, amqp_url: str
) -> None:
    api = await start()
    events = [Envelope.of(message, event_id=new_id(), source="/test", subject="7Q3M", time=NOW) for message in SOUND]
    published = await publish_strange(amqp_url, events)
    hook = gateway.hook("ODD", "order.created", positions=[gateway.position("a")])
    body = json.loads(hook.body)
    exchange = gateway.broker.publisher
    for event in ("order.created", "order.changed", "order.paid"):
        for what, changed in strange(body):
            name = f"ODD-{len(published)}"
            number = order_number("sbermarket", name)
            document = json.loads(gateway.hook(name, event, positions=[gateway.position("a")]).to_envelope().encode())
            document["data_base64"] = base64.b64encode(json.dumps(changed).encode()).decode()
            document["id"] = new_id()
            published[document["id"]] = f"{event} {what}"
            await exchange.publish(Envelope.decode(json.dumps(document).encode()))
            assert number
    # And what the gateway says of it beside the body.
    document = json.loads(hook.to_envelope().encode())
    kept = {name: document.pop(name) for name in ("specversion", "id", "type", "data_base64", "datacontenttype")}
    for what, changed in strange(document):
        try:
            one = Envelope.decode(json.dumps({**kept, **changed, "id": new_id()}).encode())
        except ValueError:
            continue
        published[one.id] = f"envelope {what}"
        await exchange.publish(one)
    dead = await decided(published, database.fetch, within=240)
    print(
        len(published), "\n".join(f"DEAD {what}: {error}" for what, error in sorted(dead.items()) if not foreseen(what))
    )
    await gateway.send(gateway.hook("LAST", "order.created", positions=[gateway.position("a")]))

    async def taken() -> Any:
        return await api.order(gateway.number("LAST"))

    await eventually(taken)
    for path in ("workflows", "workflow-events?state=failed", "dead-letters"):
        print(path, len(await api.all(f"/admin/v1/{path}")))
    print(await database.fetch("SELECT consumer, event_id, attempts, last_error FROM delivery_failures"))
