"""What compose and Kubernetes hand to the services, run natively: every problem reaches a chat, a ticket and a phone, and its links open.

Environment and files are those of the containers. Only addresses are other ones: of the servers, of the services among each other, and of
the outside world, which is the sandbox.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from common.http.auth import fingerprint
from common.ids import order_number
from common.service import load_settings, running
from notifier.app import build
from notifier.settings import NotifierSettings
from sandbox.settings import from_sources
from suite_local.catalogue import GATEWAY, NOTIFIER, ORCHESTRATOR, REFUNDS, SERVICES, WITH_CONSOLE
from suite_local.ports import LOOPBACK
from suite_local.shipped import DEPLOY, compose_file, example_values, files_of, kubernetes_environment
from tests.support.console_browser import browsing
from tests.support.monitoring import monitoring
from tests.support.servers import TestRabbit, eventually
from tests.support.shipped_chats import CHANNELS
from tests.support.shipped_presses import people_act_by_buttons
from tests.support.shipped_stand import MakeEdge, Ports, Raised, Stand, stand
from tests.support.unreadable_hook import publish_unreadable_change

pytestmark = pytest.mark.timeout(900)
QUICK = [{"after": 0.5, "act": "call", "whom": "on_duty"}, {"after": 600, "act": "call", "whom": "backup"}]
# How long people are waited for, and how often Trust is asked again.
WITHOUT_WAITING = {
    NOTIFIER.name: {"NOTIFIER_ESCALATION": json.dumps(QUICK), "NOTIFIER_CALL_PAUSE": "0"},
    REFUNDS.name: {"REFUNDS_DECLINES": "1"},
}
Here = Callable[..., Any]


async def crash_a_workflow(at: Stand) -> Raised:
    """An order comes through the edge, then something that the engine cannot carry out."""
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

    async def order() -> Any:
        page = await at.call("GET", f"{at.url(ORCHESTRATOR)}/admin/v1/workflows?limit=100")
        there = any(each["order_number"] == answer["number"] for each in page["items"])
        return there and await at.call("GET", f"{at.url(ORCHESTRATOR)}/orders/v1/orders/{answer['number']}")

    await publish_unreadable_change(at.amqp_url, await eventually(order, what="the order"))
    return Raised("workflow.crashed")


async def endanger_an_order(at: Stand) -> Raised:
    """A website's order that cannot be taken."""
    body = {"customer": {"name": "Анна", "phone": "+79161234567"}, "positions": [{"id": "milk", "quantity": "many"}]}
    headers = {"Authorization": f"Bearer {at.tokens['website']}"}
    async with at.sandbox.session.post(f"{at.edge}/api/v1/orders", json=body, headers=headers) as answer:
        assert answer.status == 422, await answer.text()
    return Raised("problem.website_order.endangered")


async def fail_a_refund(at: Stand) -> Raised:
    """A refund that Trust declines for good, of the order whose workflow crashed: refunds has asked the orchestrator before."""
    await at.sandbox.put_payment("pay-1", captured=17_000)
    await at.sandbox.fault("trust", mode="declined", match="start_refund")
    url = f"{at.url(ORCHESTRATOR)}/admin/v1/orders/{order_number('sbermarket', 'H123')}/refund"
    await at.call("POST", url, role="operator", body={"amount": 6_000, "reason": "cancelled by the customer"})
    return Raised("problem.refund.error")


async def send_an_alert(at: Stand) -> Raised:
    """Alertmanager's notification, through the edge."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "TipsDown", "severity": "critical", "service": "tips"},
        "annotations": {"summary": "Tips does not answer", "runbook_url": "docs/runbooks/tips-down.md"},
        "startsAt": datetime.now(UTC).isoformat(),
        "fingerprint": "as-shipped",
    }
    notification = {"version": "4", "status": "firing", "alerts": [alert]}
    await at.call("POST", f"{at.edge}/alerts/v1/alertmanager/", role="alertmanager", body=notification)
    return Raised("problem.alert", "Tips does not answer")


async def send_an_error(at: Stand) -> Raised:
    """Sentry's webhook, signed by its secret, through the edge."""
    secret = at.programs[NOTIFIER.name].environment["NOTIFIER_SENTRY_SECRET"].encode()
    event = {
        "event_id": "e1",
        "issue_id": "17",
        "title": "HttpError: 500",
        "level": "fatal",
        "project": "front",
        "datetime": datetime.now(UTC).isoformat(),
        "web_url": f"{at.sandbox.url}/organizations/orders/issues/17/",
    }
    body = json.dumps({"action": "triggered", "data": {"event": event}}).encode()
    headers = {
        "Content-Type": "application/json",
        "Sentry-Hook-Resource": "event_alert",
        "Sentry-Hook-Signature": hmac.new(secret, body, hashlib.sha256).hexdigest(),
    }
    async with at.sandbox.session.post(f"{at.edge}/alerts/v1/sentry", data=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
    return Raised("problem.sentry", "HttpError: 500")


async def roster(at: Stand) -> None:
    """Put the example's people on duty, as the head of compose.yaml and the Kubernetes page say."""
    body = json.loads((DEPLOY / "files.example" / "roster.json").read_text())
    await at.call("PUT", f"{at.url(NOTIFIER)}/admin/v1/roster", body=body)


async def lose_an_order_at_the_edge(at: Stand) -> Raised:
    """A website's order while no gateway is there: nginx's log, and the gateway that reads it once it is back."""
    await at.programs[GATEWAY.name].kill()
    headers = {"Authorization": f"Bearer {at.tokens['website']}"}
    async with at.sandbox.session.post(f"{at.edge}/api/v1/orders", json={}, headers=headers) as answer:
        assert answer.status == 503
    await at.programs[GATEWAY.name].start()
    return Raised("problem.website_order.endangered")


async def hear_prometheus(_at: Stand) -> Raised:
    """The gateway's metric of that order, Prometheus, its rule, Alertmanager, and back through the edge."""
    return Raised("problem.alert", "503", within=120)


async def each_reaches_a_person(
    at: Stand, *problems: Callable[[Stand], Awaitable[Raised]]
) -> dict[str, dict[str, Any]]:
    """Raise one after the other, each taken before the next: a call about one would stand for the others, too."""
    found = {}
    for number, raise_it in enumerate(problems):
        incident = found[raise_it.__name__] = await at.incident(await raise_it(at))
        await at.reaches_a_person(incident, pressed_in=CHANNELS[number % 2])
    return found


async def every_link_opens(at: Stand) -> None:
    """Open the links of all messages and tickets as people do, first signed out, and the page of who is on duty."""
    links = await at.links()
    sentry = f"http://{LOOPBACK}:{at.ports.sandbox}"
    assert {link for link in links if not link.startswith((at.console, sentry))} == set()
    paths = sorted(link.removeprefix(at.console) for link in links if link.startswith(at.console))
    assert {path.split("/")[1] for path in paths} >= {"i", "o", "w", "r", "e", "runbook"}
    assert {f"{sentry}/organizations/orders/issues/17/"} < {link for link in links if link.startswith(sentry)}
    async with browsing(at.console, trusted=at.trusted) as browser:
        for path in paths:
            await browser.get(path)
            assert (browser.status, browser.path) == (200, "/sign-in"), path
            assert f'name="to" value="{path}"' in browser.page, path
        await browser.post("/sign-in", token=at.tokens["viewer"], to=paths[0])
        assert browser.path == paths[0]  # where one wanted to go
        for path in paths:
            page = await browser.get(path)
            assert (browser.status, browser.headers["Content-Type"]) == (200, "text/html; charset=utf-8"), page
            assert browser.path in {path, "/find"}, (
                path
            )  # an order that was refused is not one yet: what there is of it
            assert browser.path == path or path.removeprefix("/o/") in page, path
            assert "+7916" not in page, path
    async with aiohttp.ClientSession(headers={"Accept": "text/html"}) as plain:
        for link in (*(link for link in links if link.startswith(sentry)), f"{at.edge}/on-call"):
            async with plain.get(link) as answer:
                text = await answer.text()
                assert (answer.status, answer.content_type) == (200, "text/html"), (link, text)
    assert "Олег" in text


async def people_are_put_on_duty(at: Stand) -> None:
    """What is deployed is the example, and is said to be: by an address, and in the log from the start on."""
    assert await at.missing() == {"routes", "people", "roster"}
    log = at.programs[NOTIFIER.name].log
    await eventually(lambda: said_in(log, "the routes file is an example"), what="a warning at the start")
    assert await said_in(log, "the people file is an example")
    await roster(at)
    assert await at.missing() == {"routes", "people"}


async def said_in(log: Path, words: str) -> bool:
    """Whether a warning of the notifier says so."""
    return any("coverage_missing" in line and words in line for line in log.read_text().splitlines())


@pytest.fixture
def shipped(
    edge_for: MakeEdge,
    console_edge: MakeEdge,
    database_for: Callable[[str], Awaitable[str]],
    amqp_url: str,
    rabbit: TestRabbit,
    tmp_path: Path,
) -> Here:
    """`async with shipped(told, files, ports=…) as at:` runs everything with what containers are told."""

    @asynccontextmanager
    async def run(
        told: Mapping[str, Mapping[str, str]], files: Mapping[str, Mapping[str, str]], *, ports: Ports, **sandbox: Any
    ) -> AsyncIterator[Stand]:
        told = {name: {**values, **WITHOUT_WAITING.get(name, {})} for name, values in told.items()}
        told["edge"] = {name: value for name, value in told["edge"].items() if not name.startswith("NGINX_")}
        async with (
            rabbit.accounts(amqp_url) as accounts,
            stand(
                told,
                files,
                ports=ports,
                edge_for=edge_for,
                console_edge=console_edge,
                database_for=database_for,
                amqp_url=amqp_url,
                accounts=accounts,
                folder=tmp_path,
                **sandbox,
            ) as at,
        ):
            yield at

    return run


def what_compose_ships(ports: Ports) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What each container is told, its files, and the sandbox's settings."""
    compose = compose_file(example_values())
    containers = {service.name: service.name for service in WITH_CONSOLE} | {GATEWAY.name: "webhook-gateway-1"}
    told = {name: compose["services"][each]["environment"] for name, each in {**containers, "edge": "nginx"}.items()}
    files = {name: files_of(compose, container) for name, container in containers.items()}
    outside = {
        name: ports.translated(value, {}) for name, value in compose["services"]["sandbox"]["environment"].items()
    }
    return told, files, from_sources({}, outside).model_dump(exclude_unset=True)


async def what_is_closed_at_the_edge(at: Stand) -> None:
    """See that nobody outside reaches what is meant for people and machines inside."""
    for closed in ("/admin/v1/incidents", "/metrics", "/readyz", "/i/1", "/alerts/v1/other"):
        async with at.sandbox.session.get(at.edge + closed) as answer:
            assert answer.status == 404, closed


async def test_what_compose_ships_brings_a_crash_to_a_person(shipped: Here, free_port: Callable[[], int]) -> None:
    ports = Ports.chosen(free_port)
    told, files, sandbox = what_compose_ships(ports)
    async with shipped(told, files, ports=ports, **sandbox) as at:
        at.tokens = {**at.tokens, "hook": example_values()["MARKETPLACE_TOKEN"]}
        await people_are_put_on_duty(at)
        await each_reaches_a_person(at, crash_a_workflow)
        await what_is_closed_at_the_edge(at)


@pytest.mark.chaos  # a minute and more: chats take no more than so many messages
async def test_what_compose_ships_brings_every_problem_to_a_person(
    shipped: Here, free_port: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = Ports.chosen(free_port)
    told, files, sandbox = what_compose_ships(ports)
    async with shipped(told, files, ports=ports, **sandbox) as at:
        at.tokens = {**at.tokens, "hook": example_values()["MARKETPLACE_TOKEN"]}
        own = files_of_ones_own(at, tmp_path)
        async with another_notifier(at, monkeypatch, **own) as coverage_says:
            await coverage_says({"roster"})
            await people_are_put_on_duty(at)
            await coverage_says(set())
        told = await each_reaches_a_person(
            at, crash_a_workflow, endanger_an_order, send_an_error, fail_a_refund, send_an_alert
        )
        await people_act_by_buttons(
            at,
            crashed=told["crash_a_workflow"],
            refund=told["fail_a_refund"],
            noisy=(told["endanger_an_order"], told["send_an_error"], told["send_an_alert"]),
            first="telegram",
        )
        await every_link_opens(at)
        async with at.sandbox.session.get(f"{at.edge}/on-call.ics") as feed:
            assert (feed.status, feed.content_type) == (200, "text/calendar")
        async with at.sandbox.session.post(f"{at.edge}/notifications/v1/yookassa/", json={}) as answer:
            assert answer.status in {200, 400, 422}  # the refunds service, not the edge
        await what_is_closed_at_the_edge(at)

        for taken_away, what in (
            ("NOTIFIER_ROUTES_FILE", {"routes"}),
            ("NOTIFIER_PEOPLE_FILE", {"people", "roster"}),
            ("NOTIFIER_CALL_URL", {"call_provider"}),
        ):
            async with another_notifier(at, monkeypatch, **{**own, taken_away: ""}) as coverage_says:
                await coverage_says(what)
        async with another_notifier(at, monkeypatch, **own, NOTIFIER_ESCALATION="[]") as coverage_says:
            await coverage_says({"escalation"})


def files_of_ones_own(at: Stand, folder: Path) -> dict[str, str]:
    """What operators make of the examples: nothing in it is invented any more; returns the settings that name the files."""
    made = {}
    for name in ("people", "routes"):
        example = Path(at.programs[NOTIFIER.name].environment[f"NOTIFIER_{name.upper()}_FILE"]).read_text()
        own = folder / f"own-{name}.json"
        own.write_text(re.sub(r'"invented": true,? ?|, "invented": true', "", example))
        made[f"NOTIFIER_{name.upper()}_FILE"] = str(own)
    return made


@asynccontextmanager
async def another_notifier(
    at: Stand, monkeypatch: pytest.MonkeyPatch, **changes: str
) -> AsyncIterator[Callable[[set[str]], Awaitable[None]]]:
    """Run another replica, told otherwise in some things; what is given waits until address and metric say what is missing."""
    with monkeypatch.context() as environment:
        for name, value in {**at.programs[NOTIFIER.name].environment, **changes, "NOTIFIER_PORT": "0"}.items():
            environment.setenv(name, value)
        settings = load_settings(NotifierSettings)
    async with running(build, settings) as application:

        async def says(what: set[str]) -> None:
            answer = await at.call("GET", f"{application.url}/admin/v1/coverage")
            assert {hole["what"] for hole in answer["missing"]} == what

            async def shown() -> bool:
                async with at.sandbox.session.get(f"{application.url}/metrics") as metrics:
                    series = re.findall(r'notifier_coverage_missing\{what="(\w+)"\} (\S+)', await metrics.text())
                return {name for name, value in series if value == "1.0"} == what

            if what:  # the metric follows within seconds; that it goes down is not waited for
                await eventually(shown, what=f"the metric says {what}")

        yield says


async def test_what_kubernetes_ships_brings_every_problem_to_a_person(
    shipped: Here, free_port: Callable[[], int], tmp_path: Path
) -> None:
    ports = Ports.chosen(free_port)
    told = {name: kubernetes_environment(name) for name in (*(service.name for service in WITH_CONSOLE), "edge")}
    folders = {GATEWAY.name: "webhook-gateway-files", NOTIFIER.name: "notifier-files"}
    examples = DEPLOY / "k8s" / "secrets.example"
    files = {
        service.name: {
            path.name: path.read_text() for path in (examples / folders.get(service.name, "suite-files")).iterdir()
        }
        for service in SERVICES
    }
    async with shipped(told, files, ports=ports) as at:
        [[known]] = [each["auth"]["tokens"] for each in json.loads(files[GATEWAY.name]["sources.json"]).values()]
        at.tokens = {**at.tokens, "hook": "change-me"}
        assert known == f"sha256:{fingerprint(at.tokens['hook'])}"
        await people_are_put_on_duty(at)
        known = {f"{GATEWAY.name}-1:{GATEWAY.port}": f"{LOOPBACK}:{ports.services[GATEWAY.name]}"}
        token = tmp_path / "alertmanager-token"
        token.write_text(at.tokens["alertmanager"])
        (tmp_path / "monitoring").mkdir()
        async with monitoring(tmp_path / "monitoring", targets=known, notifier_url=at.edge, token_file=token):
            told = await each_reaches_a_person(
                at, lose_an_order_at_the_edge, crash_a_workflow, fail_a_refund, send_an_error, hear_prometheus
            )
        await people_act_by_buttons(
            at,
            crashed=told["crash_a_workflow"],
            refund=told["fail_a_refund"],
            noisy=(told["lose_an_order_at_the_edge"], told["send_an_error"], told["hear_prometheus"]),
            first="slack",
        )
        await every_link_opens(at)
