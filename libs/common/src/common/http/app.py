"""Builds the aiohttp application of a service from its table of routes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from aiohttp import HttpVersion11, web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel

from common.health import Health
from common.http.auth import ROLES, TokenBook, satisfying
from common.http.customers import CustomerReads
from common.http.docs_page import CONTENT_SECURITY_POLICY, docs_page
from common.http.edge import HttpMetrics, make_edge
from common.http.endpoint import make_endpoint
from common.http.openapi import openapi_document
from common.http.refused_calls import RefusedCalls
from common.http.routes import Request, Route, read_route
from common.postgres import Database
from common.version import VERSION

HEALTH = web.AppKey("health", Health)


class Live(BaseModel):
    """The process turns."""

    status: str


class Whoami(BaseModel):
    """Whose token this is, and what it may do here: operations as `METHOD /path`."""

    name: str
    role: str
    permissions: list[str]


class Ready(BaseModel):
    """Whether the service can work, and the state of everything it needs: `ok`, or the reason why not."""

    ready: bool
    checks: dict[str, str]


def build_app(
    *,
    service: str,
    version: str = VERSION,
    routes: Sequence[Route],
    health: Health,
    registry: CollectorRegistry,
    tokens: TokenBook,
    database: Database | None = None,
    max_body: int = 1024 * 1024,
    body_seconds: float = 10.0,
    description: str = "",
) -> web.Application:
    """Return the application: the given routes, and the addresses that every service has.

    They are ``/livez``, ``/readyz``, ``/metrics``, ``/admin/v1/whoami``, and the document of the routes at ``/openapi.json`` and
    ``/docs``.

    ``database`` is where whole readings of customers' data and refused changes are recorded; without it nobody reads them whole.
    ``max_body`` (bytes, counted as they come, chunked or not) bounds what ``request.read()`` takes; more is a 413. A raw
    route that reads ``request.content`` itself has to count itself. ``body_seconds`` bounds, in every route, how long a body may take
    from its head to its end (408). Two routes with the same method and path are a
    ``ValueError``, and so are two raw routes with one handler: a raw handler is called as it is, and tells its route.
    """
    public = [*_platform_routes(health, registry), _whoami(service, routes), *routes]
    document = _Document(
        lambda: openapi_document(service=service, version=version, description=description, routes=public)
    )
    everything = [*public, *_document_routes(document)]
    _refuse_doubles(everything)
    metrics = HttpMetrics(registry)
    endpoints: dict[Any, Route] = {}
    customers, refused = CustomerReads(database), RefusedCalls(database)
    app = web.Application(
        client_max_size=max_body,
        middlewares=[make_edge(metrics=metrics, health=health, endpoints=endpoints, body_seconds=body_seconds)],
    )
    for route in everything:
        endpoint: Any = (
            route.handler
            if route.raw
            else make_endpoint(route, service=service, tokens=tokens, customers=customers, refused=refused)
        )
        if endpoint in endpoints:
            raise ValueError(f"{route.method} {route.path} has the handler of another raw route")
        endpoints[endpoint] = route
        metrics.expect(route)
        if route.method == "GET":
            app.router.add_get(route.path, endpoint, allow_head=True, expect_handler=_expected)
        else:
            app.router.add_route(route.method, route.path, endpoint, expect_handler=_expected)
    app[HEALTH] = health
    return app


def describe(*, service: str, version: str = VERSION, routes: Sequence[Route], description: str = "") -> dict[str, Any]:
    """Return the OpenAPI document that an application of these routes has; nothing is opened, and no handler is called."""
    public = [*_platform_routes(Health(), CollectorRegistry()), _whoami(service, routes), *routes]
    return openapi_document(service=service, version=version, description=description, routes=public)


async def _expected(request: web.Request) -> None:
    """Ask for the body where the caller waits for that; whatever else it expects is no reason to refuse it (RFC 9110, 10.1.1)."""
    if "100-continue" in request.headers.get("Expect", "").lower() and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # as aiohttp does itself: the answer has not begun


def _refuse_doubles(routes: Sequence[Route]) -> None:
    seen: set[tuple[str, str]] = set()
    for route in routes:
        key = (route.method, route.path)
        if key in seen:
            raise ValueError(f"two routes answer {route.method} {route.path}")
        seen.add(key)


def _platform_routes(health: Health, registry: CollectorRegistry) -> list[Route]:
    async def livez(_request: Request[None, None]) -> Live:
        return Live(status="ok")

    async def readyz(_request: Request[None, None]) -> web.Response:
        report = await health.report()
        body = Ready(ready=report.ready, checks=dict(report.checks)).model_dump_json()
        return web.Response(
            status=200 if report.ready else 503,
            text=body,
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    tags = ("platform",)
    return [
        Route(
            method="GET",
            path="/livez",
            handler=livez,
            summary="Is the process alive?",
            response=Live,
            tags=tags,
            quiet=True,
        ),
        Route(
            method="GET",
            path="/readyz",
            handler=readyz,
            summary="Can it work, and if not, why?",
            response={200: Ready, 503: Ready},
            tags=tags,
            quiet=True,
        ),
        Route(method="GET", path="/metrics", handler=metrics, summary="Metrics for Prometheus", raw=True, tags=tags),
    ]


def _whoami(service: str, routes: Sequence[Route]) -> Route:
    demanded = {
        f"{route.method} {route.path}": (satisfying(route.roles) or ROLES, route.scope(service))
        for route in routes
        if route.roles is not None and not route.hidden
    }

    async def whoami(request: Request[None, None]) -> Whoami:
        who = request.principal
        permissions = sorted(
            operation
            for operation, (roles, scope) in demanded.items()
            if who.role in roles and (scope is None or who.within(scope))
        )
        return Whoami(name=who.name, role=who.role, permissions=permissions)

    return read_route("/admin/v1/whoami", whoami, "Whose token is this, and what may it do?", Whoami, roles=frozenset())


class _Document:
    """The document as JSON and as a page, made when it is asked for first: making it takes as long as the rest of a service's start."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make
        self._lock = asyncio.Lock()
        self._made: tuple[bytes, bytes] | None = None

    async def get(self) -> tuple[bytes, bytes]:
        async with self._lock:
            if self._made is None:
                self._made = await asyncio.to_thread(self._written)  # other requests have their turns meanwhile
            return self._made

    def _written(self) -> tuple[bytes, bytes]:
        document = self._make()
        return orjson.dumps(document), docs_page(document).encode()


def _document_routes(document: _Document) -> list[Route]:
    async def openapi(_request: web.Request) -> web.Response:
        raw, _ = await document.get()
        return web.Response(body=raw, content_type="application/json", charset="utf-8")

    async def docs(_request: web.Request) -> web.Response:
        _, page = await document.get()
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "X-Content-Type-Options": "nosniff"}
        return web.Response(body=page, content_type="text/html", charset="utf-8", headers=headers)

    return [
        Route(
            method="GET", path="/openapi.json", handler=openapi, summary="This document", raw=True, tags=("platform",)
        ),
        Route(
            method="GET", path="/docs", handler=docs, summary="This document as a page", raw=True, tags=("platform",)
        ),
    ]
