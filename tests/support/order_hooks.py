"""Hooks of made-up orders, as the gateway publishes them, and what of them was published on."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aio_pika

from common.contracts.batch import pack
from common.contracts.envelope import Envelope
from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.ids import derived_id, new_id, order_number
from common.messaging import Broker
from common.postgres import Connection
from orchestrator.engine.append import append_events
from orchestrator.orders.hooks import to_workflow_event

SOURCE = "sbermarket"
_START = datetime(2026, 11, 21, 10, tzinfo=UTC)


def hook(external_id: str, event: str, *, minute: int, quantity: int = 2) -> IntakeMessage:
    """One hook, sent so many minutes after the start."""
    payload: dict[str, Any] = {"originalOrderId": external_id}
    if event == "order.created":
        payload |= {"storeID": "17", "payment": {"id": f"pay-{external_id}"}}
    if event in {"order.created", "order.changed", "order.paid"}:
        payload["positions"] = [{"id": "a", "quantity": quantity, "price": "85.00"}]
    sent_at = (_START + timedelta(minutes=minute)).isoformat()
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
    named = (SOURCE, external_id, event)
    return IntakeMessage(
        type=HOOK_RECEIVED,
        event_id=derived_id(*named) if event == "order.created" else derived_id(*named, digest, sent_at),
        delivery_id=new_id(),
        source=SOURCE,
        event=event,
        body_form="envelope",
        body=json.dumps({"event_type": event, "timestamp": sent_at, "payload": payload}).encode(),
        received_at=datetime.now(UTC),
        replica="test",
        number=order_number(SOURCE, external_id),
        external_id=external_id,
        sent_at=sent_at,
        digest=digest,
    )


def life(external_id: str) -> list[IntakeMessage]:
    """An order's whole life: it is paid, and a change comes late, which has everything folded again."""
    return [
        hook(external_id, "order.created", minute=1),
        hook(external_id, "order.paid", minute=3, quantity=4),
        hook(external_id, "order.changed", minute=2, quantity=3),
        hook(external_id, "order.delivered", minute=5),
    ]


async def append_hooks(connection: Connection, hooks: Iterable[IntakeMessage]) -> None:
    """Append hooks to their orders' workflows and leave them to the workers: delivered before, or taken in by the release before."""
    await append_events(connection, [to_workflow_event(each.to_envelope()) for each in hooks])


@dataclass
class Marketplace:
    """Publishes hooks into the intake queue, each confirmed, and gathers what the orchestrator publishes of them."""

    broker: Broker
    amqp_url: str

    async def send(self, hooks: Sequence[IntakeMessage]) -> None:
        """Publish in this order; what the broker does not confirm, because it restarts, is sent again, as a spool does."""
        for each in hooks:
            while True:
                try:
                    await self.broker.publisher.publish(each.to_envelope())
                    break
                except Exception as error:
                    if not getattr(error, "retryable", False):
                        raise
                    await asyncio.sleep(0.2)

    async def send_together(self, hooks: Sequence[IntakeMessage]) -> None:
        """Publish them as one message, as a gateway does with hooks that arrive together; else as ``send``."""
        while True:
            try:
                await self.broker.publisher.publish_raw(
                    "intake",
                    HOOK_RECEIVED,
                    pack([each.encode() for each in hooks]),
                    events=len(hooks),
                )
                break
            except Exception as error:
                if not getattr(error, "retryable", False):
                    raise
                await asyncio.sleep(0.2)

    async def published(self) -> list[str]:
        """Take the ids of all events that have come out into the notifier's queue."""
        found: list[str] = []
        async with await aio_pika.connect(self.amqp_url) as connection:
            queue = await (await connection.channel()).get_queue("notifier.orders")
            while (message := await queue.get(no_ack=True, fail=False)) is not None:
                found.append(Envelope.decode(message.body).id)
        return found


@asynccontextmanager
async def marketplace(amqp_url: str) -> AsyncIterator[Marketplace]:
    """A marketplace with a broker connection of its own; every queue of the suite is declared."""
    broker = Broker(amqp_url, name="test-marketplace")
    task = asyncio.create_task(broker.run())
    await broker.wait_ready()
    yield Marketplace(broker, amqp_url)
    await broker.stop()
    await task


async def check_orders(dsn: str, *more: str, wait: int = 60) -> tuple[int, str]:
    """Run the orchestrator's own command; return its exit code and what it printed."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "orchestrator", "check-orders", "--postgres-dsn", dsn, "--wait", str(wait), *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await child.communicate()
    assert child.returncode is not None
    return child.returncode, output.decode()


async def all_is_right(dsn: str, sent: Marketplace, directory: Path) -> str:
    """Nothing is lost, nothing was done twice, everything is at its end: in the database, and in what came out of it."""
    code, told = await check_orders(dsn)
    assert code == 0, told
    file = directory / "published"
    file.write_text("\n".join(await sent.published()))
    code, told = await check_orders(dsn, "--published", str(file), wait=0)
    assert code == 0, told
    return told
