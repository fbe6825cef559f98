"""What breaks at the edge is an incident within two minutes: through nginx, the gateway, RabbitMQ, Prometheus and Alertmanager as shipped.

Refusals come to the notifier as events of the gateway, and what is only counted by the alert rules; a website's order that ended at
nginx by both. The notifier has its example's chats, no people, nobody on duty and no call provider: alerts say so in the chat.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sandbox.testing import RunningSandbox, running_sandbox
from suite_local.ports import LOOPBACK
from tests.support.monitoring import monitoring
from tests.support.processes import Program, created, stand
from tests.support.servers import eventually

WITHIN = 120.0
WEEK = {"SILENCE_SLOT": "5", "SILENCE_PERIOD": "25"}
"""The gateway's own hours and weeks, so short that a source has a past after half a minute. The rule is the shipped one."""
HOOKS_A_SECOND = 20
ON_CALL = -1001000000901
MISSING = (
    "нет маршрута в настоящий чат",
    "нет настоящих людей, которые могут её взять",
    "дежурному нельзя позвонить",
    "нет сервиса звонков",
)
ORDER = {"Authorization": "Bearer website-token"}


@dataclass(slots=True)
class Shop:
    """Everything between a caller and the notifier's incidents."""

    edge: str
    gateway: Program
    notifier: Program
    session: aiohttp.ClientSession
    outside: RunningSandbox

    async def hook(self, source: str, order: str, token: str) -> int:
        """Send an ``order.created`` through nginx."""
        url = f"{self.edge}/hooks/v1/{source}"
        async with self.session.post(url, json=created(order), headers={"Client-token": token}) as answer:
            return answer.status

    async def order(self, name: str, path: str = "/api/v1/orders/", *, size: int = 0) -> int:
        """Send a website's order through nginx; ``name`` is its request id, and ``size`` what its comment has in bytes."""
        body = json.dumps({**created(name)["payload"], "externalId": name, "comment": "x" * size}).encode()
        headers = {**ORDER, "X-Request-Id": name}
        async with self.session.post(self.edge + path, data=BytesIO(body), headers=headers, expect100=True) as answer:
            return answer.status

    async def incidents(self) -> set[tuple[str, ...]]:
        """What a person sees at the notifier: (what, which)."""
        items = (await self._get(self.notifier, "/admin/v1/incidents?limit=200"))["items"]
        return {
            await self._named(item["kind"].removeprefix("problem."), item["source"], item["details"]) for item in items
        }

    async def _named(self, kind: str, source: str | None, details: dict[str, str]) -> tuple[str, ...]:
        if kind == "website_order.endangered":
            delivery = await self._get(self.gateway, f"/admin/v1/deliveries/{details['endangered_id']}")
            return kind, delivery["headers"]["x-request-id"].lower(), details["status"]
        return details.get("alert", kind), source or "-", *([details["status"]] if "status" in details else [])

    async def _get(self, program: Program, path: str) -> Any:
        async with self.session.get(program.url + path, headers={"Authorization": "Bearer operator-token"}) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def seen(self, *wanted: tuple[str, ...]) -> None:
        """Return when there is an incident for each."""

        async def all_there() -> bool:
            found = await self.incidents()
            assert set(wanted) <= found, (set(wanted) - found, found)
            return True

        await eventually(all_there, within=WITHIN, every=0.5, what=f"{wanted}")

    async def told(self, *words: str) -> None:
        """Return when the on-call chat has a message with each."""

        async def all_there() -> bool:
            page = await self.outside.control("GET", f"/sandbox/telegram/messages?chat_id={ON_CALL}")
            missing = [each for each in words if not any(each in message["text"] for message in page["items"])]
            assert missing == []
            return True

        await eventually(all_there, within=WITHIN, every=0.5, what=f"{words}")


@pytest.fixture
async def shop(
    tmp_path: Path,
    amqp_url: str,
    database_for: Callable[[str], Awaitable[str]],
    edge_for: Callable[..., Any],
    free_port: Callable[[], int],
) -> AsyncIterator[Shop]:
    """The shop, with one gateway behind nginx, which is asked as often as three would be."""
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(stand(tmp_path))
        tokens = {name: {"auth": {"kind": "client_token", "tokens": [name]}} for name in ("sbermarket", "kuper")}
        servers.sources.write_text(json.dumps(tokens))
        port = free_port()
        edge = await stack.enter_async_context(edge_for([port] * 3, hasty=True))
        settings = {"PORT": str(port), "EDGE_LOG_DIR": str(edge.log_dir), **WEEK}
        gateway = servers.gateway("gw-1", dsn=await database_for("webhook_gateway"), amqp_url=amqp_url, **settings)
        gateway.url = f"http://{LOOPBACK}:{port}"
        outside = await stack.enter_async_context(running_sandbox())
        telegram = {"TELEGRAM_API_URL": outside.telegram_url, "TELEGRAM_TOKEN": "4242:test-token"}
        notifier = servers.notifier(dsn=await database_for("notifier"), amqp_url=amqp_url, **telegram)
        await asyncio.gather(gateway.start(), notifier.start())
        targets = {"webhook-gateway-1:8081": gateway.url, "notifier:8085": notifier.url}
        directory = tmp_path / "monitoring"
        directory.mkdir()
        await stack.enter_async_context(
            monitoring(
                directory,
                targets={name: url.removeprefix("http://") for name, url in targets.items()},
                notifier_url=notifier.url,
                token_file=servers.internal,
            )
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Shop(edge.url, gateway, notifier, session, outside)


@asynccontextmanager
async def busy(shop: Shop, source: str) -> AsyncIterator[None]:
    """The source sends as it does every week, for one of its weeks and a bit; then it stops."""

    async def send() -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        seconds = float(WEEK["SILENCE_PERIOD"]) + float(WEEK["SILENCE_SLOT"])
        for number in range(int(seconds * HOOKS_A_SECOND)):
            assert await shop.hook(source, f"usual-{number}", source) == 200
            await asyncio.sleep(max(0.0, started + number / HOOKS_A_SECOND - loop.time()))

    sending = asyncio.create_task(send())
    try:
        yield
        await sending
    finally:
        sending.cancel()


@pytest.mark.chaos  # every run of tests follows one such problem to a person: test_as_shipped.py
async def test_what_breaks_at_the_edge_is_an_incident_within_two_minutes(shop: Shop) -> None:
    async with busy(shop, "sbermarket"):
        assert await shop.hook("kuper", "K1", "kuper") == 200
        assert await shop.hook("kuper", "K2", "rotated-on-one-side") == 403
        await shop.seen(("source.refused", "kuper", "403"))

        assert await shop.order("too-large", size=2 * 1024 * 1024) == 413
        assert await shop.order("wrong-for-nginx", "/v1/orders/") == 404
        assert await shop.order("wrong-for-the-gateway", "/api/v2/orders/") == 404
        await shop.seen(
            ("website_order.endangered", "too-large", "413"),
            ("website_order.endangered", "wrong-for-nginx", "404"),
            ("website_order.endangered", "wrong-for-the-gateway", "404"),
            ("GatewayEdgeRejected", "website", "413"),
            ("GatewayEdgeRejected", "website", "404"),
        )
    # The source has stopped. Meanwhile the only gateway hangs, and then is gone.
    process = shop.gateway.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    assert await shop.order("no-answer") == 503
    await shop.gateway.kill()
    assert await shop.order("no-gateway") == 503
    await shop.gateway.start()
    await shop.seen(
        ("website_order.endangered", "no-answer", "503"),
        ("website_order.endangered", "no-gateway", "503"),
        ("GatewayEdgeFailed", "website", "503"),
        ("GatewaySourceSilent", "sbermarket"),
    )
    await shop.told(*(f"Критичная проблема не дойдёт до человека: {what}" for what in MISSING))
