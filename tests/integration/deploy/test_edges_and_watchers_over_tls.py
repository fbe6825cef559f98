"""nginx, Prometheus and Alertmanager before a suite that speaks TLS, each told what compose.tls.yaml tells its container."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from suite_local.catalogue import CONSOLE, GATEWAY, NOTIFIER, REFUNDS, WITH_CONSOLE
from suite_local.ports import LOOPBACK, free_port
from tests.support.certificates import Authority, certificate_in
from tests.support.edge import Edge
from tests.support.monitoring import monitoring
from tests.support.servers import eventually
from tests.support.suite_over_tls import Whole, believing, databases_of
from tests.support.tls_servers import TlsPostgres, TlsRabbitmq

ORDER = {
    "event_type": "order.created",
    "timestamp": "2026-11-21T10:00:00+00:00",
    "payload": {
        "originalOrderId": "T1",
        "storeID": "17",
        "positions": [{"id": "milk", "originalQuantity": 2, "quantity": 2, "price": "85.00"}],
    },
}


async def test_nginx_and_prometheus_believe_the_services_by_authority_and_by_name(
    tls_postgres: TlsPostgres, tls_rabbitmq: TlsRabbitmq, console_edge: Callable[..., Any], tmp_path: Path
) -> None:
    authority, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs", "an authority that nobody knows")
    async with databases_of(tls_postgres) as dsns, believing(authority) as session, AsyncExitStack() as stack:
        suite = Whole.planned(tmp_path, authority, amqp_url=tls_rabbitmq.url(), dsns=dsns)
        await stack.enter_async_context(suite.started())
        await suite.ready(session)

        ours = await stack.enter_async_context(edge_of(suite, "ours"))
        assert await asks_through(ours, suite) == {"hook": 200, "notification": 200, "page": 200}
        theirs = await stack.enter_async_context(edge_of(suite, "theirs", authority=stranger))
        assert await asks_through(theirs, suite) == dict.fromkeys(("hook", "notification", "page"), 503)
        assert "upstream SSL certificate verify error" in theirs.errors
        exchanged = {"EDGE_NOTIFIER": suite.plan.ports[REFUNDS.name], "EDGE_REFUNDS": suite.plan.ports[NOTIFIER.name]}
        mixed = await stack.enter_async_context(
            edge_of(suite, "mixed", **{name: f"{LOOPBACK}:{port}" for name, port in exchanged.items()})
        )
        assert await asks_through(mixed, suite) == {"hook": 200, "notification": 503, "page": 503}
        assert 'upstream SSL certificate does not match "notifier"' in mixed.errors

        for believed, status in ((authority, 200), (stranger, 502)):
            port, shown = free_port(), tmp_path / f"shown-{status}"
            trusted = certificate_in(shown)
            console = suite.url(CONSOLE).removeprefix("https://")
            async with (
                console_edge(port=port, console=console, certificates=shown, authority=believed.file),
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)) as person,
                person.get(f"https://{LOOPBACK}:{port}/sign-in") as answer,
            ):
                assert answer.status == status

        await is_watched(suite, session, believed=authority, says="")
        await is_watched(suite, session, believed=stranger, says="x509: certificate signed by unknown authority")


@asynccontextmanager
async def edge_of(
    suite: Whole, name: str, *, authority: Authority | None = None, **variables: str
) -> AsyncIterator[Edge]:
    """nginx before the suite's services, told what its container is told over TLS."""
    gateway, there = suite.plan.ports[GATEWAY.name], {"EDGE_NOTIFIER": NOTIFIER, "EDGE_REFUNDS": REFUNDS}
    addresses = {variable: f"{LOOPBACK}:{suite.plan.ports[service.name]}" for variable, service in there.items()}
    told = {**addresses, **suite.shipped("nginx", authority=authority), **variables}
    edge = Edge(suite.folder / f"edge-{name}", [gateway] * 3, free_port(), variables=told)
    try:
        await edge.start()
        yield edge
    finally:
        await edge.stop()


async def asks_through(edge: Edge, suite: Whole) -> dict[str, int]:
    """What a marketplace, a payment system and a person are answered there."""
    token = (suite.plan.run.secrets / "marketplace").read_text()
    found = {}
    async with aiohttp.ClientSession() as outside:
        for what, path, body in (
            ("hook", "/sbermarket/orders/hook", ORDER),
            ("notification", "/notifications/v1/yookassa", {}),
        ):
            async with outside.post(edge.url + path, json=body, headers={"Client-token": token}) as answer:
                found[what] = answer.status
        async with outside.get(edge.url + "/on-call") as answer:
            found["page"] = answer.status
    return found


async def is_watched(suite: Whole, session: aiohttp.ClientSession, *, believed: Authority, says: str) -> None:
    """Prometheus has looked at every service and tells what is wrong with them; Alertmanager's word comes to the notifier if nothing is."""
    folder = suite.folder / f"watched-{len(says)}"
    folder.mkdir()
    targets = {f"{each.name}:{each.port}": f"{LOOPBACK}:{suite.plan.ports[each.name]}" for each in WITH_CONSOLE}
    targets["webhook-gateway-1:8081"] = targets.pop("webhook-gateway:8081")
    token = suite.plan.run.secrets / "internal"
    async with monitoring(
        folder,
        targets=targets,
        notifier_url=suite.url(NOTIFIER),
        token_file=token,
        watchdog_every="1s",
        authority=believed.file,
    ) as alertmanager:

        async def looked() -> bool:
            async with session.get(f"http://{alertmanager.told_by}/api/v1/targets") as answer:
                found = (await answer.json())["data"]["activeTargets"]
            ours = {each["labels"]["job"]: each for each in found if each["labels"]["job"] in suite.plan.ports}
            assert ours.keys() == {each.name for each in WITH_CONSOLE}
            assert {each["health"] for each in ours.values()} == {"down" if says else "up"}
            return all(each["lastError"].endswith(says) for each in ours.values())

        await eventually(looked, within=60, what="every service is looked at")

        async def told() -> bool:
            async with session.get(f"http://{alertmanager.address}/metrics") as answer:
                lines = (await answer.text()).splitlines()
            series = 'alertmanager_notification_requests_{}total{{integration="webhook"}}'
            done, failed = (
                sum(float(line.split()[1]) for line in lines if line.startswith(series.format(word)))
                for word in ("", "failed_")
            )
            return 0 < failed == done if says else done > failed

        await eventually(told, within=60, what="the notifier is told, or not")
