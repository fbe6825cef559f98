"""No token, phone, name or address in any log line of a whole run: two gateways as processes, everything they can be asked."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sandbox.testing import RunningSandbox, running_sandbox
from tests.integration.webhook_gateway.conftest import ROLES, SOURCES, bearer, hook_body
from tests.support.servers import eventually, proxied

Free = Callable[[], int]
NAMES = ("Каренина", "Вронский", "Karenina")
PHONES = ("+79161112233", "8 (916) 444-55-66", "79167778899")
ADDRESSES = ("Большая Дмитровка", "Невский проспект 20")
MAILS = ("anna@customer.example", "vronsky@customer.example")
TOKENS = (
    *(f"{role}-token" for role in ROLES),
    "new-token",
    "old-token",
    "strict-token",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "stolen-secret-token",
    base64.b64encode(b"shop:secret").decode(),
)
SECRETS = (*NAMES, *PHONES, "9161112233", "9164445566", "444-55-66", "9167778899", *ADDRESSES, *MAILS, *TOKENS)
CUSTOMER = {"name": f"Анна {NAMES[0]}", "phone": PHONES[0], "email": MAILS[0]}
ORDER: dict[str, Any] = {
    "externalId": "W-1",
    "positions": [{"id": "sku-1", "quantity": 1, "price": "10.00"}],
    "customer": CUSTOMER,
    "address": {"full_address": ADDRESSES[0]},
    "comment": f"позвонить {NAMES[1]} {PHONES[1]}",
}


@asynccontextmanager
async def gateway(log: Path, environment: dict[str, str]) -> AsyncIterator[Process]:
    """A gateway whose every line goes to a file."""
    with log.open("ab") as lines:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "webhook_gateway", "serve", env=environment, stdout=lines, stderr=lines
        )
        try:
            yield child
            child.send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                assert await child.wait() == 0
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


@pytest.fixture
async def environment(
    tmp_path: Path, database_for: Callable[[str], Awaitable[str]], unused_tcp_port: int
) -> dict[str, str]:
    """Settings of a gateway that says as much as it can."""
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"tokens": [{"name": r, "token": f"{r}-token", "role": r} for r in ROLES]}))
    sources = tmp_path / "sources.json"
    sources.write_text(json.dumps(SOURCES))
    values = {
        "PORT": str(unused_tcp_port),
        "POSTGRES_DSN": await database_for("webhook_gateway"),
        "TOKENS_FILE": str(tokens),
        "SOURCES_FILE": str(sources),
        "SPOOL_DIR": str(tmp_path / "spool"),
        "SPOOL_LIMIT_BYTES": str(1024**2),
        "REPLICA": "gw-1",
        "LOG_LEVEL": "DEBUG",
        "ORDERS_PER_PHONE": "1",
        "ORDERS_LIMIT_DEADLINE": "2",
        "MAIL_FROM": "suite@shop.example",
        "REPORT_TO": "arsen@shop.example",
    }
    return {**os.environ, **{f"WEBHOOK_GATEWAY_{name}": value for name, value in values.items()}}


async def test_no_token_phone_name_or_address_stands_in_any_log_line_of_a_whole_run(
    environment: dict[str, str], amqp_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "gateway.log"
    async with running_sandbox() as sandbox, proxied(amqp_url) as (proxy, address):
        settings = {
            **environment,
            "WEBHOOK_GATEWAY_AMQP_URL": address,
            "WEBHOOK_GATEWAY_SMTP_HOST": sandbox.smtp_host,
            "WEBHOOK_GATEWAY_SMTP_PORT": str(sandbox.smtp_port),
            "WEBHOOK_GATEWAY_SENTRY_DSN": sandbox.sentry_dsn,
        }
        async with gateway(log, settings), aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{settings['WEBHOOK_GATEWAY_PORT']}"
            await eventually(lambda: _ready(session, url), what="a ready gateway")
            statuses = await _hooks(session, url)
            assert statuses == [200, 200, 200, 400, 403, 403, 401, 413, 404]
            orders = await _orders(session, url)
            assert orders == [201, 429, 422, 401, 403, 400, 413, 401, 201]
            proxy.refuse()
            status, _ = await _post(
                session, url + "/api/v1/orders/", {**ORDER, "comment": "x" * 900_000}, "website_manager"
            )
            assert status == 503
            for _ in range(3):
                await _post(
                    session, url + "/hooks/v1/sbermarket", _hook("H-spooled"), None, {"Client-token": "new-token"}
                )
            proxy.heal()
            await _save(session, url, sandbox)
            await _ask_for_nonsense(session, url)
        seen = json.dumps(await _sentry(sandbox), ensure_ascii=False)
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert sum({"hook_recorded": 1, "hooks_recorded": line.get("count")}.get(line["event"], 0) for line in lines) >= 5
    assert "order_limits_away" not in text
    found = {secret for secret in SECRETS if secret in text or json.dumps(secret).strip('"') in text}
    assert found == set(), [line for line in text.splitlines() if any(secret in line for secret in found)][:3]
    assert "NoStoragePath" in seen
    assert [secret for secret in SECRETS if secret in seen] == []


def _hook(order: str) -> dict[str, Any]:
    return hook_body(order=order, customer=CUSTOMER, address={"full_address": ADDRESSES[1]}, comment=PHONES[2])


async def _ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url + "/metrics") as answer:
            return "gateway_broker_ready 1.0" in await answer.text()
    except aiohttp.ClientConnectionError:
        return False


async def _post(
    session: aiohttp.ClientSession, url: str, body: object, role: str | None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {**(bearer(role) if role else {}), **(headers or {}), "Content-Type": "application/json"}
    payload = io.BytesIO(data)
    async with session.post(url, data=payload, headers=named) as answer:
        return answer.status, await answer.json(content_type=None)


async def _hooks(session: aiohttp.ClientSession, url: str) -> list[int]:
    token = {"Client-token": "new-token"}
    basic = {"Authorization": "Basic " + base64.b64encode(f"shop:{PHONES[2]}".encode()).decode()}
    calls: tuple[tuple[str, object, dict[str, str]], ...] = (
        ("/hooks/v1/sbermarket", _hook("H-1"), token),
        ("/hooks/v1/sbermarket", _hook("H-1"), {"Client-token": "old-token"}),
        ("/hooks/v1/sbermarket", {**_hook("H-2"), "event_type": NAMES[2]}, token),
        ("/hooks/v1/sbermarket", f"{NAMES[2]} {PHONES[0]}".encode(), token),
        ("/hooks/v1/sbermarket", _hook("H-3"), {"Client-token": "stolen-secret-token"}),
        ("/hooks/v1/kuper", _hook("H-4"), {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,x"}),
        ("/hooks/v1/shop", _hook("H-5"), basic),
        ("/hooks/v1/sbermarket", _hook("H-6") | {"filler": "x" * 1024**2}, token),
        (f"/hooks/v1/{PHONES[2]}", _hook("H-7"), token),
    )
    return [(await _post(session, url + path, body, None, headers))[0] for path, body, headers in calls]


async def _orders(session: aiohttp.ClientSession, url: str) -> list[int]:
    calls: tuple[tuple[object, dict[str, str]], ...] = (
        (ORDER, bearer("website")),
        ({**ORDER, "externalId": "W-2"}, bearer("website")),
        ({**ORDER, "positions": [{"id": NAMES[2], "quantity": NAMES[1]}]}, bearer("website")),
        (ORDER, {"Authorization": "Bearer stolen-secret-token"}),
        (ORDER, bearer("viewer")),
        (f'{{"customer": {{"phone": "{PHONES[0]}"'.encode(), bearer("website")),
        ({**ORDER, "comment": "x" * 1024**2}, bearer("website")),
        (ORDER, {"Authorization": "website-token", "X-Manager-Id": NAMES[2]}),
        ({**ORDER, "externalId": PHONES[2]}, bearer("website_manager")),
    )
    return [(await _post(session, url + "/api/v1/orders/", body, None, headers))[0] for body, headers in calls]


async def _save(session: aiohttp.ClientSession, url: str, sandbox: RunningSandbox) -> None:
    """Mend, resubmit and report whatever is endangered; the mail server stumbles first."""
    endangered = url + "/admin/v1/endangered-orders"

    async def everything() -> list[dict[str, Any]]:
        async with session.get(endangered + "?limit=100", headers=bearer("viewer")) as answer:
            items: list[dict[str, Any]] = (await answer.json())["items"]
            return items if len(items) == 8 else []

    await sandbox.fault("mail", mode="error", count=1)
    await sandbox.fault("mail", mode="declined", count=1)
    for item in await eventually(everything, what="eight endangered orders"):
        path = f"{endangered}/{item['id']}"
        await _post(session, path + "/mend", {"reason": NAMES[0], "body": {**ORDER, "positions": []}}, "operator")
        await _post(
            session, path + "/resubmit", {"reason": NAMES[0], "body": {**ORDER, "externalId": None}}, "operator"
        )
        report = {"reason": NAMES[0], "cause": f"телефон {PHONES[0]} не прошёл", "remedy": f"позвонили {NAMES[1]}"}
        assert (await _post(session, path + "/report", report, "operator"))[0] == 202
    mails = await eventually(lambda: _taken(sandbox), what="mails")
    assert NAMES[0] in str(mails)


async def _taken(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    mails = [entry for entry in await sandbox.log("mail") if entry["effect"]]
    return mails if len(mails) >= 5 else []


async def _ask_for_nonsense(session: aiohttp.ClientSession, url: str) -> None:
    """Customers' data where none belongs: in paths and queries."""
    for path in (
        f"/admin/v1/deliveries?order={PHONES[2]}",
        f"/admin/v1/{NAMES[2]}",
        f"/admin/v1/deliveries/{PHONES[2]}?x={NAMES[2]}",
    ):
        async with session.get(url + path, headers=bearer("viewer")) as answer:
            assert answer.status in {200, 400, 404, 422}
    async with session.get(url + "/admin/v1/audit", headers={"Authorization": "Bearer stolen-secret-token"}) as answer:
        assert answer.status == 401


async def _sentry(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    return await eventually(lambda: sandbox.log("sentry"), what="reports of errors")
