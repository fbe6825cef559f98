"""An operator of a running suite: the orchestrator's admin addresses, and what is seen of them in Slack, tracker and timeline."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.servers import eventually
from tests.support.suite_client import POSITIONS, TOTAL, Client, hook
from tests.support.unreadable_hook import publish_unreadable_change

ORCHESTRATOR = "orchestrator"


class Operator:
    """What an operator does, and what follows from it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def act(self, path: str, *, role: str = "operator", **body: Any) -> tuple[int, Any]:
        """Do an operation."""
        url = self.client.suite.url(ORCHESTRATOR) + path
        return await self.client.post(url, {"reason": "for a test", **body}, role=role)

    async def refusals(self, path: str) -> list[int]:
        """Try what must not be done to a workflow: as a viewer, with an old look, and to nobody's."""
        unknown = "/admin/v1/workflows/999999999/" + path.rpartition("/")[2]
        return [
            (await self.act(path, role="viewer"))[0],
            (await self.act(path, expected_version=0))[0],
            (await self.act(unknown))[0],
        ]

    async def paid_order(self, name: str) -> str:
        """Have a paid order with its document; returns its number."""
        external_id = f"{name}-{secrets.token_hex(4)}"
        payment = f"pay-{external_id}"
        await self.client.put("sandbox", f"/sandbox/trust/payments/{payment}", {"captured": 17000, "currency": "RUB"})
        start = datetime.now(UTC) - timedelta(minutes=1)
        more = {"payment": {"method": "card", "id": payment}, "positions": POSITIONS, "total": TOTAL}
        status, answer, _ = await self.client.hook(hook("created", external_id, at=start, **more))
        assert status == 200
        await self.client.hook(hook("paid", external_id, at=start + timedelta(seconds=10), **more))
        number = str(answer["number"])

        async def paid() -> bool:
            return await self.document(number) == 1  # which is issued when it is paid

        await eventually(paid, what="a paid order with its document")
        return number

    async def workflow(self, number: str, kind: str, state: str) -> dict[str, Any]:
        """Wait until the order's workflow of a kind is in a state; returns it."""

        async def there() -> dict[str, Any] | None:
            page = await self.client.get(ORCHESTRATOR, "/admin/v1/workflows", order_number=number, kind=kind)
            return next((dict(item) for item in page["items"] if item["state_name"] == state), None)

        found = await eventually(there, what=f"a workflow {kind} that is {state}")
        assert found is not None
        return found

    async def document(self, number: str) -> int:
        """The version of the order's document."""
        page = await self.client.get(ORCHESTRATOR, f"/admin/v1/orders/{number}/document/versions")
        return max((int(item["version"]) for item in page["items"]), default=0)

    async def audit(self, target: str) -> list[tuple[str, str]]:
        """Who did what to a target, oldest first."""
        page = await self.client.get(ORCHESTRATOR, "/admin/v1/audit", target=target, limit=200)
        return [(item["role"], item["action"]) for item in reversed(page["items"])]

    async def slack(self, number: str, words: str) -> bool:
        """Whether `#orders-notifications` was told of an order in these words."""
        log = await self.client.chat_log("slack")
        texts = (json.dumps(entry["request"], ensure_ascii=False) for entry in log if entry["effect"])
        return any(number in text and words in text for text in texts)

    async def issues(self, number: str) -> list[dict[str, Any]]:
        """The tickets about an order at the tracker."""
        page = await self.client.get("sandbox", "/sandbox/tracker/issues", role=None)
        return [item for item in page["items"] if number in json.dumps(item, ensure_ascii=False)]

    async def ticket_is(self, number: str, status: str) -> bool:
        """Whether there is one ticket about an order, in this status."""
        return [item["status"]["key"] for item in await self.issues(number)] == [status]

    async def story(self, number: str) -> list[str]:
        """The kinds of lines in the order's timeline."""
        page = await self.client.get(ORCHESTRATOR, f"/admin/v1/orders/{number}/timeline", limit=200)
        return [str(item["kind"]) for item in page["items"]]

    async def unreadable_change(self, number: str) -> dict[str, Any]:
        """Have a change arrive that nobody can read, as a gateway of another release might pass one on; return the order."""
        order = dict(await self.client.get(ORCHESTRATOR, f"/orders/v1/orders/{number}", role="internal"))
        url = self.client.suite.description["infrastructure"]["rabbitmq"]["url"]
        await publish_unreadable_change(url, order)
        return order
