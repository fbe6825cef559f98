"""What compose and Kubernetes hand to the services, run natively: every problem reaches a chat, a ticket and a phone, and its links open.

Environment and files are those of the containers. Only addresses are other ones: of the servers, of the services among each other, and of
the outside world, which is the sandbox.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
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
from sandbox.testing import RunningSandbox, running_sandbox
from suite_local.catalogue import GATEWAY, NOTIFIER, ORCHESTRATOR, REFUNDS, SERVICES, TIPS, Service
from suite_local.ports import LOOPBACK
from tests.support.processes import Program
from tests.support.shipped import DEPLOY, compose_file, example_values, kubernetes_environment

pytestmark = pytest.mark.timeout(300)
MakeEdge = Callable[..., AbstractAsyncContextManager[Any]]
MakeDatabase = Callable[[str], Awaitable[str]]
QUICK = [{"after": 0.5, "act": "call", "whom": "on_duty"}, {"after": 600, "act": "call", "whom": "backup"}]
_LINK = re.compile(r'href="([^"]+)"|<(https?://[^|>]+)\||(https?://[^\s<>"|]+)')
ELSEWHERE = "https://sentry.example/issues/17"


@dataclass
class Ports:
    """Where everything is instead."""

    services: dict[str, int]
    edge: int
    sandbox: int
    smtp: int

    @classmethod
    def chosen(cls, free_port: Callable[[], int]) -> Ports:
        return cls({service.name: free_port() for service in SERVICES}, free_port(), free_port(), free_port())

    def translated(self, value: str, places: Mapping[str, str]) -> str:
        """Return a container's value with the addresses that are there."""
        here = {
            **{f"{service.name}:{service.port}": f"{LOOPBACK}:{self.services[service.name]}" for service in SERVICES},
            **{
                f"{service.name}.order-suite.svc.cluster.local:{service.port}": f"{LOOPBACK}:{self.services[service.name]}"
                for service in SERVICES
            },
            **{f"webhook-gateway-{name}:8081": self._gateway for name in (1, 2, 3)},
            "webhook-gateway-replicas.order-suite.svc.cluster.local:8081": self._gateway,
            "127.0.0.1:8081": self._gateway,
            "nginx:8080": f"{LOOPBACK}:{self.edge}",
            "0.0.0.0:8080": f"{LOOPBACK}:{self.edge}",
            "127.0.0.1:8085": f"{LOOPBACK}:{self.services['notifier']}",
            "sandbox:8090": f"{LOOPBACK}:{self.sandbox}",
            "otel-collector:4318": f"{LOOPBACK}:1",
            "https://console.example.com": f"http://{LOOPBACK}:{self.services['notifier']}",
            "https://orders.example.com": f"http://{LOOPBACK}:{self.edge}",
            "https://calls.example.com/v1": f"http://{LOOPBACK}:{self.sandbox}/calls/v1",
            **{
                f"https://{name}.example.com": f"http://{LOOPBACK}:{self.sandbox}"
                for name in ("trust", "feedback", "watcher")
            },
            "kube-dns.kube-system.svc.cluster.local": LOOPBACK,
            " resolve": "",  # Debian's nginx knows it not, and these are numbers
            **places,
        }
        for there in sorted(here, key=len, reverse=True):
            value = value.replace(there, here[there])
        return {"0.0.0.0": LOOPBACK, "sandbox": LOOPBACK, "mail.example.com": LOOPBACK}.get(value, value)  # noqa: S104

    @property
    def _gateway(self) -> str:
        return f"{LOOPBACK}:{self.services['webhook-gateway']}"


@dataclass
class Stand:
    """The five services, the edge and the sandbox, running."""

    ports: Ports
    edge: str
    sandbox: RunningSandbox
    programs: Mapping[str, Program]
    tokens: Mapping[str, str]
    amqp_url: str

    def url(self, service: Service) -> str:
        return self.programs[service.name].url

    async def call(self, method: str, url: str, *, role: str = "admin", body: Any = None, **headers: str) -> Any:
        """Call with a role's token; anything but success is an ``AssertionError``."""
        given = {"Authorization": f"Bearer {self.tokens[role]}", **headers}
        async with self.sandbox.session.request(method, url, json=body, headers=given) as answer:
            assert answer.status < 300, (url, answer.status, await answer.text())
            return await answer.json(content_type=None)

    async def missing(self) -> set[str]:
        """What coverage says is missing."""
        answer = await self.call("GET", f"{self.url(NOTIFIER)}/admin/v1/coverage", role="viewer")
        assert answer["covered"] == (not answer["missing"])
        return {hole["what"] for hole in answer["missing"]}

    async def incident(self, kind: str, words: str) -> dict[str, Any]:
        """The open incident of that kind that says so, when it is there."""

        async def found() -> Any:
            page = await self.call("GET", f"{self.url(NOTIFIER)}/admin/v1/incidents?state=open&limit=100")
            return next((each for each in page["items"] if each["kind"] == kind and words in each["summary"]), None)

        incident: dict[str, Any] = await eventually(found, within=60, what=f"an incident {kind}")
        return incident

    async def reaches_a_person(self, incident: Mapping[str, Any]) -> None:
        """Wait until chat, ticket and phone have it; then take it by a button, through the edge."""

        async def message() -> Any:
            page = await self.sandbox.control("GET", "/sandbox/telegram/messages")
            data = f"n1:a:{incident['id']}"
            return next((each for each in page["items"] if data in json.dumps(each.get("reply_markup") or {})), None)

        async def phoned() -> bool:
            calls = [each["request"] for each in await self.sandbox.log("calls") if each["effect"]]
            return any(incident["summary"][:60] in each["text"] and each["phone"].startswith("+7999") for each in calls)

        async def ticket() -> bool:
            url = f"{self.url(NOTIFIER)}/admin/v1/tickets?incident={incident['id']}"
            return any(each["key"] for each in (await self.call("GET", url))["items"])

        told = await eventually(message, within=60, what=f"a chat is told of {incident['kind']}")
        await eventually(ticket, within=60, what=f"a ticket of {incident['kind']}")
        await eventually(phoned, within=60, what=f"a call about {incident['kind']}")
        press = {
            "message_id": told["message_id"],
            "chat_id": told["chat"]["id"],
            "callback_data": f"n1:a:{incident['id']}",
            "user": "oleg",
        }
        report = await self.sandbox.control("POST", "/sandbox/telegram/press", press)
        assert [each["delivered"] for each in report["deliveries"]] == [True], report

        async def taken() -> bool:
            page = await self.call("GET", f"{self.url(NOTIFIER)}/admin/v1/incidents?state=acknowledged&limit=100")
            return (incident["id"], "oleg") in {(each["id"], each["acknowledged_by"]) for each in page["items"]}

        await eventually(taken, within=30, what="the button takes the incident")

    async def links(self) -> set[str]:
        """Every link in every message and ticket."""
        said = [json.dumps(await self.sandbox.log(system), ensure_ascii=False) for system in ("telegram", "slack")]
        tickets = (await self.call("GET", f"{self.url(NOTIFIER)}/admin/v1/tickets?limit=100"))["items"]
        said += [ticket["description"] for ticket in tickets]
        texts = "\n".join(said).replace('\\"', '"').replace("\\n", "\n").replace("&amp;", "&")
        found = {next(filter(None, groups)) for groups in _LINK.findall(texts)}
        return {link for link in found if f":{self.ports.sandbox}" not in link and f":{self.ports.edge}" not in link}


@asynccontextmanager
async def stand(
    told: Mapping[str, Mapping[str, str]],
    files: Mapping[str, Mapping[str, str]],
    *,
    ports: Ports,
    edge_for: MakeEdge,
    database_for: MakeDatabase,
    amqp_url: str,
    folder: Path,
    **sandbox: Any,
) -> AsyncIterator[Stand]:
    """Start everything with what each container is ``told`` and the ``files`` in its /run/suite; ``edge`` is nginx."""
    databases = {service.name: await database_for(service.package) for service in SERVICES if service.database}
    databases[TIPS.name] = databases[ORCHESTRATOR.name]
    programs: dict[str, Program] = {}
    for service in SERVICES:
        own = folder / service.name
        own.mkdir()
        for name, content in files[service.name].items():
            (own / name).write_text(content)
        places = {
            "/run/suite": str(own),
            "/var/lib/suite/spool": str(folder / "spool"),
            "/var/log/suite-edge": str(folder / "nginx" / "edge-log"),
        }
        here = {name: ports.translated(value, places) for name, value in told[service.name].items()}
        here[f"{service.prefix}PORT"] = str(ports.services[service.name])
        here[f"{service.prefix}POSTGRES_DSN"] = databases[service.name]
        for name in (f"{service.prefix}AMQP_URL", f"{service.prefix}SMTP_PORT"):
            if name in here:
                here[name] = amqp_url if name.endswith("AMQP_URL") else str(ports.smtp)
        url = f"http://{LOOPBACK}:{ports.services[service.name]}"
        programs[service.name] = Program(("-m", service.package, "serve"), here, url, folder / f"{service.name}.log")
    edge_variables = {
        name: ports.translated(value, {"/var/log/suite-edge": str(folder / "nginx" / "edge-log")})
        for name, value in told["edge"].items()
    }
    entries = json.loads(files[GATEWAY.name]["tokens.json"])["tokens"]
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(running_sandbox(port=ports.sandbox, smtp_port=ports.smtp, **sandbox))
        for program in programs.values():
            stack.push_async_callback(program.kill)
        await asyncio.gather(*(program.start() for program in programs.values()))
        edge = await stack.enter_async_context(edge_for([1, 1, 1], variables=edge_variables))
        yield Stand(
            ports=ports,
            edge=edge.url,
            sandbox=world,
            programs=programs,
            tokens={entry["role"]: entry["token"] for entry in entries},
            amqp_url=amqp_url,
        )


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
    """Sentry's webhook, through the edge."""
    event = {
        "event_id": "e1",
        "issue_id": "17",
        "title": "HttpError: 500",
        "level": "fatal",
        "project": "front",
        "datetime": datetime.now(UTC).isoformat(),
        "web_url": ELSEWHERE,
    }
    await at.call(
        "POST",
        f"{at.edge}/alerts/v1/sentry",
        role="internal",
        body={"action": "triggered", "data": {"event": event}},
    )
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
    files = {
        name: {
            Path(each["target"]).name: compose["configs"][each["source"]]["content"]
            for each in compose["services"][container].get("configs", ())
        }
        for name, container in containers.items()
    }
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
            await at.reaches_a_person(await at.incident(**await raised))

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
        await at.reaches_a_person(await at.incident(**await send_an_alert(at)))
        for link in await at.links():
            await opens(at, link)
        assert "Олег" in await opens(at, f"{at.edge}/on-call")
