"""Entity tags: whoever has an answer already learns with 304 that it has not changed (RFC 9110, 13.1.2)."""

from __future__ import annotations

import hashlib
from http import HTTPStatus

from aiohttp import web


def conditional(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Tag a 200 that has its body at hand with a weak digest of it, or answer 304 when the caller names that tag.

    The work of answering is done in either case; only sending it is spared.
    """
    if (
        response.status != HTTPStatus.OK
        or not isinstance(response, web.Response)
        or not isinstance(response.body, bytes)
    ):
        return response
    tag = f'W/"{hashlib.blake2b(response.body, digest_size=16).hexdigest()}"'
    if _names(request.headers.getall("If-None-Match", []), tag):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag, "Cache-Control": "no-store"})
    response.headers["ETag"] = tag
    return response


def _names(headers: list[str], tag: str) -> bool:
    """Weak comparison: strong and weak tags of one text are the same."""
    given = {part.strip() for header in headers for part in header.split(",")}
    return "*" in given or tag.removeprefix("W/") in {part.removeprefix("W/") for part in given}
