"""Changes that are well-formed and senseless: each is answered with a code."""

from __future__ import annotations

import io
from typing import Any

from tests.integration.webhook_gateway.conftest import Start, bearer, hook_body
from tests.support.servers import eventually
from tests.support.strange import faults_of


async def test_no_change_with_an_odd_value_is_a_fault(start: Start) -> None:
    async with start() as gateway:
        await gateway.send(hook_body())
        await gateway.send({"positions": []}, path="/api/v1/orders/", headers=bearer("website"))
        kept = await gateway.deliveries(2)
        async with gateway.session.get(gateway.url + "/openapi.json", headers=bearer("viewer")) as answer:
            document = await answer.json()

        async def lost() -> Any:
            return (await gateway.get("/admin/v1/endangered-orders"))["items"]

        [endangered] = await eventually(lost)

        async def call(method: str, path: str, body: bytes) -> tuple[int, Any]:
            path = path.replace("{id}", endangered["id"] if "endangered" in path else kept[0]["id"])
            headers = {**bearer("admin"), "Content-Type": "application/json"}
            async with gateway.session.request(
                method, gateway.url + path, data=io.BytesIO(body), headers=headers
            ) as answer:
                return answer.status, await answer.json()

        assert await faults_of(call, document) == []
