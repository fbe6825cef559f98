"""One customer comes in by every way there is, is erased, and stands nowhere any more: the page of personal data is right."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from common.contracts import Envelope
from common.ids import new_id, order_number
from suite_local.catalogue import SERVICES
from suite_local.paths import RunDirectory
from suite_local.practise import publish_as_another
from suite_local.testing import free_ports
from tests.e2e.trouble import GATEWAY, NOTIFIER, ORCHESTRATOR, REFUNDS, Trouble
from tests.support.marks import Found, in_answers, in_files, in_queues, in_tables, words_in
from tests.support.money_and_audit import audit_of, money_of
from tests.support.personal_data import listed
from tests.support.servers import eventually
from tests.support.suite_client import POSITIONS, TOTAL, Client, RunningSuite, environment_for, hook
from tests.support.unreadable_hook import publish_unreadable_change

from .conftest import Faults

pytestmark = pytest.mark.chaos

HOLDERS = (GATEWAY, ORCHESTRATOR, REFUNDS, NOTIFIER)
PHONE, MAIL = "+79167772891", "zinaida.metkina@customer.example"
WORDS = ("Меткина", "9167772891", "777-28-91", "zinaida.metkina", "Меточный", "кодоворот")
CUSTOMER = {"name": "Зинаида Меткина", "phone": PHONE, "email": MAIL}
ADDRESS = {"full_address": "Меточный переулок, 7, кв. 91"}
COMMENT = "Кодоворот: оставить у Меткиной, звонить 8 (916) 777-28-91"
SAID = f"Зинаида Меткина, {MAIL}, просила звонить: 8 916 777-28-91"
"""What one of our people writes about her."""
ODD = f"{MAIL} 8 916 777-28-91"
"""What stands where goods are meant."""
BY_NAME = "так просила Меткина"
ORDER = {"customer": CUSTOMER, "address": ADDRESS, "comment": COMMENT, "positions": POSITIONS, "total": TOTAL}
KEPT = {"audit_log.reason"}
"""Where her name stays if one of our people wrote it: rows that nobody can change."""


@dataclass
class World:
    """The suite, and what its collector of traces was sent."""

    client: Client
    session: aiohttp.ClientSession
    spans: list[bytes] = field(default_factory=list)

    @property
    def suite(self) -> RunningSuite:
        """The suite."""
        return self.client.suite

    async def outside_tables(self) -> Found:
        """Where the words stand beside the databases."""
        sandbox = self.suite.url("sandbox")
        metrics = [self.suite.url(service) + "/metrics" for service in self.suite.description["services"]]
        queues, _ = await in_queues(self.suite, self.session, WORDS)
        return (
            queues
            | await asyncio.to_thread(in_files, self.suite.directory, WORDS)
            | await in_answers(self.session, [*metrics, f"{sandbox}/sandbox/sentry/log?limit=1000"], WORDS)
            | {("traces", word) for span in self.spans for word in words_in(span, WORDS)}
        )

    async def reports(self) -> list[str]:
        """Sentry's log as it came, entry by entry."""
        page = await self.client.get("sandbox", "/sandbox/sentry/log", role=None, limit=1000)
        return [json.dumps(entry) for entry in page["items"]]

    async def in_tables(self) -> Found:
        """Where the words stand in the databases."""
        return await in_tables(self.suite.description["databases"], WORDS)

    async def act(self, service: str, path: str, *, role: str = "operator", **body: Any) -> Any:
        """POST; whatever is no success is an error."""
        url = self.suite.url(service) + path
        status, said = await self.client.post(url, {"reason": "for a test", **body}, role=role)
        assert status < 300, (path, status, said)
        return said

    @property
    def amqp_url(self) -> str:
        """The suite's broker."""
        return str(self.suite.description["infrastructure"]["rabbitmq"]["url"])


@asynccontextmanager
async def collector(spans: list[bytes]) -> AsyncIterator[str]:
    """Take in traces as a collector does; its address."""

    async def take(request: web.Request) -> web.Response:
        spans.append(await request.read())
        return web.Response()

    application = web.Application(client_max_size=16 * 1024**2)
    application.router.add_post("/v1/traces", take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A suite of its own that tells all it can: traces, Sentry, logs for debugging."""
    ports, spans = free_ports(), list[bytes]()
    async with collector(spans) as traces, aiohttp.ClientSession() as session:
        told = {
            "OTLP_ENDPOINT": traces,
            "SENTRY_DSN": f"http://key@127.0.0.1:{ports['SUITE_SANDBOX_PORT']}/1",
            "LOG_LEVEL": "DEBUG",
        }
        settings = {service.prefix + name: value for service in SERVICES for name, value in told.items()}
        suite = RunningSuite(tmp_path, {**environment_for(tmp_path), **ports, **settings, "REFUNDS_POLL_BASE": "0.1"})
        started = await asyncio.to_thread(suite.command, "up")
        try:
            assert started.returncode == 0, started.stdout + started.stderr
            yield World(Client(suite, session), session, spans)
        finally:
            await asyncio.to_thread(suite.command, "down")


async def come_in(world: World) -> set[str]:
    """She comes in by every way there is; return the numbers of her orders, and of those that she is named in."""
    client, trouble = world.client, Trouble(world.client)
    start = datetime.now(UTC) - timedelta(minutes=5)
    name = f"mark-{secrets.token_hex(4)}"
    await client.put("sandbox", f"/sandbox/trust/payments/pay-{name}", {"captured": 17000, "currency": "RUB"})
    order = {**ORDER, "payment": {"method": "card", "id": f"pay-{name}"}}

    async def tell(event: str, external_id: str, minute: float, **more: Any) -> str:
        status, answer, _ = await client.hook(
            hook(event, external_id, at=start + timedelta(minutes=minute), **{**order, **more})
        )
        assert status == 200, answer
        return str(answer["number"])

    number = await tell("created", name, 0)
    await tell("paid", name, 1)
    await tell("changed", name, 2, address={"full_address": "Новый Меточный, 1"}, comment=f"{COMMENT}, второй")
    odd = await tell("created", f"odd-{name}", 0, positions=ODD)  # quarantined
    parked = await tell("changed", f"parked-{name}", 0)
    basket = {**ORDER, "externalId": f"web-{name}", "storeID": "17"}
    website = await world.act(GATEWAY, "/api/v1/orders/", role="website", **basket)
    url = world.suite.url(GATEWAY) + "/api/v1/orders/"
    refused = {**basket, "externalId": f"bad-{name}", "positions": ODD}
    assert (await client.post(url, refused, role="website"))[0] == 422
    endangered = await trouble.found(GATEWAY, "/admin/v1/endangered-orders", external_id=f"bad-{name}")
    about = f"/admin/v1/endangered-orders/{endangered}"
    await world.act(GATEWAY, f"{about}/mend", body={**basket, "externalId": f"bad-{name}"}, reason=BY_NAME)
    await world.act(GATEWAY, f"{about}/report", cause=SAID, remedy=SAID)
    entered = hook("changed", name, at=start + timedelta(minutes=5), **{**order, "comment": f"{COMMENT}, от нас"})
    await world.act(
        GATEWAY,
        "/admin/v1/events",
        role="admin",
        source="sbermarket",
        **{key: entered[key] for key in ("event_type", "timestamp", "payload")},
    )
    numbers = {number, odd, parked, str(website["number"])}

    async def arrived() -> bool:
        for each in numbers - {odd, parked}:
            await client.get(ORCHESTRATOR, f"/orders/v1/orders/{each}", role="internal")
        return True

    await eventually(arrived, within=90, what="her orders")
    whole = await client.get(ORCHESTRATOR, f"/orders/v1/orders/{website['number']}", role="internal")
    corrected: dict[str, Any] = {"customer": {**CUSTOMER, "name": "Зина Меткина"}, "comment": f"{COMMENT}, ещё"}
    await world.act(
        ORCHESTRATOR,
        f"/admin/v1/orders/{website['number']}/correct",
        expected_version=whole["version"],
        **corrected,
        reason=SAID,
    )
    await world.act(ORCHESTRATOR, f"/admin/v1/orders/{number}/refund", amount=100, reason=BY_NAME)

    async def paid_back() -> bool:
        page = await client.get(REFUNDS, "/admin/v1/refunds", order=number)
        return [item["state_name"] for item in page["items"]] == ["SUCCESS"] * 2

    by_hand: dict[str, Any] = {
        "order_number": number,
        "payment_id": f"pay-{name}",
        "amount": 200,
        "currency": "RUB",
        "business_key": name,
    }
    await world.act(REFUNDS, "/refunds/v1/refunds", **by_hand, reason=BY_NAME)
    await eventually(paid_back, within=60, what="her refunds")
    numbers.add(await _tipped(world, f"tip-{name}", tell))
    await tell("cancelled", name, 3, cancellation={"description": COMMENT})
    await tell("changed", name, 4, comment=f"{COMMENT}, поздно")  # an incident with the difference
    await _fail(world, whole)
    for service in HOLDERS:
        await _dead_letter(world, service, number if service == REFUNDS else None)
    wanted = {"summary": f"Звонила: {SAID}", "text": SAID, "order_number": number}
    ticket = await world.act(NOTIFIER, "/admin/v1/tickets", **wanted)

    async def key() -> str | None:
        page = await client.get(NOTIFIER, "/admin/v1/tickets", limit=200)
        return next((item["key"] for item in page["items"] if item["id"] == ticket["id"] and item["key"]), None)

    named = await eventually(key, within=60, what="her ticket")
    await world.act(NOTIFIER, f"/admin/v1/tickets/{named}/comments", text=SAID)

    async def incident() -> str | None:
        page = await client.get(NOTIFIER, "/admin/v1/incidents", order=number, limit=200)
        return next((str(item["id"]) for item in page["items"]), None)

    found = await eventually(incident, within=60, what="an incident of her order")
    await world.act(NOTIFIER, f"/admin/v1/incidents/{found}/comment", reason=SAID)

    return numbers


async def come_by_the_spool(world: World) -> str:
    """She comes while RabbitMQ is away, stands in a spool whole, is found there by no erasure, and leaves it; her order's number."""
    faults = Faults(world.suite, world.client, RunDirectory(world.suite.directory), world.session)
    spools = world.suite.directory / "spool"

    async def nobody() -> bool:  # a broker that was slow for a moment left her other orders there
        return not await asyncio.to_thread(in_files, spools, WORDS)

    await eventually(nobody, within=90, every=0.5, what="spools without her")
    await asyncio.to_thread(faults.rabbitmqctl, "stop_app")
    try:
        came = hook("created", f"spool-{secrets.token_hex(4)}", at=datetime.now(UTC), **ORDER)
        status, answer, _ = await world.client.hook(came)
        number = str(answer["number"])
        stands = await asyncio.to_thread(in_files, spools, WORDS)
        assert (status, {word for _, word in stands}) == (200, set(WORDS)), stands
        said = await world.act(GATEWAY, "/admin/v1/erasures", role="admin", order_number=number)
        assert (said["places"], "erase again" in said["kept"]["spool"]) == (0, True), said
        assert await asyncio.to_thread(in_files, spools, WORDS) == stands
    finally:
        await asyncio.to_thread(faults.rabbitmqctl, "start_app")

    async def relayed() -> bool:
        await world.client.get(ORCHESTRATOR, f"/orders/v1/orders/{number}", role="internal")
        return await asyncio.to_thread(in_files, spools, WORDS) == set()

    await eventually(relayed, within=90, every=0.5, what="a spool without her")
    return number


async def _tipped(world: World, name: str, tell: Callable[..., Awaitable[str]]) -> str:
    """An order of hers that was delivered, with tips."""
    number = order_number("sbermarket", name)
    body = {"rating": 5, "tips": {"type": "percent", "value": "10"}, "choice": "custom"}
    await world.client.put("sandbox", f"/sandbox/feedback/orders/{number}", body)
    await tell("created", name, 0)
    await tell("delivered", name, 1)

    async def worked_out() -> bool:
        rows = (await money_of(world.suite.description["databases"]))["orchestrator.order_transactions"]
        return any(number in row and '"tips": 1700' in row for row in rows)

    await eventually(worked_out, within=60, what="her tips")
    return number


async def _fail(world: World, order: Mapping[str, Any]) -> None:
    """An event of the order that nobody can read, with her in what cannot be read."""
    await publish_unreadable_change(world.amqp_url, order, quantity=ODD, customer=CUSTOMER)

    async def aside() -> bool:
        page = await world.client.get(
            ORCHESTRATOR, "/admin/v1/workflow-events", order_number=order["number"], state="failed"
        )
        return bool(page["items"])

    await eventually(aside, within=60, what="an event that failed")


async def _dead_letter(world: World, service: str, number: str | None) -> None:
    """A message of hers that a service gives up on: it says nothing that the service needs."""
    kinds = {
        GATEWAY: "orders.order.created.v1",
        ORCHESTRATOR: "journal.entry.recorded.v1",
        REFUNDS: "orders.refund.wanted.v1",
        NOTIFIER: "alerts.problem.raised.v1",
    }
    event = Envelope(
        id=new_id(),
        source="/another-release",
        type=kinds[service],
        subject=number,
        time=datetime.now(UTC),
        data={"amount": ODD, "customer": CUSTOMER, "reason": SAID, "summary": SAID},
    )
    await publish_as_another(world.amqp_url, event)

    async def there() -> bool:
        page = await world.client.get(service, "/admin/v1/dead-letters", open="true", limit=200)
        return event.id in [item["event_id"] for item in page["items"]]

    await eventually(there, within=60, what=f"a dead letter of {service}")


async def erase(world: World, numbers: set[str]) -> int:
    """Erase her everywhere, by all that is known of her; return in how many places something was found."""
    found = 0
    for whom in ({"phone": PHONE}, {"email": MAIL}, *({"order_number": each} for each in sorted(numbers))):
        for service in HOLDERS:
            said = await world.act(service, "/admin/v1/erasures", role="admin", **whom)
            found += said["places"]
    return found


async def nothing_on_its_way(world: World) -> None:
    """Return when no message waits anywhere and everything recorded is there."""

    async def probe() -> bool:
        _, waiting = await in_queues(world.suite, world.session, WORDS)
        return waiting == 0

    await eventually(probe, within=60, every=1.0, what="queues without a message")


def check_audit(world: World, service: str) -> subprocess.CompletedProcess[str]:
    """Have a service work its audit log's chain out anew."""
    command = [
        sys.executable,
        "-m",
        service.replace("-", "_"),
        "check-audit",
        "--suite",
        str(world.suite.directory / "suite.json"),
    ]
    return subprocess.run(command, env=world.suite.environment, capture_output=True, text=True, timeout=60, check=False)


def columns(found: Found) -> set[str]:
    """The columns among the places."""
    return {place.partition(" ")[2] for place, _ in found}


@pytest.mark.timeout(600)
async def test_a_customer_who_came_in_by_every_way_is_erased_from_everything(world: World) -> None:
    numbers = await come_in(world)
    numbers.add(await come_by_the_spool(world))
    await nothing_on_its_way(world)
    before = await world.in_tables()
    known = set().union(*(listed(section) for section in ("Every service", *HOLDERS)))
    unknown = {place for place in before if columns({place}) - known}
    print(sorted(columns(before)))  # noqa: T201 - the evidence
    assert unknown == set(), "the page of personal data does not name it"
    assert await world.outside_tables() == set()
    assert any(words_in(span, ["/hooks/v1/"]) for span in world.spans), "no trace of a hook: an empty one says nothing"

    async def reported() -> bool:
        return any(number in report for report in await world.reports() for number in numbers)

    await eventually(reported, within=30, every=0.5, what="a report to Sentry that names an order of hers")
    databases = world.suite.description["databases"]
    money, audit = await money_of(databases), await audit_of(databases)
    assert all(rows for name, rows in money.items() if not name.endswith(("refund_lines", "refund_differences")))
    assert await erase(world, numbers) > 0
    await nothing_on_its_way(world)

    async def nothing_left() -> bool:
        return await erase(world, numbers) == 0

    # What was on its way then is found by another.
    await eventually(nothing_left, within=90, what="an erasure that finds nothing")
    left = await world.in_tables()
    assert {place for place in left if columns({place}) - KEPT} == set()
    assert {word for _, word in left} <= {"Меткина"}
    assert await world.outside_tables() == set()
    kept, story = await money_of(databases), "notifier.incident_history: rows"
    assert int(kept.pop(story)[0]) >= int(money.pop(story)[0])  # the broker's own incident ends meanwhile
    assert kept == money
    after = await audit_of(databases)
    assert {service: records[: len(audit[service])] for service, records in after.items()} == audit
    for service in HOLDERS:  # sealed as they were written, the erasures too
        assert all('"action": "customer_data.erase"' in record for record in after[service][len(audit[service]) :])
        checked = await asyncio.to_thread(check_audit, world, service)
        assert checked.returncode == 0, checked.stdout + checked.stderr
