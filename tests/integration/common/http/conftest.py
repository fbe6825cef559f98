"""A small service on the HTTP kit, really listening, and a client that calls it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

import aiohttp
import pytest
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, Field

from common.errors import Conflict, NotFound, TooMany, Unavailable
from common.health import Health
from common.http import (
    INTERNAL,
    OPERATOR,
    VIEWER,
    HttpServer,
    Page,
    PageQuery,
    Reply,
    Request,
    Route,
    TokenBook,
    build_app,
    new_session,
)
from common.postgres import Database
from common.telemetry import setup_telemetry, trace_id
from common.telemetry.metrics import new_registry

TOKENS = (
    ("vera", "t-viewer", "viewer"),
    ("olga", "t-operator", "operator"),
    ("anna", "t-admin", "admin"),
    ("bot", "t-internal", "internal"),
)


class Item(BaseModel):
    """A thing to order."""

    sku: str = Field(min_length=1)
    quantity: int = Field(ge=1, le=1000)


class Basket(BaseModel):
    """What is to be ordered."""

    items: list[Item] = Field(min_length=1)
    note: str | None = None


class Receipt(BaseModel):
    """What was ordered, and by whom."""

    lines: int
    by: str
    request_id: str


class Place(BaseModel):
    """Where a path led."""

    sku: str
    number: int


class ListQuery(PageQuery):
    """Filters."""

    state: list[Annotated[str, Field(min_length=1)]] = Field(default=[])
    since: int | None = Field(default=None, ge=0)


async def order(request: Request[Basket, None]) -> Receipt | Reply:
    receipt = Receipt(lines=len(request.body.items), by=request.principal.name, request_id=request.request_id)
    return Reply(receipt, status=202, headers={"Location": "/orders/1"}) if request.body.note == "later" else receipt


async def listing(request: Request[None, ListQuery]) -> Page[Item]:
    query = request.query
    return Page(items=[Item(sku=state, quantity=query.limit) for state in query.state], next_cursor=query.cursor)


async def one(request: Request[None, None]) -> Place:
    return Place(sku=request.path["sku"], number=request.path_int("number"))


async def failing(request: Request[None, None]) -> Item:
    errors: dict[str, Callable[[], Exception]] = {
        "conflict": lambda: Conflict("already closed"),
        "busy": lambda: TooMany("too often", retry_after=7.2),
        "away": lambda: Unavailable("the database does not answer"),
        "timeout": TimeoutError,
        "connection": lambda: ConnectionResetError("postgresql://u:pw@h"),
        "file": lambda: FileNotFoundError(2, "no such file", "/etc/secret"),
        "bug": lambda: KeyError("+79161234567"),
        "teapot": web.HTTPConflict,
        "group": lambda: ExceptionGroup("several", [ValueError("one")]),
    }
    if request.path["kind"] == "fine":
        return Item(sku="fine", quantity=1)
    raise errors[request.path["kind"]]()


async def forget(request: Request[None, None]) -> None:
    assert request.principal.role


async def raw(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response({"bytes": len(body), "trace_id": trace_id()})


async def half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = 100
    await response.prepare(request)
    await response.write(b"half")
    raise RuntimeError("lost the rest")


ROUTES = (
    Route(
        method="POST",
        path="/orders",
        handler=order,
        summary="Order",
        request=Basket,
        response={201: Receipt, 202: Receipt},
        status=201,
        roles=OPERATOR,
        tags=("orders",),
        idempotent=True,
    ),
    Route(
        method="GET",
        path="/orders",
        handler=listing,
        summary="List",
        query=ListQuery,
        response=Page[Item],
        roles=VIEWER,
        tags=("orders",),
    ),
    Route(method="GET", path="/orders/{sku}/{number}", handler=one, summary="One", response=Place, errors=(NotFound,)),
    Route(
        method="GET",
        path="/fail/{kind:[a-z]+}",
        handler=failing,
        summary="Fail",
        response=Item,
        errors=(Conflict, TooMany, Unavailable),
    ),
    Route(
        method="DELETE",
        path="/orders",
        handler=forget,
        summary="Forget",
        status=204,
        roles=frozenset(),
        tags=("orders",),
    ),
    Route(
        method="POST",
        path="/internal",
        handler=order,
        summary="Internal",
        request=Basket,
        response=Receipt,
        roles=INTERNAL,
        invalid_status=400,
    ),
    Route(method="GET", path="/quiet/{kind}", handler=failing, summary="Quiet", quiet=True, hidden=True),
    Route(method="POST", path="/raw", handler=raw, summary="Raw", raw=True, hidden=True),
    Route(method="GET", path="/half", handler=half, summary="Half", raw=True, hidden=True),
)


@dataclass
class Demo:
    """The service and what a test needs of it."""

    server: HttpServer
    session: aiohttp.ClientSession
    health: Health
    registry: CollectorRegistry

    async def call(self, method: str, path: str, *, token: str | None = None, **options: Any) -> Answer:
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self.session.request(method, self.server.url + path, headers=headers, **options) as response:
            return Answer(response.status, response.headers, await response.read(), response)


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    response: aiohttp.ClientResponse = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.body)


class Serve(Protocol):
    """Serves routes on a free port."""

    async def __call__(
        self, routes: Sequence[Route], *, database: Database | None = None, tokens: TokenBook | None = None
    ) -> Demo: ...


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A function that serves routes on a free port; everything is closed after the test."""
    async with AsyncExitStack() as stack:

        async def start(
            routes: Sequence[Route], *, database: Database | None = None, tokens: TokenBook | None = None
        ) -> Demo:
            health, registry = Health(fresh_for=0), new_registry()
            app = build_app(
                service="demo",
                version="1.2.3",
                routes=routes,
                health=health,
                registry=registry,
                tokens=tokens or TokenBook(TOKENS),
                database=database,
                max_body=64 * 1024,
            )
            server = await stack.enter_async_context(HttpServer(app, "127.0.0.1", 0, drain_seconds=1))
            session = await stack.enter_async_context(new_session(total=60))
            return Demo(server, session, health, registry)

        yield start
        await asyncio.sleep(0)


@pytest.fixture
async def demo(serve: Serve) -> Demo:
    """The small service."""
    return await serve(ROUTES)


@pytest.fixture
def log_lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """A function that returns the log lines written since it was last called, as production writes them."""
    root = logging.getLogger()
    handlers, level, before = list(root.handlers), root.level, structlog.get_config()
    telemetry = setup_telemetry(
        service="demo",
        environment="test",
        replica="r1",
        log_level="INFO",
        otlp_endpoint=None,
        sentry_dsn=None,
        release="1.2.3",
    )
    yield lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    telemetry.close()
    structlog.configure(**before)
    logging.captureWarnings(False)
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
    root.setLevel(level)
