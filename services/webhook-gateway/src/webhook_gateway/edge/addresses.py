"""Every other address under those that marketplaces and websites call: spelled otherwise, it is the same; wrong, it is noticed."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from common.http import Route

Refuse = Callable[[web.Request, int, str], Awaitable[web.StreamResponse]]
"""Refuses a request with a status and a code."""

_ADDRESSES = r"/{address:/*(?i:hooks|sbermarket|api)(?:/.*)?}"
_ORDERS = "/api/v1/orders"
_SBERMARKET = "/sbermarket/orders/hook"
_HOOK = re.compile(r"/hooks/v1/([^/]+)")
_SLASHES = re.compile(r"//+")


class IntakeAddresses:
    """Answers without redirect, with and without the last slash and with doubled ones.

    What is nobody's address, or comes by another method than POST, is 404 or 405: counted in the ledger, and kept where it was a genuine
    hook or looks like a website's order.
    """

    def __init__(
        self,
        *,
        hook: Callable[[web.Request, str], Awaitable[web.StreamResponse]],
        order: Callable[[web.Request], Awaitable[web.StreamResponse]],
        misplaced_hook: Refuse,
        misplaced_order: Refuse,
        comes_from_source: Callable[[web.Request], bool],
        comes_from_website: Callable[[web.Request], bool],
    ) -> None:
        """``hook`` and ``order`` take what is spelled otherwise, the next two refuse what is not; the last two judge by the head alone."""
        self._hook = hook
        self._order = order
        self._misplaced_hook = misplaced_hook
        self._misplaced_order = misplaced_order
        self._comes_from_source = comes_from_source
        self._comes_from_website = comes_from_website

    def routes(self) -> list[Route]:
        """Return the one route; those that are spelled as they should be are found before it."""
        return [
            Route(
                method="*",
                path=_ADDRESSES,
                handler=self.other_spelling,
                summary="The intake's addresses in other spellings",
                raw=True,
                hidden=True,
            )
        ]

    async def other_spelling(self, request: web.Request) -> web.StreamResponse:
        """Find the address that is meant."""
        path = _SLASHES.sub("/", request.rel_url.raw_path).removesuffix("/")
        hook = _HOOK.fullmatch(path)
        if not hook and path not in (_ORDERS, _SBERMARKET):
            return await self._misplaced(request, path, HTTPStatus.NOT_FOUND, "not_found")
        if request.method != "POST":
            return await self._misplaced(request, path, HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed")
        if path == _ORDERS:
            return await self._order(request)
        return await self._hook(request, hook[1] if hook else "sbermarket")

    async def _misplaced(self, request: web.Request, path: str, status: int, code: str) -> web.StreamResponse:
        of_website = path.lower().startswith("/api") and not self._comes_from_source(request)
        if of_website or self._comes_from_website(request):
            return await self._misplaced_order(request, status, code)
        return await self._misplaced_hook(request, status, code)
