"""Addresses that others call, in the spellings that they write: with a last slash, and with doubled ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from aiohttp import web

from common.http.routes import RawHandler, Route


def other_spellings(routes: Iterable[Route]) -> Iterator[Route]:
    """Give for each of these routes one that answers, without a redirect, wherever only the slashes of the address differ.

    They come behind the routes themselves, which are found first. Bodies of other systems are not repeated to another address.
    """
    for route in routes:
        parts = route.path.strip("/").split("/")
        between = "".join(f"{{slashes_{place}:/+}}{part}" for place, part in enumerate(parts[1:]))
        path = f"/{{slashes:/*}}{parts[0]}{between}{{slashes_after:/*}}"
        handler = _another(route.handler) if route.raw else route.handler  # type: ignore[arg-type]  # raw, so a raw handler
        yield replace(route, path=path, handler=handler, hidden=True)


def _another(handler: RawHandler) -> RawHandler:
    async def other_spelling(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    return other_spelling
