"""Messages that are well-formed and senseless, in each queue: carried out, failed alone or a dead letter; the order after them is taken."""

from __future__ import annotations

import base64
import io
import json
from datetime import UTC, datetime
from typing import Any

from common.contracts.envelope import Envelope
from common.contracts.journal import JournalEntryV1
from common.contracts.refunds import RefundRejectedV1, RefundStateChangedV1
from common.ids import new_id
from orchestrator.api import openapi
from tests.integration.orchestrator.conftest import TOKENS, Gateway, Start
from tests.integration.orchestrator.factories import all_taken
from tests.support.servers import eventually
from tests.support.strange import decided, faults_of, foreseen, publish_strange, strange

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
            document = json.loads(gateway.hook(name, event, positions=[gateway.position("a")]).to_envelope().encode())
            document["data_base64"] = base64.b64encode(json.dumps(changed).encode()).decode()
            document["id"] = new_id()
            published[document["id"]] = f"{event} {what}"
            await exchange.publish(Envelope.decode(json.dumps(document).encode()))
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
    dead = await decided(published, database.fetch, within=120)
    assert [what for what in dead if not foreseen(what, "hookevent", "contentdigest", " state")] == []
    await gateway.send(gateway.hook("LAST", "order.created", positions=[gateway.position("a")]))

    async def taken() -> Any:
        return await api.order(gateway.number("LAST"))

    await eventually(taken)
    letters = await api.all("/admin/v1/dead-letters")
    assert len(letters) == len(dead)
    assert {item["state_name"] for item in await api.all("/admin/v1/workflow-events?state=failed")} == {"failed"}
    assert await database.fetch("SELECT FROM delivery_failures") == []
    for item in letters:  # a person decides on each
        status, answer = await api.call("POST", f"/admin/v1/dead-letters/{item['id']}/dismiss", {"reason": "senseless"})
        assert status == 200, answer


async def test_no_change_with_an_odd_value_is_a_fault(start: Start, gateway: Gateway, database: Any) -> None:
    api = await start()
    unreadable = [{"id": "a", "quantity": "a few"}]
    await gateway.send(
        gateway.hook("A", "order.created", minute=1, positions=[gateway.position("a")]),
        gateway.hook("A", "order.changed", minute=2, positions=unreadable),
    )
    await all_taken(database, 2)

    async def call(method: str, path: str, body: bytes) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {TOKENS['admin']}", "Content-Type": "application/json"}
        async with api.session.request(method, api.url + path, data=io.BytesIO(body), headers=headers) as answer:
            return answer.status, await answer.json()

    assert await faults_of(call, openapi(), number=gateway.number("A"), name="tips_service", id=1) == []
