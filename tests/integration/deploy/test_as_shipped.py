"""What compose and Kubernetes hand to the services, run natively: every problem reaches a chat, a ticket and a phone, and its links open.

Environment and files are those of the containers. Only addresses are other ones: of the servers, of the services among each other, and of
the outside world, which is the sandbox.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from common.contracts import Envelope
from common.contracts.orders import WorkflowCrashedV1
from common.ids import derived_id
from common.messaging import Broker
from common.service import load_settings, running
from common.testing import eventually
from notifier.app import build
from notifier.settings import NotifierSettings
from sandbox.settings import from_sources
from suite_local.catalogue import GATEWAY, NOTIFIER, ORCHESTRATOR, REFUNDS, SERVICES
from suite_local.ports import LOOPBACK
from suite_local.shipped import DEPLOY, compose_file, example_values, files_of, kubernetes_environment
from tests.support.monitoring import monitoring
from tests.support.shipped_stand import MakeDatabase, MakeEdge, Ports, Stand, stand

pytestmark = pytest.mark.timeout(300)
QUICK = [{"after": 0.5, "act": "call", "whom": "on_duty"}, {"after": 600, "act": "call", "whom": "backup"}]
ELSEWHERE = "https://sentry.example/issues/17"


async def crash_a_workflow(at: Stand) -> dict[str, Any]:
    """An order comes through the edge, and its workflow is said to have crashed, as the engine says it."""
    body = {
        "event_type": "order.created",
        "timestamp": datetime.now(UTC).isoformat(),
        "payload": {
            "originalOrderId": "H123",
            "storeID": "17",
            "payment": {"id": "pay-1", "method": "card"},
            "positions": [{"id": "sku-1", "originalQuantity": 2, "quantity": 2, "price": "85.00"}],
        },
    }
    answer = await at.call(
        "POST", f"{at.edge}/sbermarket/orders/hook", body=body, **{"Client-token": at.tokens["hook"]}
    )

    async def workflow() -> Any:
        page = await at.call("GET", f"{at.url(ORCHESTRATOR)}/admin/v1/workflows?limit=100")
        return next((each for each in page["items"] if each["order_number"] == answer["number"]), None)

    found = await eventually(workflow, within=60, what="the order's workflow")
    crashed = WorkflowCrashedV1(
        workflow_id=found["id"],
        kind="order",
        order_number=answer["number"],
        event_type="order.created",
        error="KeyError: price",
        attempts=5,
        occurred_at=datetime.now(UTC),
    )
    broker = Broker(at.amqp_url, name="as-shipped")
    task = asyncio.create_task(broker.run())
    try:
        await broker.wait_ready()
        envelope = Envelope.of(
            crashed,
            event_id=derived_id("as-shipped", answer["number"]),
            source="/orchestrator",
            subject=answer["number"],
            time=crashed.occurred_at,
            traceparent=None,
        )
        await broker.publisher.publish(envelope, deadline=15.0)
    finally:
        await broker.stop()
        await task
    return {"told_as": {"kind": "workflow.crashed", "words": str(found["id"])}, "number": answer["number"]}


async def endanger_an_order(at: Stand) -> dict[str, str]:
    """A website's order that cannot be taken."""
    body = {"customer": {"name": "Анна", "phone": "+79161234567"}, "positions": [{"id": "milk", "quantity": "many"}]}
    headers = {"Authorization": f"Bearer {at.tokens['website']}"}
    async with at.sandbox.session.post(f"{at.edge}/api/v1/orders", json=body, headers=headers) as answer:
        assert answer.status == 422, await answer.text()
    return {"kind": "problem.website_order.endangered", "words": ""}


async def fail_a_refund(at: Stand, number: str) -> dict[str, str]:
    """A refund that Trust declines for good."""
    await at.sandbox.put_payment("pay-1", captured=17_000)
    await at.sandbox.fault("trust", mode="declined", match="start_refund")
    wish = {
        "order_number": number,
        "payment_id": "pay-1",
        "amount": 6_000,
        "currency": "RUB",
        "reason": "cancelled by the customer",
        "business_key": f"{number}:as-shipped",
    }
    await at.call("POST", f"{at.url(REFUNDS)}/refunds/v1/refunds", role="internal", body=wish)
    return {"kind": "problem.refund.error", "words": ""}


async def send_an_alert(at: Stand) -> dict[str, str]:
    """Alertmanager's notification, through the edge."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "TipsDown", "severity": "critical", "service": "tips"},
        "annotations": {"summary": "Tips does not answer", "runbook_url": "docs/runbooks/tips-down.md"},
        "startsAt": datetime.now(UTC).isoformat(),
        "fingerprint": "as-shipped",
    }
    notification = {"version": "4", "status": "firing", "alerts": [alert]}
    await at.call("POST", f"{at.edge}/alerts/v1/alertmanager", role="internal", body=notification)
    return {"kind": "problem.alert", "words": "Tips does not answer"}


async def send_an_error(at: Stand) -> dict[str, str]:
    """Sentry's webhook, signed by its secret, through the edge."""
    event = {
        "event_id": "e1",
        "issue_id": "17",
        "title": "HttpError: 500",
        "level": "fatal",
        "project": "front",
        "datetime": datetime.now(UTC).isoformat(),
        "web_url": ELSEWHERE,
    }
    body = json.dumps({"action": "triggered", "data": {"event": event}}).encode()
    secret = example_values()["SENTRY_SECRET"].encode()
    headers = {
        "Content-Type": "application/json",
        "Sentry-Hook-Resource": "event_alert",
        "Sentry-Hook-Signature": hmac.new(secret, body, hashlib.sha256).hexdigest(),
    }
    async with at.sandbox.session.post(f"{at.edge}/alerts/v1/sentry", data=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
    return {"kind": "problem.sentry", "words": "HttpError: 500"}


async def roster(at: Stand) -> None:
    """Put the example's people on duty, as the head of compose.yaml and the Kubernetes page say."""
    body = json.loads((DEPLOY / "files.example" / "roster.json").read_text())
    await at.call("PUT", f"{at.url(NOTIFIER)}/admin/v1/roster", body=body)


async def opens(at: Stand, link: str) -> str:
    """GET a link as a browser does; it answers a page."""
    async with aiohttp.ClientSession(headers={"Accept": "text/html"}) as browser, browser.get(link) as answer:
        text = await answer.text()
        assert (answer.status, answer.content_type) == (200, "text/html"), (link, text)
        return text


async def test_what_compose_ships_brings_every_problem_to_a_person(
    edge_for: MakeEdge,
    database_for: MakeDatabase,
    amqp_url: str,
    free_port: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ports = Ports.chosen(free_port)
    compose = compose_file({**example_values(), "ESCALATION": json.dumps(QUICK), "CALL_PAUSE": "0"})
    containers = {service.name: service.name for service in SERVICES} | {GATEWAY.name: "webhook-gateway-1"}
    told = {name: compose["services"][container]["environment"] for name, container in containers.items()}
    told["edge"] = {
        name: value
        for name, value in compose["services"]["nginx"]["environment"].items()
        if not name.startswith("NGINX_")
    }
    files = {name: files_of(compose, container) for name, container in containers.items()}
    outside = {
        name: ports.translated(value, {}) for name, value in compose["services"]["sandbox"]["environment"].items()
    }
    async with stand(
        told,
        files,
        ports=ports,
        edge_for=edge_for,
        database_for=database_for,
        amqp_url=amqp_url,
        folder=tmp_path,
        **from_sources({}, outside).model_dump(exclude_unset=True),
    ) as at:
        at.tokens = {**at.tokens, "hook": example_values()["MARKETPLACE_TOKEN"]}
        assert await at.missing() == {"roster"}
        await roster(at)
        assert await at.missing() == set()

        # One after the other: a call about one problem would stand for the others, too.
        crash = await crash_a_workflow(at)
        await at.reaches_a_person(await at.incident(**crash["told_as"]))
        for raised in (endanger_an_order(at), fail_a_refund(at, crash["number"]), send_an_alert(at), send_an_error(at)):
            told_as = await raised
            await at.reaches_a_person(await at.incident(told_as["kind"], told_as["words"]))

        links = await at.links()
        console = f"http://{LOOPBACK}:{ports.services['notifier']}"
        assert links - {ELSEWHERE} == {link for link in links if link.startswith(console)}
        assert {link.removeprefix(console).split("/")[1] for link in links if link.startswith(console)} >= {
            *("i", "o", "w", "r", "e", "runbook")
        }
        for link in links - {ELSEWHERE}:
            assert "+7916" not in await opens(at, link)
        assert "Олег" in await opens(at, f"{at.edge}/on-call")
        async with at.sandbox.session.get(f"{at.edge}/on-call.ics") as feed:
            assert (feed.status, feed.content_type) == (200, "text/calendar")
        async with at.sandbox.session.post(f"{at.edge}/notifications/v1/yookassa", json={}) as answer:
            assert answer.status in {200, 400, 422}  # the refunds service, not the edge
        for closed in ("/admin/v1/incidents", "/metrics", "/readyz", "/i/1", "/alerts/v1/other"):
            async with at.sandbox.session.get(at.edge + closed) as answer:
                assert answer.status == 404, closed

        # Each link of the chain taken away from a replica of the notifier.
        for variable, what in (
            ("NOTIFIER_ROUTES_FILE", {"routes"}),
            ("NOTIFIER_PEOPLE_FILE", {"people", "roster"}),
            ("NOTIFIER_CALL_URL", {"call_provider"}),
        ):
            with monkeypatch.context() as environment:
                for name, value in at.programs[NOTIFIER.name].environment.items():
                    if name != variable:
                        environment.setenv(name, value)
                environment.setenv("NOTIFIER_PORT", "0")
                settings = load_settings(NotifierSettings)
            async with running(build, settings) as application:
                answer = await at.call("GET", f"{application.url}/admin/v1/coverage")
                assert {hole["what"] for hole in answer["missing"]} == what
                await shown_to_prometheus(at, application.url, what)


async def shown_to_prometheus(at: Stand, url: str, what: set[str]) -> None:
    """Wait until the series that the alert looks at says so."""

    async def shown() -> bool:
        async with at.sandbox.session.get(f"{url}/metrics") as answer:
            series = re.findall(r'notifier_coverage_missing\{what="(\w+)"\} 1\.0', await answer.text())
        return set(series) == what

    await eventually(shown, within=30, what=f"the metric says {what}")


async def test_what_kubernetes_ships_brings_a_problem_to_a_person(
    edge_for: MakeEdge, database_for: MakeDatabase, amqp_url: str, free_port: Callable[[], int], tmp_path: Path
) -> None:
    ports = Ports.chosen(free_port)
    told = {name: kubernetes_environment(name) for name in (*(service.name for service in SERVICES), "edge")}
    told["edge"] = {name: value for name, value in told["edge"].items() if not name.startswith("NGINX_")}
    world = f"http://{LOOPBACK}:{ports.sandbox}"
    told[NOTIFIER.name] |= {  # what Telegram and Slack are by default, and how long people are waited for
        "NOTIFIER_TELEGRAM_API_URL": world,
        "NOTIFIER_SLACK_API_URL": f"{world}/api/",
        "NOTIFIER_ESCALATION": json.dumps(QUICK),
        "NOTIFIER_CALL_PAUSE": "0",
    }
    folders = {GATEWAY.name: "webhook-gateway-files", NOTIFIER.name: "notifier-files"}
    examples = DEPLOY / "k8s" / "secrets.example"
    files = {
        service.name: {
            path.name: path.read_text() for path in (examples / folders.get(service.name, "suite-files")).iterdir()
        }
        for service in SERVICES
    }
    async with stand(
        told, files, ports=ports, edge_for=edge_for, database_for=database_for, amqp_url=amqp_url, folder=tmp_path
    ) as at:
        assert await at.missing() == {"routes", "roster"}  # the example's chats are marked as invented
        await roster(at)
        assert await at.missing() == {"routes"}
        # An order that ends in nginx: its log, the gateway's metric, Prometheus, its rule, Alertmanager, and back through the edge.
        known = {f"{GATEWAY.name}-1:{GATEWAY.port}": f"{LOOPBACK}:{ports.services[GATEWAY.name]}"}
        token = tmp_path / ORCHESTRATOR.name / "internal-token"
        (tmp_path / "monitoring").mkdir()
        async with monitoring(tmp_path / "monitoring", targets=known, notifier_url=at.edge, token_file=token):
            await at.programs[GATEWAY.name].kill()
            headers = {"Authorization": f"Bearer {at.tokens['website']}"}
            async with at.sandbox.session.post(f"{at.edge}/api/v1/orders", json={}, headers=headers) as answer:
                assert answer.status == 503
            await at.programs[GATEWAY.name].start()
            await at.reaches_a_person(await at.incident("problem.website_order.endangered", ""))
            await at.reaches_a_person(await at.incident("problem.alert", "503", within=120))
        for link in await at.links():
            await opens(at, link)
        assert "Олег" in await opens(at, f"{at.edge}/on-call")
