"""In a roll-out a newer release writes states that this one does not know: shown by their number."""

from __future__ import annotations

from typing import Any

import asyncpg

from tests.support.servers import eventually


async def test_a_workflow_in_a_state_of_a_newer_release_is_shown_by_its_number(
    start: Any, gateway: Any, database: asyncpg.Connection
) -> None:
    api = await start()
    number = gateway.number("N1")
    await gateway.send(gateway.hook("N1", "order.created", minute=1, positions=[gateway.position("a")]))

    async def workflows() -> Any:
        return await api.all(f"/admin/v1/workflows?order_number={number}")

    workflow = (await eventually(workflows))[0]["id"]
    await database.execute("ALTER TABLE workflow DROP CONSTRAINT workflow_state_check")
    await database.execute("UPDATE workflow SET state = 9 WHERE id = $1", workflow)

    assert [one["state_name"] for one in await api.all("/admin/v1/workflows")] == ["9"]
    assert (await api.get(f"/admin/v1/workflows/{workflow}"))["state"] == 9
    assert (await api.call("GET", "/admin/v1/workflow-groups"))[0] == 200
    assert (await api.call("GET", f"/orders/v1/orders/{number}"))[0] == 200
    for act in ("stop", "retry", "resume"):
        assert (await api.call("POST", f"/admin/v1/workflows/{workflow}/{act}", {"reason": "what is it"}))[0] < 500
