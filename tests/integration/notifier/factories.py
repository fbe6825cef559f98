"""Events, orders, routes and chats that many tests of the notifier use, and the kit that they work with."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aio_pika
import asyncpg

from common.contracts import Envelope
from common.contracts.alerts import ProblemRaisedV1
from common.contracts.envelope import Message
from common.contracts.intake import HOOK_RECEIVED, IntakeMessage
from common.contracts.orders import OrderCreatedV1, OrderSnapshot, Position
from common.ids import derived_id, new_id, order_number
from common.messaging import Broker
from common.messaging.topology import ORCHESTRATOR_JOURNAL
from common.service import Application
from notifier.channels.telegram import TelegramSender
from notifier.delivery.model import Message as Notice
from notifier.delivery.outcomes import Outcome
from notifier.settings import NotifierSettings
from sandbox.testing import RunningSandbox
from tests.support.servers import eventually

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TOKENS = {
    "tokens": [
        {"name": "vera", "token": "viewer-token", "role": "viewer"},
        {"name": "oleg", "token": "operator-token", "role": "operator"},
        {"name": "ada", "token": "admin-token", "role": "admin"},
        {"name": "machine", "token": "internal-token", "role": "internal"},
    ]
}
PICKERS = -1001000000001
STORE = -1001000000002


def an_order(external_id: str = "H123", *, version: int = 1, **changes: Any) -> OrderSnapshot:
    """An order of an unknown store (so the default chats are notified), with everything a picker may read."""
    values: dict[str, Any] = {
        "number": order_number("sbermarket", external_id),
        "source": "sbermarket",
        "external_id": external_id,
        "version": version,
        "status": "created",
        "closed_for_changes": False,
        "shipped": False,
        "store_id": "5",
        "comment": "Звоните на +7 916 123-45-67 <срочно>",
        "shipment_method": "by_courier",
        "replacement_policy": "callOrReplace",
        "positions": (
            Position(id="sku-1", name="Молоко 3,2 %", quantity="2", price=8500, discount_price=8000),
            Position(id="sku-2", quantity="0.50", price=20000),
        ),
        "total_price": 27000,
        "total_discount_price": 26000,
        "updated_at": NOW,
    }
    return OrderSnapshot(**{**values, **changes})


def created(external_id: str = "H123", *, notify: bool = True, **changes: Any) -> OrderCreatedV1:
    """The event of a new order."""
    return OrderCreatedV1(order=an_order(external_id, **changes), notify=notify, occurred_at=NOW)


def enveloped(message: Message, *, event_id: str | None = None, traceparent: str | None = TRACE) -> Envelope:
    """Wrap a message as the orchestrator does; the id follows from what it says unless given."""
    order = getattr(message, "order", None)
    return Envelope.of(
        message,
        event_id=event_id or derived_id("test", message.TYPE, message.model_dump_json()),
        source="/orchestrator",
        subject=getattr(order, "number", None) or getattr(message, "order_number", None),
        time=NOW,
        traceparent=traceparent,
    )


@dataclass(slots=True)
class Kit:
    """What a test of the notifier works with."""

    dsn: str
    amqp_url: str
    sandbox: RunningSandbox
    settings: NotifierSettings
    broker: Broker
    applications: list[Application] = field(default_factory=list)
    journaled: list[dict[str, Any]] = field(default_factory=list)
    reader: asyncpg.Connection[Any] | None = None
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def url(self) -> str:
        """The address of the first replica."""
        return self.applications[0].url

    async def publish(self, *messages: Message | Envelope) -> None:
        """Publish events, confirmed, in order."""
        for message in messages:
            envelope = message if isinstance(message, Envelope) else enveloped(message)
            await self.broker.publisher.publish(envelope, deadline=15.0)

    async def open_in_turn(self, *problems: ProblemRaisedV1) -> None:
        """Report problems, each when the one before is an incident: with several replicas, numbers go by who is first."""
        for problem in problems:
            await self.publish(problem)

            async def opened(fingerprint: str = problem.fingerprint) -> bool:
                return bool(await self.fetch("SELECT FROM incidents WHERE fingerprint = $1", fingerprint))

            await eventually(opened)

    async def fetch(self, statement: str, *arguments: object) -> list[dict[str, Any]]:
        """Read the notifier's database, by a connection that is kept: tests look again and again, and one costs as much as 100 looks."""
        async with self.reading:
            if self.reader is None or self.reader.is_closed():
                self.reader = await asyncpg.connect(self.dsn, statement_cache_size=0)  # a test may change the tables
            return [dict(row) for row in await self.reader.fetch(statement, *arguments)]

    async def close(self) -> None:
        """Give the connection up."""
        if self.reader is not None:
            await self.reader.close()

    async def telegram(self) -> list[dict[str, Any]]:
        """Every message that Telegram took, in order."""
        return [entry for entry in await self.sandbox.log("telegram") if entry["effect"]]

    async def texts(self, chat: int) -> list[str]:
        """The texts that one chat got, in order."""
        return [
            entry["request"]["text"]
            for entry in await self.telegram()
            if int(entry["request"].get("chat_id", 0)) == chat
        ]

    async def call(
        self, method: str, path: str, *, role: str = "operator", body: Any = None, replica: int = 0
    ) -> tuple[int, Any]:
        """Call a replica; returns (status, JSON)."""
        url, headers = self.applications[replica].url + path, {"Authorization": f"Bearer {role}-token"}
        async with self.sandbox.session.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def journal(self) -> list[dict[str, Any]]:
        """Take every journal entry out of the orchestrator's queue and remember it."""
        connection = await aio_pika.connect(self.amqp_url)
        async with connection:
            queue = await (await connection.channel()).get_queue(ORCHESTRATOR_JOURNAL.name)
            while (message := await queue.get(fail=False, no_ack=True)) is not None:
                self.journaled.append(Envelope.decode(message.body).data or {})
        return self.journaled


MakeKit = Callable[..., Awaitable[Kit]]
ONE_GROUP = {
    "destinations": {"all": {"channel": "telegram", "address": "-1001000000001"}},
    "routes": [{"name": "orders", "match": {"kind": ["order.*"]}, "to": ["all"]}],
}
SLACK_ONLY = {
    "destinations": {"team": {"channel": "slack", "address": "#orders-notifications"}},
    "routes": [{"name": "everything", "to": ["team"]}],
}
MAIL_ONLY = {
    "destinations": {"owner": {"channel": "mail", "address": "owner@example.org"}},
    "routes": [{"name": "everything", "to": ["owner"]}],
}


def a_problem(fingerprint: str = "p:1", **changes: Any) -> ProblemRaisedV1:
    """A problem of an order."""
    values: dict[str, Any] = {
        "kind": "order_conflict",
        "severity": "warning",
        "fingerprint": fingerprint,
        "summary": "A change came after the order was closed",
        "details": {"late": "order.changed"},
        "service": "orchestrator",
        "order_number": an_order().number,
        "occurred_at": NOW,
    }
    return ProblemRaisedV1(**{**values, **changes})


async def ended(kit: Kit, count: int, *, within: float = 120.0) -> list[dict[str, Any]]:
    """Wait until so many deliveries are at their end, and none is on its way; return them."""

    async def probe() -> list[dict[str, Any]]:
        rows = await kit.fetch("SELECT * FROM deliveries ORDER BY id")
        assert len(rows) == count
        assert {row["state"] for row in rows} <= {"sent", "failed"}
        return rows

    return await eventually(probe, within=within)


BOTH: dict[str, Any] = {
    "destinations": {
        "all": {"channel": "telegram", "address": str(PICKERS)},
        "team": {"channel": "slack", "address": "#orders-notifications"},
    },
    "routes": [{"name": "everywhere", "to": ["all", "team"]}],
}
ONE_CHAT: dict[str, Any] = {
    "destinations": {"all": {"channel": "telegram", "address": str(PICKERS)}},
    "routes": [{"name": "everywhere", "to": ["all"]}],
}


async def act(kit: Kit, act: str, incident: int = 1) -> None:
    """Do something to an incident as an operator."""
    status, answer = await kit.call(
        "POST", f"/admin/v1/incidents/{incident}/{act}", body={"reason": "said in the chat"}
    )
    assert status == 200, answer


def many(count: int, **changes: Any) -> list[ProblemRaisedV1]:
    """So many different problems."""
    kind = changes.get("kind", "order_conflict")
    return [a_problem(f"{kind}:{number}", order_number=None, **changes) for number in range(count)]


ALERT: dict[str, Any] = {
    "version": "4",
    "groupKey": "{}:{}",
    "status": "firing",
    "receiver": "notifier",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "QueueTooOld", "severity": "critical", "service": "notifier", "owner": "oleg"},
            "annotations": {
                "summary": "Notices wait",
                "description": "See the runbook",
                "runbook_url": "https://runbooks/q",
            },
            "startsAt": "2026-11-21T10:00:00+03:00",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://prometheus/graph",
            "fingerprint": "abc123",
        }
    ],
}
SUITE_TOKENS = {
    "tokens": [
        {"name": "oleg", "token": "oleg-token", "role": "operator"},
        {"name": "anna", "token": "anna-token", "role": "viewer"},
        {"name": "vera", "token": "viewer-token", "role": "viewer"},
        {"name": "machine", "token": "internal-token", "role": "internal"},
    ]
}


def created_hook(external_id: str = "H123") -> IntakeMessage:
    """The marketplace's `order.created`, as the gateway publishes it."""
    position = {"id": "sku-1", "originalQuantity": 2, "quantity": 2, "price": "85.00"}
    payload = {"originalOrderId": external_id, "storeID": "17", "positions": [position]}
    sent_at = "2026-11-21T10:00:00+03:00"
    body = json.dumps({"event_type": "order.created", "timestamp": sent_at, "payload": payload}).encode()
    return IntakeMessage(
        type=HOOK_RECEIVED,
        event_id=derived_id("sbermarket", external_id, "order.created"),
        delivery_id=new_id(),
        source="sbermarket",
        event="order.created",
        body_form="envelope",
        body=body,
        received_at=datetime.now(UTC),
        replica="test",
        number=order_number("sbermarket", external_id),
        external_id=external_id,
        sent_at=sent_at,
        digest=hashlib.sha256(body).hexdigest(),
    )


MARK = "возможно, повторно"


class PatientSender(TelegramSender):
    """For who sends by hand: the claim's deadline says how long places are held; a machine that stops for a moment makes no call late."""

    async def send(self, message: Notice, *, deadline: float) -> Outcome:
        """Make the call, with a minute for it."""
        return await super().send(message, deadline=max(deadline, 60.0))


@asynccontextmanager
async def notifier(kit: Kit) -> AsyncIterator[asyncio.subprocess.Process]:
    """A notifier in a process of its own, with the kit's settings; killed at the end if it still runs."""
    values = kit.settings.model_dump(exclude_none=True, exclude_unset=True)
    shown = {
        name: value.get_secret_value() if hasattr(value, "get_secret_value") else value
        for name, value in values.items()
    }
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("NOTIFIER_")},
        **{f"NOTIFIER_{name.upper()}": str(value) for name, value in shown.items()},
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "notifier",
        "serve",
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


ALERTS, SENTRYS = "/alerts/v1/alertmanager", "/alerts/v1/sentry"


async def post(kit: Kit, body: Any, path: str = ALERTS) -> dict[str, Any]:
    """Call as another system does; returns the answer, which is a 200."""
    status, answer = await post_bytes(kit, json.dumps(body).encode(), path)
    assert status == 200, answer
    return dict(answer)


async def post_bytes(kit: Kit, body: bytes, path: str = ALERTS, **headers: str) -> tuple[int, dict[str, Any]]:
    """Post a body as it is."""
    sent = {"Authorization": "Bearer internal-token", "Content-Type": "application/json", **headers}
    async with kit.sandbox.session.post(kit.url + path, data=io.BytesIO(body), headers=sent) as answer:
        return answer.status, await answer.json(content_type=None)
