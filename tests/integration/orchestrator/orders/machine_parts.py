"""What the state machine of one order is made of: a handler with a bug, payloads of hooks, an operator."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from common.errors import Conflict
from common.http import Change, Principal
from common.postgres import Connection
from orchestrator.engine.model import Claim, Encoded, Outcome
from orchestrator.orders.life import OrderLife
from tests.integration.orchestrator.orders.order_reference import WITH_GOODS, Sent


class Breakable:
    """The service's own handler with a bug that strikes some hooks, until it is mended."""

    def __init__(self, life: OrderLife) -> None:
        self.life = life
        self.bad: set[str] = set()

    def strikes(self, claim: Claim) -> bool:
        """Whether the claim cannot be carried out. A mended event can."""
        return any(event.event_id in self.bad and "mend_of" not in event.attributes for event in claim.events)

    async def prepare(self, claims: Sequence[Claim]) -> Any:
        """Pass on."""
        return await self.life.prepare(claims)

    def run(self, claim: Claim, batch: Any) -> Outcome:
        """Pass on, or fail."""
        if self.strikes(claim):
            raise Conflict("broken by the test")
        return self.life.run(claim, batch)

    async def write(self, connection: Connection, outcomes: Sequence[Outcome]) -> list[Encoded]:
        """Pass on."""
        return await self.life.write(connection, outcomes)


def payload_of(hook: Sent) -> dict[str, Any]:
    """The payload as a marketplace writes it."""
    payload: dict[str, Any] = {"storeID": "17", "payment": {"id": "p"}} if hook.kind == "order.created" else {}
    if hook.kind in WITH_GOODS:
        payload["positions"] = [
            {"id": name, "quantity": quantity, "price": f"{price / 100:.2f}"} for name, quantity, price in hook.goods
        ]
    return payload


def change_by_machine(connection: Connection) -> Change:
    """An operator's change in this transaction."""
    said = SimpleNamespace(reason="by the machine", dry_run=False)
    request: Any = SimpleNamespace(principal=Principal("machine", "operator"), body=said, request_id="r")
    return Change(connection, request)
