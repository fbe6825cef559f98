"""What every answer of the console has: its headers; and that an error is a page, wherever it comes from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiohttp import web

from console.client.suite import UnreachableError
from console.web.headers import HEADERS, OVER_TLS
from console.web.pages import Console
from console.web.people import NotSignedInError

_OF_MACHINES = frozenset({"/livez", "/readyz", "/metrics", "/openapi.json", "/admin/v1/whoami"})
_CARRIED = ("Allow", "X-Request-Id", "traceparent")


def envelope(console: Console) -> Any:
    """Return the outermost middleware: an address that nobody has and a fault of ours are answered with a page and a way back."""

    @web.middleware
    async def answered(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Serve one request."""
        response = await handler(request)
        if response.content_type == "application/problem+json" and request.path not in _OF_MACHINES:
            response = await _as_page(console, request, response)
        if not response.prepared:
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            if console.settings.secure:
                response.headers.update(OVER_TLS)
        return response

    return answered


async def _as_page(console: Console, request: web.Request, problem: web.StreamResponse) -> web.StreamResponse:
    visit = await console.visit(request)
    token = console.sessions.token_of(visit.session)
    if token is not None:
        with suppress(NotSignedInError, UnreachableError):  # the page is the same, without the menu
            visit.signed_in = await console.people.person(token)
    page = console.page_of(visit, problem.status)
    page.headers.update({name: problem.headers[name] for name in _CARRIED if name in problem.headers})
    if problem.keep_alive is False:
        page.force_close()
    return page
