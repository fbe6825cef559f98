"""What the edge does by itself, shown with stand-ins for the gateways that misbehave on demand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from suite_local.ports import LOOPBACK
from tests.support.raw_http import request
from tests.support.servers import eventually

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]

HOOK = "/hooks/v1/sbermarket"
SECRET = "the-marketplace's-token"
CUSTOMER = '{"payload": {"originalOrderId": "H1", "customer": {"phone": "+79001234567"}}}'


class StandIns:
    """Three servers that share one behaviour; `seen` holds what reached any of them, in order."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.ports: list[int] = []
        self.behave: Behaviour = self.accept

    async def accept(self, _: web.Request) -> web.StreamResponse:
        """Answer as a healthy gateway."""
        return web.json_response({"status": "ok"})

    async def die_on_first(self, request: web.Request) -> web.StreamResponse:
        """The first request of all loses its connection without an answer, as at a kill; the others are accepted."""
        if len(self.seen) == 1:
            assert request.transport is not None
            request.transport.abort()
        return await self.accept(request)

    async def full_on_first(self, request: web.Request) -> web.StreamResponse:
        """The first request of all meets a gateway with neither broker nor spool."""
        if len(self.seen) == 1:
            return web.json_response({"code": "unavailable"}, status=503, headers={"Retry-After": "7"})
        return await self.accept(request)

    async def full(self, _: web.Request) -> web.StreamResponse:
        """Neither broker nor spool, anywhere."""
        return web.json_response({"code": "nowhere_durable"}, status=503, headers={"Retry-After": "7"})

    async def hang_on_first(self, request: web.Request) -> web.StreamResponse:
        """The first request of all is never answered."""
        if len(self.seen) == 1:
            await asyncio.Event().wait()
        return await self.accept(request)

    async def slow(self, request: web.Request) -> web.StreamResponse:
        """Every replica needs longer than nginx gives it."""
        await asyncio.Event().wait()
        return await self.accept(request)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note what came, then behave."""
        self.seen.append({"path": request.path, "headers": request.headers.copy(), "body": await request.text()})
        return await self.behave(request)


@asynccontextmanager
async def _stand_ins() -> AsyncIterator[StandIns]:
    stand_ins = StandIns()
    async with AsyncExitStack() as stack:
        for _ in range(3):
            app = web.Application(client_max_size=64 * 1024 * 1024)
            app.router.add_route("*", "/{tail:.*}", stand_ins.handle)
            runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, LOOPBACK, 0)
            await site.start()
            stand_ins.ports.append(runner.addresses[0][1])
        yield stand_ins


@pytest.fixture
async def stand_ins() -> AsyncIterator[StandIns]:
    """Three healthy stand-ins until a test changes `behave`."""
    async with _stand_ins() as made:
        yield made


@pytest.fixture
def hasty() -> bool:
    """Whether the edge gives a replica up as soon as in earnest: where a test says so."""
    return False


@pytest.fixture
async def edge(stand_ins: StandIns, edge_for: Callable[..., Any], hasty: bool) -> AsyncIterator[Any]:
    """The edge in front of them."""
    async with edge_for(stand_ins.ports, hasty=hasty) as made:
        yield made


@pytest.fixture
async def client(edge: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """A caller from outside."""
    async with aiohttp.ClientSession(edge.url) as session:
        yield session


async def test_a_hook_whose_replica_dies_half_way_is_sent_to_another_one_whole(
    stand_ins: StandIns, edge: Any, client: aiohttp.ClientSession
) -> None:
    stand_ins.behave = stand_ins.die_on_first
    async with client.post(HOOK, data=CUSTOMER) as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})
    assert [(request["path"], request["body"]) for request in stand_ins.seen] == [(HOOK, CUSTOMER)] * 2
    assert len((await edge.logged(1))[-1]["upstream"].split(", ")) == 2


@pytest.mark.parametrize("hasty", [True])
async def test_a_hook_whose_replica_hangs_is_answered_by_another_one(
    stand_ins: StandIns, edge: Any, client: aiohttp.ClientSession
) -> None:
    stand_ins.behave = stand_ins.hang_on_first
    async with client.post(HOOK, data=CUSTOMER) as answer:
        assert answer.status == 200
    assert (await edge.logged(1))[-1]["upstream_status"].endswith("504, 200")


async def test_a_replica_that_can_keep_nothing_hands_the_hook_to_one_that_can(
    stand_ins: StandIns, edge: Any, client: aiohttp.ClientSession
) -> None:
    stand_ins.behave = stand_ins.full_on_first
    async with client.post(HOOK, data=CUSTOMER) as answer:
        assert answer.status == 200
    assert (await edge.logged(1))[-1]["upstream_status"] == "503, 200"


async def test_when_no_replica_can_keep_it_the_gateways_own_503_goes_out(
    stand_ins: StandIns, client: aiohttp.ClientSession
) -> None:
    stand_ins.behave = stand_ins.full
    async with client.post(HOOK, data=CUSTOMER) as answer:
        assert (answer.status, answer.headers["Retry-After"], await answer.json()) == (
            503,
            "7",
            {"code": "nowhere_durable"},
        )
    assert len(stand_ins.seen) == 3


@pytest.mark.parametrize(("trouble", "hasty"), [(StandIns.full, False), (StandIns.slow, True)])
async def test_replicas_that_all_failed_a_moment_ago_are_asked_and_answer(
    stand_ins: StandIns, edge: Any, client: aiohttp.ClientSession, trouble: Callable[[StandIns, web.Request], Any]
) -> None:
    async def ask() -> int:
        async with client.post(HOOK, data=CUSTOMER) as answer:
            return answer.status

    stand_ins.behave = partial(trouble, stand_ins)
    assert await asyncio.gather(*(ask() for _ in range(9))) == [503] * 9
    stand_ins.behave = stand_ins.accept
    assert await ask() == 200
    tries = Counter(address for line in (await edge.logged(10))[:9] for address in line["upstream"].split(", "))
    assert all(tries[f"{LOOPBACK}:{port}"] >= 3 for port in stand_ins.ports), (
        "each had failed often enough to be taken out"
    )


async def test_with_every_replica_away_the_answer_is_a_503_that_says_when_to_come_again(
    edge_for: Callable[[Any], Any], free_port: Callable[[], int]
) -> None:
    async with (
        edge_for([free_port(), free_port(), free_port()]) as edge,
        aiohttp.ClientSession(edge.url, headers={"X-Request-Id": "r-1"}) as client,
        client.post(HOOK, data=CUSTOMER) as answer,
    ):
        assert (answer.status, answer.headers["Retry-After"], answer.content_type) == (
            503,
            "1",
            "application/problem+json",
        )
        assert await answer.json() == {
            "type": "about:blank",
            "title": "Unavailable",
            "status": 503,
            "code": "unavailable",
            "request_id": "r-1",
        }


async def test_a_websites_order_is_sent_again_under_one_idempotency_key(
    stand_ins: StandIns, client: aiohttp.ClientSession
) -> None:
    stand_ins.behave = stand_ins.die_on_first
    async with client.post("/api/v1/orders/", data=CUSTOMER) as answer:
        assert answer.status == 200
    first, second = (request["headers"]["Idempotency-Key"] for request in stand_ins.seen)
    assert first == second != ""


async def test_a_websites_own_idempotency_key_stays(stand_ins: StandIns, client: aiohttp.ClientSession) -> None:
    async with client.post("/api/v1/orders/", data=CUSTOMER, headers={"Idempotency-Key": "mine"}) as answer:
        assert answer.status == 200
    assert stand_ins.seen[0]["headers"]["Idempotency-Key"] == "mine"


async def test_ids_and_credentials_go_through_and_a_claimed_address_does_not(
    stand_ins: StandIns, client: aiohttp.ClientSession
) -> None:
    sent = {
        "X-Request-Id": "r-2",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "Client-token": SECRET,
        "Authorization": "Bearer b",
        "webhook-id": "w-1",
    }
    async with client.post(HOOK, data=CUSTOMER, headers={**sent, "X-Forwarded-For": "203.0.113.9"}) as answer:
        assert answer.status == 200
    headers = stand_ins.seen[0]["headers"]
    # The gateway reads the chain from its end: what the caller claims stands before what the edge saw.
    assert {name: headers[name] for name in (*sent, "X-Forwarded-For", "X-Real-IP")} == {
        **sent,
        "X-Forwarded-For": f"203.0.113.9, {LOOPBACK}",
        "X-Real-IP": LOOPBACK,
    }


@pytest.mark.parametrize(
    ("claimed", "seen"),
    [
        ("198.51.100.7", "198.51.100.7"),  # as the terminator wrote it
        ("203.0.113.66, 198.51.100.7", "198.51.100.7"),  # what the caller put before it does not count
        ("203.0.113.66, 198.51.100.7, 127.0.0.9", "198.51.100.7"),  # two trusted proxies
    ],
)
async def test_behind_a_trusted_terminator_the_caller_is_the_right_most_stranger(
    claimed: str, seen: str, stand_ins: StandIns, edge_for: Callable[..., Any]
) -> None:
    async with (
        edge_for(stand_ins.ports, trusted=["127.0.0.0/8"]) as edge,
        aiohttp.ClientSession(edge.url) as client,
        client.post(HOOK, data=CUSTOMER, headers={"X-Forwarded-For": claimed}) as answer,
    ):
        assert answer.status == 200
    headers = stand_ins.seen[0]["headers"]
    assert (headers["X-Real-IP"], headers["X-Forwarded-For"]) == (seen, f"{claimed}, {seen}")


async def test_what_no_gateway_answered_is_written_for_the_gateways_without_body_or_secret(
    stand_ins: StandIns, edge: Any, client: aiohttp.ClientSession
) -> None:
    async with client.post(f"{HOOK}/", data=CUSTOMER, headers={"Client-token": SECRET}) as answer:
        assert answer.status == 200
    stand_ins.behave = stand_ins.full
    async with client.post(HOOK, data=CUSTOMER) as answer:
        assert answer.status == 503  # the gateways' own, which they count themselves
    huge = BytesIO(bytes(2 * 1024 * 1024 + 1))
    headers = {"X-Request-Id": "r-9", "Authorization": f"Bearer {SECRET}", "Idempotency-Key": "k-1"}
    async with client.post("/api//v1/orders?phone=79001234567", data=huge, headers=headers, expect100=True) as answer:
        assert answer.status == 413
    async with client.post("/v1/orders/", data=CUSTOMER) as answer:
        assert answer.status == 404
    async with client.get("/favicon.ico") as answer:
        assert answer.status == 404
    for path in ("/alerts/v1/alertmanager/", "/telegram/webhook", "/notifications/v1/yookassa"):
        assert (await request(edge.url, "POST", path, b"", length=65 * 1024**2))[0] == 413
    for stranger in ("/alerts/v1/other", "/alerts/v1/alertmanager/x"):
        async with client.post(stranger, data=b"{}") as answer:
            assert answer.status == 404
    async with client.post("/alerts/v1/sentry", data=b"{}") as answer:
        assert answer.status == 503  # the notifier is away: whoever calls tries again

    async def written() -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = edge.refused()
        return lines if len(lines) == 5 else []

    # A body that nginx refuses is still read for a while: its line may be the later one.
    lines = await eventually(written, what="five lines")
    of_others = {line["path"] for line in lines if line["path"] not in {"/api/v1/orders", "/v1/orders/"}}
    assert of_others == {"/alerts/v1/alertmanager/", "/telegram/webhook", "/notifications/v1/yookassa"}
    lines = [line for line in lines if line["path"] not in of_others]
    wrong, too_large = sorted(lines, key=lambda line: line["status"])
    assert {
        name: too_large[name] for name in ("request_id", "method", "path", "status", "client", "idempotency_key")
    } == {
        "request_id": "r-9",
        "method": "POST",
        "path": "/api/v1/orders",
        "status": 413,
        "client": LOOPBACK,
        "idempotency_key": "k-1",
    }
    assert (wrong["path"], wrong["status"], wrong["upstream_status"]) == ("/v1/orders/", 404, "")
    assert not [secret for secret in (SECRET, "79001234567") if secret in str(edge.refused())]


@pytest.mark.parametrize(
    "path", ["//hooks/v1/sbermarket", "/hooks/v1/sbermarket/", "/sbermarket/orders/hook", "/api/v1/orders"]
)
async def test_every_spelling_of_an_address_reaches_a_gateway_as_it_came(
    path: str, stand_ins: StandIns, edge: Any
) -> None:
    assert (await request(edge.url, "POST", path, CUSTOMER.encode()))[0] == 200
    assert [seen["path"] for seen in stand_ins.seen] == [path]


async def test_a_request_id_that_is_not_sane_is_replaced(stand_ins: StandIns, client: aiohttp.ClientSession) -> None:
    async with client.post(HOOK, data=CUSTOMER, headers={"X-Request-Id": 'a"b'}) as answer:
        assert answer.status == 200
    assert len(stand_ins.seen[0]["headers"]["X-Request-Id"]) == 32


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/admin/v1/deliveries",
        "/hooks/../admin/v1/audit",
        "/metrics",
        "/docs",
        "/openapi.json",
        "/readyz",
        "/api/../admin/v1/audit",
        "/api/..%2fadmin/v1/audit",
        "/hooks/v1/x/%2e%2e/%2e%2e/%2e%2e/metrics",
        "/admin/v1/deliveries/..%2F..%2F..%2Fhooks%2Fx",
        "/refunds/v1/refunds/..%2f..%2f..%2fnotifications%2fv1%2fx",
        "/admin/v1/deliveries/%2e%2e/%2e%2e/%2e%2e/on-call",
        "/metrics/../alerts/v1/sentry",
    ],
)
async def test_nothing_but_the_intake_can_be_reached_from_outside(path: str, stand_ins: StandIns, edge: Any) -> None:
    status, answer, _ = await request(edge.url, "GET", path, b"")
    assert (status, answer["code"]) == (404, "not_found")
    assert (stand_ins.seen, (await edge.logged(1))[-1]["path"]) == ([], "other")


async def test_a_slightly_too_large_body_is_refused_by_the_gateway_a_huge_one_by_the_edge(
    stand_ins: StandIns, edge: Any, client: aiohttp.ClientSession
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(2 * 16 + 1):
            yield bytes(64 * 1024)

    async with client.post(HOOK, data=BytesIO(bytes(1024 * 1024 + 1))) as answer:
        assert answer.status == 200
    for body in (BytesIO(bytes(2 * 1024 * 1024 + 1)), chunks()):
        async with client.post(HOOK, data=body, expect100=True) as answer:
            assert (answer.status, (await answer.json())["code"]) == (413, "payload_too_large")
    assert len(stand_ins.seen) == 1
    assert [line["upstream_status"] for line in await edge.logged(3)] == ["200", "", ""]


async def test_alerts_beyond_what_the_notifier_reads_come_to_it_all_the_same(
    stand_ins: StandIns, edge_for: Callable[..., Any]
) -> None:
    notifier = {"EDGE_NOTIFIER": f"{LOOPBACK}:{stand_ins.ports[0]}"}
    async with edge_for(stand_ins.ports, variables=notifier) as edge, aiohttp.ClientSession(edge.url) as session:
        for path in ("/alerts/v1/alertmanager", "/alerts/v1/sentry/"):
            async with session.post(path, data=BytesIO(b" " * 20 * 1024**2)) as answer:
                assert answer.status == 200, edge.errors
        for path in ("/telegram/webhook/", "/slack/interactions/", "/on-call/", "/on-call"):
            async with session.post(path, data=b"{}") as answer:
                assert answer.status == 200, edge.errors
    assert [len(seen["body"]) for seen in stand_ins.seen] == [20 * 1024**2, 20 * 1024**2, 2, 2, 2, 2]


async def test_the_log_is_one_json_object_a_request_and_knows_no_customer(
    stand_ins: StandIns, edge: Any, client: aiohttp.ClientSession
) -> None:
    stand_ins.behave = stand_ins.die_on_first
    headers = {
        "X-Request-Id": "r-3",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "Client-token": SECRET,
    }
    async with client.post(f"{HOOK}?phone=79001234567", data=CUSTOMER, headers=headers) as answer:
        assert answer.status == 200
    line = (await edge.logged(1))[-1]
    assert {name: line[name] for name in ("event", "request_id", "trace_id", "path", "status", "client_network")} == {
        "event": "http_request",
        "request_id": "r-3",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "path": HOOK,
        "status": "200",
        "client_network": "127.0.0.0",
    }
    written = str(await edge.logged(1))
    assert not [secret for secret in (SECRET, "79001234567", "H1") if secret in written]
    assert SECRET not in edge.errors
