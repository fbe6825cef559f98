"""Every other address under those that marketplaces and websites call: spelled otherwise, it is the same; wrong, it is noticed."""

from __future__ import annotations

import re
from http import HTTPStatus

from aiohttp import web

from common.http import Route
from webhook_gateway.hooks.routes import HookRoutes
from webhook_gateway.website.routes import WebsiteRoutes

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

    def __init__(self, hooks: HookRoutes, website: WebsiteRoutes) -> None:
        self._hooks = hooks
        self._website = website

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
        if hook:
            return await self._hooks.take(request, hook[1])
        return await (self._website.order(request) if path == _ORDERS else self._hooks.sbermarket_hook(request))

    async def _misplaced(self, request: web.Request, path: str, status: int, code: str) -> web.StreamResponse:
        of_website = path.lower().startswith("/api") and self._hooks.sender(request) is None
        if of_website or self._website.speaks_for_a_website(request):
            return await self._website.misplaced(request, status, code)
        return await self._hooks.misplaced(request, status, code)
