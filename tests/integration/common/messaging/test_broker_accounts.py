"""What the services' accounts may do at the broker: publish their own events, read their own queues, no more. All of it is tried."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aiohttp import web
from aiormq.exceptions import ChannelAccessRefused, PublishError
from yarl import URL

from common.contracts import intake
from common.contracts.asyncapi import document
from common.contracts.envelope import Envelope, exchange_of
from common.contracts.registry import MESSAGES
from common.errors import ConfigurationError, Unavailable
from common.http import HttpServer
from common.messaging import Broker, Consumer, MessagingMetrics, OutboxRelay, outbox, topology
from common.messaging.accounts import RIGHTS, definitions, import_into, main
from common.postgres import Database
from suite_local.infrastructure.rabbitmq import call_api
from suite_local.testing import ServerAddresses
from tests.integration.common.messaging.replicas import entry
from tests.support.servers import TestRabbit, eventually
from tests.support.servers.rabbit import vhost_of

EVERY_TYPE = sorted(
    {*MESSAGES, *(value for name, value in vars(intake).items() if name.isupper() and "intake." in str(value))}
)
EXCHANGES = [name for name, _ in topology.exchanges()]
Act = Callable[[AbstractChannel], Awaitable[Any]]


@pytest.fixture
async def accounts(rabbit: TestRabbit) -> AsyncIterator[dict[str, str]]:
    """The addresses of the services' accounts, in a virtual host of their own with the suite's topology."""
    async with rabbit.virtual_host() as url, rabbit.accounts(url) as found:
        yield found


async def refused(url: str, act: Act) -> bool:
    """Whether the broker refuses this account that; any other failure is an error."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        try:
            await act(channel)
        except ChannelAccessRefused:
            return True
        except PublishError:
            return False  # nobody reads there, but it might publish
        return False


def publish(exchange: str, key: str) -> Act:
    """A message to an exchange under a routing key."""

    async def act(channel: AbstractChannel) -> None:
        target = channel.default_exchange if not exchange else await channel.get_exchange(exchange, ensure=False)
        await target.publish(aio_pika.Message(b"forged"), key, mandatory=True)

    return act


@pytest.mark.parametrize("service", RIGHTS)
async def test_a_service_publishes_the_events_that_are_its_own_and_no_others(
    accounts: dict[str, str], service: str
) -> None:
    may = {kind for kind in EVERY_TYPE if not await refused(accounts[service], publish(exchange_of(kind), kind))}
    assert may == set(RIGHTS[service].publishes)
    strange = [(exchange, "anything.else.v1") for exchange in topology.EXCHANGES]
    around = [("", spec.name) for spec in topology.QUEUES] + [
        (topology.DEAD_LETTERS, spec.name) for spec in topology.QUEUES
    ]
    others = [(spec.replays, spec.name) for spec in topology.QUEUES if spec.service != service]
    for exchange, key in (*strange, *around, *others):
        assert await refused(accounts[service], publish(exchange, key)), f"{service} may publish {key} to {exchange}"


async def test_only_the_orchestrator_may_say_that_money_is_to_go_back(accounts: dict[str, str]) -> None:
    wanted = MESSAGES["orders.refund.wanted.v1"].TYPE
    may = [name for name, url in accounts.items() if not await refused(url, publish("orders", wanted))]
    assert may == ["orchestrator"]


@pytest.mark.parametrize("service", RIGHTS)
async def test_a_service_reads_its_own_queues_and_touches_no_other(accounts: dict[str, str], service: str) -> None:
    url = accounts[service]
    for spec in topology.QUEUES:
        for name in (spec.name, spec.dead):
            answers = {what: await refused(url, act) for what, act in reading(name).items()}
            assert set(answers.values()) == {spec.service != service}, (name, answers)


@pytest.mark.parametrize("service", RIGHTS)
async def test_a_service_declares_deletes_and_binds_nothing(accounts: dict[str, str], service: str) -> None:
    url, spec = accounts[service], next(spec for spec in topology.QUEUES if spec.service == service)
    acts: dict[str, Act] = {
        "declare a queue": lambda channel: channel.declare_queue(f"{service}.more", durable=True),
        "declare a queue of the broker's naming": lambda channel: channel.declare_queue(exclusive=True),
        "declare its own queue": lambda channel: topology.declare_queue(channel, spec),
        "declare an exchange": lambda channel: channel.declare_exchange(f"{service}.more", durable=True),
    }
    for name in EXCHANGES:
        acts |= changing(name, spec.name)
    for each in topology.QUEUES:
        acts[f"delete {each.name}"] = partial(_delete, name=each.name)
    for what, act in acts.items():
        assert await refused(url, act), f"{service} may {what}"


def reading(name: str) -> dict[str, Act]:
    """Whatever takes messages out of a queue."""
    return {
        "get": lambda channel: _queue(channel, name).get(fail=False),
        "consume": lambda channel: _queue(channel, name).consume(_ignore),
        "purge": lambda channel: _queue(channel, name).purge(),
    }


def changing(exchange: str, queue: str) -> dict[str, Act]:
    """Whatever changes an exchange, or what a queue gets of it."""
    return {
        f"delete {exchange}": lambda channel: channel.exchange_delete(exchange),
        f"bind {exchange}": lambda channel: _queue(channel, queue).bind(exchange, routing_key="#"),
        f"unbind {exchange}": lambda channel: _queue(channel, queue).unbind(exchange, routing_key="#"),
    }


async def _delete(channel: AbstractChannel, *, name: str) -> None:
    await channel.queue_delete(name, if_empty=False)


def _queue(channel: AbstractChannel, name: str) -> aio_pika.abc.AbstractQueue:
    return aio_pika.Queue(channel, name, durable=True, exclusive=False, auto_delete=False, arguments=None, passive=True)


async def _ignore(_: object) -> None:
    """Nothing."""


async def test_what_an_account_may_is_enough_to_publish_to_replay_and_to_read(
    accounts: dict[str, str], database: Database, metrics: MessagingMetrics
) -> None:
    """Its whole way: the outbox, a replay to its own queue alone, the queue, the queue of its dead letters."""
    url = accounts["orchestrator"]
    came: list[str] = []

    async def take(_: object, envelopes: list[Envelope]) -> None:
        came.extend(envelope.id for envelope in envelopes)

    broker = Broker(url, name="orchestrator")
    relay = OutboxRelay(database, broker.publisher, metrics=metrics)
    consumer = Consumer(
        url,
        topology.ORCHESTRATOR_JOURNAL,
        database=database,
        name="journal",
        service="orchestrator",
        handler=take,  # type: ignore[arg-type]  # what it returns is not looked at here
        metrics=metrics,
    )
    collector = consumer.dead_letter_collector
    async with running(broker, relay, consumer, collector):
        await asyncio.wait_for(broker.wait_ready(), 60)
        async with database.transaction() as connection:
            await outbox.add(connection, entry("published"))
            replayed = entry("replayed").encode()
            await outbox.add_raw(connection, exchange="", routing_key=topology.ORCHESTRATOR_JOURNAL.name, body=replayed)
        relay.wake()

        async def all_came() -> bool:
            return sorted(came) == ["published", "replayed"]

        await eventually(all_came, what="both arrive")
        assert await broker.depth(topology.ORCHESTRATOR_JOURNAL) == 0


async def test_an_account_waits_for_a_topology_that_it_may_not_declare(
    rabbit: TestRabbit, servers: ServerAddresses
) -> None:
    async with rabbit.virtual_host() as url:
        [name, password] = [f"{vhost_of(url)}.refunds", "secret"]
        wanted = definitions({"refunds": password}, vhost=vhost_of(url), names={"refunds": name})
        rights = {key: wanted[key] for key in ("users", "permissions", "topic_permissions")}
        await asyncio.to_thread(import_into, servers.rabbitmq_api, rights)
        broker = Broker(str(URL(url).with_user(name).with_password(password)), name="refunds")
        try:
            async with running(broker):

                async def refused() -> bool:
                    try:
                        await broker.check()
                    except Unavailable as error:
                        return "ACCESS_REFUSED" in error.detail
                    return False

                await eventually(refused, what="the reason is known")
                await asyncio.to_thread(import_into, servers.rabbitmq_api, wanted)
                await asyncio.wait_for(broker.wait_ready(), 60)
        finally:
            await rabbit.delete_account(name)


async def test_what_is_imported_is_what_a_service_that_may_declares(rabbit: TestRabbit) -> None:
    async with rabbit.virtual_host() as imported, rabbit.virtual_host() as declared, rabbit.accounts(imported):
        async with await aio_pika.connect(declared) as connection:
            await topology.ensure(connection)
        kept, made = await rabbit.topology(imported), await rabbit.topology(declared)
        assert [each["name"] for each in kept["exchanges"] if each not in made["exchanges"]] == [topology.COMPLETE]
        assert {**kept, "exchanges": made["exchanges"]} == made


async def test_no_dead_letter_is_returned_so_often_that_the_broker_drops_it(
    rabbit: TestRabbit, servers: ServerAddresses
) -> None:
    async with rabbit.virtual_host() as url:
        await asyncio.to_thread(import_into, servers.rabbitmq_api, definitions({}, vhost=vhost_of(url)))

        async def in_force() -> bool:
            queues = json.loads(call_api(servers.rabbitmq_api, "GET", f"/api/queues/{vhost_of(url)}"))
            limits = {each["name"]: (each.get("effective_policy_definition") or {}) for each in queues}
            # The limit of the others stands in their arguments.
            return limits == {
                **{spec.dead: {"delivery-limit": 1_000_000_000} for spec in topology.QUEUES},
                **{spec.name: {} for spec in topology.QUEUES},
            }

        await eventually(
            in_force, what="a policy for every queue of dead letters, which the broker tells with its next figures"
        )


async def test_the_exchange_that_says_that_all_is_there_is_imported_last(servers: ServerAddresses) -> None:
    """An import that dies before its last step leaves services waiting, not publishing to queues that are bound to nothing."""
    asked: list[set[str]] = []
    wanted = definitions({"refunds": "secret"}, vhost="suite")
    made: dict[str, Any] = {"queues": [], "bindings": []}

    async def show(_request: web.Request) -> web.Response:
        return web.json_response(made)

    async def answer(request: web.Request) -> web.Response:
        asked.append({each["name"] for each in (await request.json())["exchanges"]})
        return web.Response(status=400 if len(asked) == 1 else 204, text="not now")

    app = web.Application()
    app.router.add_post("/api/definitions", answer)
    app.router.add_get("/api/definitions/suite", show)
    async with HttpServer(app, "127.0.0.1", 0) as server:
        api = server.url.replace("//", "//a:b@")
        with pytest.raises(ConfigurationError, match=r"400.*not now"):
            await asyncio.to_thread(import_into, api, wanted)
        # Where a cluster is smaller than it is to be, RabbitMQ leaves queues and bindings out, and says yes.
        with pytest.raises(ConfigurationError, match=r"has not made the binding of"):
            await asyncio.to_thread(import_into, api, wanted)
        made |= {kind: wanted[kind] for kind in ("queues", "bindings")}
        await asyncio.to_thread(import_into, api, wanted)
    assert asked == [set(EXCHANGES), set(EXCHANGES), set(EXCHANGES), {topology.COMPLETE}]


def test_the_definitions_are_printed_and_name_no_service_without_a_queue(capsys: pytest.CaptureFixture[str]) -> None:
    environ = {f"{name.upper().replace('-', '_')}_BROKER_PASSWORD": f"secret of {name}" for name in RIGHTS}
    assert main({**environ, "BROKER_VHOST": "orders"}) == 0
    printed = json.loads(capsys.readouterr().out)
    assert main({**environ, "BROKER_VHOST": "orders"}, ["complete"]) == 0
    complete = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in complete.pop("exchanges")] == [topology.COMPLETE]
    assert complete == {}
    whole = definitions({name: f"secret of {name}" for name in RIGHTS}, vhost="orders")
    assert [
        each["name"] for each in printed["exchanges"]
    ] == EXCHANGES  # imported by hand, it would be there before the bindings
    assert {**printed, "exchanges": whole["exchanges"]} == whole
    assert {each["name"] for each in printed["users"]} == {spec.service for spec in topology.QUEUES} == set(RIGHTS)
    environ.pop("REFUNDS_BROKER_PASSWORD")
    assert main(environ) == 2
    assert capsys.readouterr().err == "broker accounts: without a password: REFUNDS_BROKER_PASSWORD\n"


async def test_what_the_broker_refuses_is_said_and_who_is_away_too(servers: ServerAddresses) -> None:
    stranger = str(URL(servers.rabbitmq_api).with_password("wrong"))
    with pytest.raises(ConfigurationError, match="401"):
        await asyncio.to_thread(import_into, stranger, {})
    with pytest.raises(Unavailable):
        await asyncio.to_thread(import_into, "http://a:b@127.0.0.1:9", {}, patience=0.0)


def test_every_message_has_who_may_publish_it() -> None:
    published = {kind for rights in RIGHTS.values() for kind in rights.publishes}
    assert published == set(EVERY_TYPE)
    assert set(document()["channels"]) == published
    several = {kind: [name for name, rights in RIGHTS.items() if kind in rights.publishes] for kind in published}
    assert {kind.partition(".")[0] for kind, names in several.items() if len(names) > 1} == {"alerts", "journal"}


@asynccontextmanager
async def running(*parts: Any) -> AsyncIterator[None]:
    """Run what has ``run`` and ``stop`` until the block ends."""
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
    finally:
        for part in reversed(parts):
            await part.stop()
        await asyncio.gather(*tasks)
