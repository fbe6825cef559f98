"""Everything that a person is ever needed for, brought about in a running suite as it comes from outside."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from yarl import URL

from common.contracts import Envelope
from common.ids import new_id
from common.messaging import Broker
from tests.e2e.operations import ORCHESTRATOR as ORCHESTRATOR
from tests.e2e.operations import Operator
from tests.support.servers import eventually
from tests.support.suite_client import POSITIONS, TOTAL, Client, hook

GATEWAY, REFUNDS, NOTIFIER = "webhook-gateway", "refunds", "notifier"
CUSTOMER = {"name": "Лев Мышкин", "phone": "+79161239876", "email": "lev@customer.example"}
_UNREADABLE = {
    "webhook-gateway": "orders.order.created.v1",
    "orchestrator": "journal.entry.recorded.v1",
    "refunds": "orders.refund.wanted.v1",
    "notifier": "alerts.problem.raised.v1",
}
"""A message that each service takes, and that nobody can read when it holds nothing."""


class Trouble:
    """Each method makes a trouble anew and returns its name once the service that owns it shows it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.operator = Operator(client)

    async def order(self) -> str:
        """A paid order."""
        return await self.operator.paid_order("trouble")

    async def new_order(self) -> str:
        """An order that has only been created."""
        more = {"payment": {"method": "card"}, "positions": POSITIONS, "total": TOTAL, "customer": CUSTOMER}
        _, answer, _ = await self.client.hook(
            hook("created", f"new-{secrets.token_hex(4)}", at=datetime.now(UTC), **more)
        )
        number = str(answer["number"])

        async def there() -> bool:
            page = await self.client.get(ORCHESTRATOR, "/admin/v1/workflows", order_number=number, kind="order_life")
            return [item["done_seq"] for item in page["items"]] == [1]

        await eventually(there, what="an order that is created")
        return number

    async def running(self) -> str:
        """The workflow of an order that goes on."""
        return str((await self.operator.workflow(await self.new_order(), "order_life", "running"))["id"])

    async def stopped(self) -> str:
        """A workflow that somebody stopped."""
        found = await self.running()
        status, said = await self.operator.act(f"/admin/v1/workflows/{found}/stop")
        assert status == 200, said
        return found

    async def crashed(self) -> str:
        """A workflow that met a hook which nobody can read."""
        number = await self.new_order()
        await self.operator.unreadable_change(number)
        return str((await self.operator.workflow(number, "order_life", "crashed"))["id"])

    async def failed_event(self) -> str:
        """The hook that such a workflow cannot carry out."""
        return await self.found(
            ORCHESTRATOR, "/admin/v1/workflow-events", workflow_id=await self.crashed(), state="failed"
        )

    async def done_event(self) -> str:
        """A hook that was carried out."""
        workflow = await self.running()

        async def done() -> bool:
            page = await self.client.get(ORCHESTRATOR, "/admin/v1/workflow-events", workflow_id=workflow)
            return bool(page["items"]) and page["items"][0]["state_name"] == "done"

        await eventually(done, what="a hook that was carried out")
        return f"{workflow}-1"

    async def delivery(self) -> str:
        """A hook that was taken."""
        return await self.found(GATEWAY, "/admin/v1/deliveries", number=await self.new_order())

    async def parked(self) -> str:
        """An order that was never created, and changes all the same."""
        sent = hook("cancelled", f"unknown-{secrets.token_hex(4)}", at=datetime.now(UTC))
        _, answer, _ = await self.client.hook(sent)
        number = str(answer["number"])

        async def there() -> bool:
            page = await self.client.get(ORCHESTRATOR, "/admin/v1/parked-orders", limit=200)
            return number in [item["order_number"] for item in page["items"]]

        await eventually(there, what="a parked order")
        return number

    async def quarantined(self) -> str:
        """A hook of which no more could be read than the order's id."""
        external_id = f"odd-{secrets.token_hex(4)}"
        await self.client.hook(hook("created", external_id, at=datetime.now(UTC), positions="milk"))
        return await self.found(GATEWAY, "/admin/v1/deliveries", external_id=external_id, outcome="quarantined")

    async def countdown(self) -> str:
        """An order whose marketplace hung up before its hook was whole: it repeats that, and cancels the order in the end."""
        external_id = f"cut-{secrets.token_hex(4)}"
        body = json.dumps(hook("created", external_id, at=datetime.now(UTC), positions=POSITIONS)).encode()
        where = URL(self.client.suite.url(GATEWAY))
        token = self.client.suite.token("marketplace")
        _, writer = await asyncio.open_connection(where.host, where.port)
        head = f"POST /hooks/v1/sbermarket HTTP/1.1\r\nHost: gateway\r\nClient-token: {token}\r\nContent-Length: {len(body) + 9}"
        writer.write(head.encode() + b"\r\nContent-Type: application/json\r\n\r\n" + body)
        await writer.drain()
        writer.close()

        async def there() -> bool:
            page = await self.client.get(GATEWAY, "/admin/v1/countdowns", limit=200)
            return external_id in [item["external_id"] for item in page["items"]]

        await eventually(there, what="a countdown")
        return external_id

    async def endangered(self) -> str:
        """A website's order that was refused."""
        return await self._endangered({**self.basket(), "positions": "milk"})

    async def resubmittable(self) -> str:
        """The same, mended by somebody."""
        body = self.basket()
        found = await self._endangered({**body, "positions": "milk"})
        url = self.client.suite.url(GATEWAY) + f"/admin/v1/endangered-orders/{found}/mend"
        status, said = await self.client.post(url, {"body": body, "reason": "for a test"}, role="operator")
        assert status == 200, said
        return found

    def basket(self) -> dict[str, Any]:
        """What a customer of a website orders."""
        phone = f"+7926{secrets.randbelow(10**7):07}"
        return {
            "externalId": f"web-{secrets.token_hex(4)}",
            "customer": {**CUSTOMER, "phone": phone, "email": f"{secrets.token_hex(4)}@customer.example"},
            "address": {"full_address": f"Литейный {secrets.randbelow(10**6)}"},
            "storeID": "17",
            "positions": [{**POSITIONS[0], "id": f"sku-{secrets.token_hex(4)}"}],
            "total": TOTAL,
        }

    async def banned_phone(self) -> str:
        """A phone that has ordered so often that it may not now."""
        url = self.client.suite.url(GATEWAY) + "/api/v1/orders/"
        body = self.basket()
        phone = str(body["customer"]["phone"])
        for _ in range(30):
            another = {**body, "externalId": f"web-{secrets.token_hex(6)}"}
            if (await self.client.post(url, another, role="website"))[0] == 429:
                break
        return await self.found(GATEWAY, "/admin/v1/order-limits", phone=phone)

    async def failed_refund(self) -> str:
        """A refund that Trust ends with an error."""
        return await self._refund("error", "ERROR")

    async def paid_refund(self) -> str:
        """A refund that was paid."""
        return await self._refund("success", "SUCCESS")

    async def strange_refund(self) -> str:
        """Money that Trust paid back and that is in nobody's books here: the difference that the reconciliation finds."""
        payment = f"pay-strange-{secrets.token_hex(4)}"
        captured = {"captured": 17000, "currency": "RUB", "polls": 0}
        await self.client.put("sandbox", f"/sandbox/trust/payments/{payment}", captured)
        wanted = {"payment_id": payment, "amount": 500, "currency": "RUB"}
        made = await self._trust("/trust-payments/v2/refunds", wanted)
        await self._trust(f"/trust-payments/v2/refunds/{made['trust_refund_id']}/start", {})
        url = self.client.suite.url(REFUNDS) + "/admin/v1/reconciliation"
        status, said = await self.client.post(url, {"reason": "for a test", "days": 1}, role="operator")
        assert status == 200, said

        async def there() -> str | None:
            page = await self.client.get(REFUNDS, "/admin/v1/differences", limit=200)
            return next((str(item["id"]) for item in page["items"] if item["payment_id"] == payment), None)

        found = await eventually(there, what="the difference")
        assert found is not None
        return found

    async def incident(self, severity: str = "warning") -> str:
        """An alert of the monitoring."""
        name = f"Trouble{secrets.token_hex(4)}"
        alert = {
            "status": "firing",
            "labels": {"alertname": name, "severity": severity, "service": "tips"},
            "annotations": {"summary": "tips is slow", "runbook_url": "docs/runbooks/tips-down.md"},
            "startsAt": datetime.now(UTC).isoformat(),
            "fingerprint": name,
        }
        url = self.client.suite.url(NOTIFIER) + "/alerts/v1/alertmanager"
        status, said = await self.client.post(
            url, {"version": "4", "status": "firing", "alerts": [alert]}, role="internal"
        )
        assert status == 200, said
        return str(said["incidents"][0])

    async def crash_told(self) -> str:
        """The incident of a workflow that met a hook which nobody can read."""
        fingerprint = f"workflow:{await self.crashed()}"

        async def there() -> str | None:
            page = await self.client.get(NOTIFIER, "/admin/v1/incidents", kind="workflow.crashed", limit=200)
            return next((str(item["id"]) for item in page["items"] if item["fingerprint"] == fingerprint), None)

        found = await eventually(there, what="the incident of a crash")
        assert found is not None
        return found

    async def ticket(self) -> str:
        """A ticket of the support."""
        made = await self._notifier("/admin/v1/tickets", summary="The customer waits")

        async def there() -> str | None:
            page = await self.client.get(NOTIFIER, "/admin/v1/tickets", limit=200)
            return next((item["key"] for item in page["items"] if item["id"] == made["id"]), None)

        found = await eventually(there, what="a ticket at the tracker")
        assert found is not None
        return found

    async def silence(self) -> str:
        """A silence that nobody needs any more."""
        match = {"alert": [f"Silent{secrets.token_hex(4)}"]}
        ends = datetime.fromtimestamp(datetime.now(UTC).timestamp() + 3600, UTC).isoformat()
        return str((await self._notifier("/admin/v1/silences", match=match, ends_at=ends))["id"])

    async def known_defect(self) -> str:
        """A defect whose cause is known."""
        match = {"alert": [f"Known{secrets.token_hex(4)}"]}
        return str(
            (await self._notifier("/admin/v1/known-defects", match=match, development_ticket="DEV-1"))["defect"]["id"]
        )

    async def alert_sender(self) -> str:
        """An Alertmanager that was heard, beside another: each sends the alert that always fires."""
        names = [f"dc-{secrets.token_hex(4)}" for _ in range(2)]
        signs = [
            {
                "status": "firing",
                "labels": {"alertname": "Watchdog", "severity": "none", "environment": "testing", "cluster": name},
                "annotations": {},
                "startsAt": datetime.now(UTC).isoformat(),
                "fingerprint": name,
            }
            for name in names
        ]
        url = self.client.suite.url(NOTIFIER) + "/alerts/v1/alertmanager"
        status, said = await self.client.post(
            url, {"version": "4", "status": "firing", "alerts": signs}, role="internal"
        )
        assert (status, said["incidents"]) == (200, []), said
        senders = (await self.client.get(NOTIFIER, "/admin/v1/alert-senders"))["items"]
        return next(str(each["id"]) for each in senders if each["name"].endswith(names[0]))

    async def override(self) -> str:
        """Somebody else's turn, weeks ahead."""
        starts = datetime.now(UTC).replace(microsecond=0) + timedelta(days=40, minutes=secrets.randbelow(10_000))
        body = {
            "person": "anna",
            "starts_at": starts.isoformat(),
            "ends_at": (starts + timedelta(minutes=1)).isoformat(),
        }
        await self._notifier("/admin/v1/roster/overrides", **body)
        kept = (await self.client.get(NOTIFIER, "/admin/v1/roster"))["overrides"]
        return next(str(each["id"]) for each in kept if datetime.fromisoformat(each["starts_at"]) == starts)

    async def dead_letter(self, service: str) -> str:
        """A message that a service gave up on."""
        event = Envelope(
            id=new_id(),
            source="/another-release",
            type=_UNREADABLE[service],
            subject=None,
            time=datetime.now(UTC),
            data={},
        )
        broker = Broker(self.client.suite.description["infrastructure"]["rabbitmq"]["url"], name="another-release")
        task = asyncio.create_task(broker.run())
        await broker.wait_ready()
        await broker.publisher.publish(event)
        await broker.stop()
        await task

        async def there() -> str | None:
            page = await self.client.get(service, "/admin/v1/dead-letters", open="true", limit=200)
            return next((str(item["id"]) for item in page["items"] if item["event_id"] == event.id), None)

        found = await eventually(there, what=f"a dead letter of {service}")
        assert found is not None
        return found

    async def _refund(self, outcome: str, state: str) -> str:
        number = await self.order()
        order = await self.client.get(ORCHESTRATOR, f"/orders/v1/orders/{number}", role="internal")
        payment = {"captured": 17000, "currency": "RUB", "outcome": outcome}
        await self.client.put("sandbox", f"/sandbox/trust/payments/{order['payment']['id']}", payment)
        status, said = await self.operator.act(f"/admin/v1/orders/{number}/refund", amount=8500)
        assert status in (200, 202), said

        async def there() -> str | None:
            page = await self.client.get(REFUNDS, "/admin/v1/refunds", order=number)
            return next((str(item["id"]) for item in page["items"] if item["state_name"] == state), None)

        found = await eventually(there, what=f"a refund that is {state}")
        assert found is not None
        return found

    async def _endangered(self, body: Mapping[str, Any]) -> str:
        url = self.client.suite.url(GATEWAY) + "/api/v1/orders/"
        assert (await self.client.post(url, body, role="website"))[0] == 422
        return await self.found(GATEWAY, "/admin/v1/endangered-orders", external_id=body["externalId"])

    async def found(self, service: str, path: str, *, key: str = "id", **query: Any) -> str:
        """The name of the first that a list has, once it has one."""

        async def there() -> str | None:
            items = (await self.client.get(service, path, **query))["items"]
            return str(items[0][key]) if items else None

        found = await eventually(there, what=f"{path} {query}")
        assert found is not None
        return found

    async def _trust(self, path: str, body: Any) -> Any:
        token = (self.client.suite.directory / "secrets" / "trust").read_text(encoding="utf-8").strip()
        headers = {"X-Service-Token": token, "X-Idempotency-Key": new_id()}
        return await self.client.send_as("sandbox", path, body, headers=headers)

    async def _notifier(self, path: str, **body: Any) -> Any:
        url = self.client.suite.url(NOTIFIER) + path
        status, said = await self.client.post(url, {"reason": "for a test", **body}, role="operator")
        assert status in (200, 201, 202), said
        return said


async def at_once(makers: Mapping[str, Callable[[], Awaitable[str]]]) -> dict[str, str]:
    """Make many troubles at the same time; return their names."""
    return dict(zip(makers, await asyncio.gather(*(make() for make in makers.values())), strict=True))
