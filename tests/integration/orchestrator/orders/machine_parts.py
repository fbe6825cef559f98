"""What the state machine of one order is made of: a handler with a bug, payloads of hooks, an operator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from common.contracts.envelope import Envelope
from common.errors import Conflict
from common.http import Change, Principal
from common.postgres import Connection, Lent
from orchestrator.engine.model import Claim, Encoded, Outcome, WorkflowEvent
from orchestrator.orders.life import OrderLife
from orchestrator.orders.store import OrderStore
from tests.integration.orchestrator.orders.order_reference import Expected, Sent, Told

START = datetime(2026, 11, 21, 10, tzinfo=UTC)


class Breakable:
    """The service's own handler with a bug that strikes some hooks, until it is mended."""

    def __init__(self, life: OrderLife) -> None:
        self.life = life
        self.bad: set[str] = set()

    def within(self, connection: Connection) -> Breakable:
        """The same handler, with the same bug, in the transaction of this connection."""
        inside = Breakable(replace(self.life, store=OrderStore(Lent(connection))))
        inside.bad = self.bad
        return inside

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
    told = hook.told
    said: dict[str, Any] = {
        "payment": {"id": "p"} if hook.kind == "order.created" else None,
        "positions": positions_of(hook) or None,
        "address": told.address,
        "customer": None if told.phone is None else {"phone": told.phone},
        "comment": told.comment,
        "deliveryWindow": told.window,
        "storeID": told.store,
    }
    return {name: value for name, value in said.items() if value is not None}


def positions_of(hook: Sent) -> list[dict[str, Any]]:
    """The positions; of what is spoilt less than nothing was ordered."""
    sign = -1 if hook.spoilt else 1
    return [
        {"id": name, "quantity": sign * quantity, **({} if price is None else {"price": f"{price / 100:.2f}"})}
        for name, quantity, price in hook.goods
    ]


def change_by_machine(connection: Connection) -> Change:
    """An operator's change in this transaction."""
    said = SimpleNamespace(reason="by the machine", dry_run=False)
    request: Any = SimpleNamespace(principal=Principal("machine", "operator"), body=said, request_id="r")
    return Change(connection, request)


def event_of_hook(hook: Sent, number: str, *, origin: str | None) -> WorkflowEvent:
    """The workflow event of a hook, received now unless that is the only time it has. ``origin``: what it replays."""
    moment = START + timedelta(minutes=hook.minute)
    attributes = {
        "source": "sm",
        "external_id": number,
        "body_form": "payload",
        "delivery_id": hook.event_id,
        "digest": hook.digest,
    }
    if hook.timed:
        attributes["sent_at"] = moment.isoformat()
    if origin is not None:
        attributes |= {"occurred_at": moment.isoformat(), "replay_of": origin}
        attributes |= {} if hook.origin is None else {"repeats": hook.origin}
    return WorkflowEvent(
        type=hook.kind,
        event_id=hook.event_id,
        attributes=attributes,
        payload=json.dumps(payload_of(hook)).encode(),
        received_at=moment if origin is None and not hook.timed else datetime.now(UTC),
    )


def seen(orders: Sequence[Any]) -> tuple[Any, ...] | None:
    """The order as the database has it."""
    if not orders:
        return None
    (row,) = orders
    document = row["document"]
    positions = tuple((item["id"], int(item["quantity"]), item["price"]) for item in document["positions"])
    address, customer, window = document["address"], document["customer"], document["delivery_window"]
    beside = Told(
        address and address[0],
        customer and customer["phone"],
        document["comment"],
        window and window[2],
        row["store_id"],
    )
    return (row["status"], positions, beside, row["closed"], row["paid"], row["shipped"], row["cost_total"],
            len(document["incidents"]), row["aggregate_state"])  # fmt: skip


def wanted(order: Expected | None) -> tuple[Any, ...] | None:
    """The order as the reference has it."""
    if order is None:
        return None
    aggregate = {"cancelled": "cancelled", "delivered": "finished"}.get(order.status, "in_progress")
    return (order.status, order.goods, order.told, order.closed, order.paid, order.shipped is not None, order.cost,
            len(order.incidents), aggregate)  # fmt: skip


_NAMES = ("address", "customer.phone", "comment", "delivery_window", "store_id")


def told(announced: Sequence[Envelope], order: Expected, effective: Sequence[Sent]) -> bool:
    """Whether pickers and store were notified that what differs from the order's beginning has changed.

    A creation that came first was announced, and is none of the order's beginning where an earlier one came late.
    """
    named = {
        name
        for envelope in announced
        if (envelope.data or {}).get("notify")
        for name, _, _ in (envelope.data or {}).get("difference", {}).get("fields", ())
    }
    began = {hook.told for hook in effective if hook.kind == "order.created"}
    return any(
        {name for name, before, now in zip(_NAMES, each, order.told, strict=True) if before != now} <= named
        for each in began
    )
