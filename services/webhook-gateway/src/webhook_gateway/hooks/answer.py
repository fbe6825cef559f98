"""How a verdict is answered over HTTP, to marketplaces and websites alike."""

from __future__ import annotations

import orjson
from aiohttp import web

from common.http import problem
from common.telemetry import current_request_id
from webhook_gateway.hooks.encodings import READ
from webhook_gateway.hooks.model import Verdict


def answer(verdict: Verdict, *, challenge: str) -> web.StreamResponse:
    """Return the response. ``challenge`` says in a 401 how a caller proves who it is."""
    if verdict.body is not None:
        return web.Response(
            status=verdict.status, body=orjson.dumps(verdict.body), headers={"Content-Type": "application/json"}
        )
    headers = {}
    if verdict.status in {429, 503}:
        headers["Retry-After"] = str(verdict.retry_after)
    elif verdict.status == 401:
        headers["WWW-Authenticate"] = challenge
    elif verdict.status == 405:
        headers["Allow"] = "POST"
    elif verdict.status == 415:
        headers["Accept-Encoding"] = READ
    return problem(
        status=verdict.status,
        code=verdict.code,
        detail=verdict.detail,
        request_id=current_request_id() or "",
        retryable=verdict.status in {408, 429, 503},
        fields=verdict.fields,
        headers=headers,
    )
