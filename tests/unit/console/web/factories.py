"""A stand-in for the five services, and a browser without script."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from console.client.operations import operations

RANKS = {"viewer": 0, "operator": 1, "admin": 2, "internal": 1}
_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]*)"')


@dataclass
class Services:
    """What the five services answer. Tokens are ``token-ROLE`` of a person of the role's name."""

    url: str = ""
    answers: dict[str, tuple[int, Any] | Callable[[Any], tuple[int, Any]]] = field(default_factory=dict)
    calls: list[tuple[str, Any, str | None]] = field(default_factory=list)
    withdrawn: set[str] = field(default_factory=set)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer as a service does: 401 for strangers, whoami, what a test set, an empty list, 404."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        role = token.removeprefix("token-")
        line = f"{request.method} {request.path}"
        if line == "GET /readyz":
            return web.json_response({"ready": True, "checks": {}})
        if role not in RANKS or token in self.withdrawn:
            return web.json_response({"code": "unauthorized", "detail": "who is this"}, status=401)
        if line == "GET /admin/v1/whoami":
            allowed = [
                f"{method} {path}" for (_, method, path), known in operations().items() if _may(role, known.role)
            ]
            return web.json_response({"name": role, "role": role, "permissions": allowed})
        body = await request.json() if request.can_read_body else dict(request.query)
        self.calls.append((line, body, request.headers.get("Idempotency-Key")))
        found = self.answers.get(line)
        if found is not None:
            status, said = found(body) if callable(found) else found
            return web.json_response(said, status=status)
        if line in _EMPTY:
            return web.json_response({"items": [], "next_cursor": None, "count": 0})
        return web.json_response({"code": "not_found", "detail": "there is none"}, status=404)


def _may(role: str, demanded: str) -> bool:
    return RANKS[role] >= RANKS.get(demanded, 0)


_EMPTY = {f"{method} {path}" for (_, method, path), known in operations().items() if method == "GET" and known.query}


@dataclass
class Browser:
    """A browser without script: cookies, forms, redirects."""

    url: str
    session: aiohttp.ClientSession
    page: str = ""
    status: int = 0
    path: str = ""
    headers: Any = None

    async def get(self, path: str, **headers: str) -> str:
        """Load a page."""
        async with self.session.get(self.url + path, headers=headers) as answer:
            return await self._keep(answer)

    async def post(self, path: str, *, origin: str | None = "own", **fields: Any) -> str:
        """Send a form of the page that is shown."""
        token = _FORM_TOKEN.search(self.page)
        sent = {"form_token": token[1] if token else "", **fields}
        headers = {} if origin is None else {"Origin": self.url if origin == "own" else origin}
        async with self.session.post(self.url + path, data=sent, headers=headers) as answer:
            return await self._keep(answer)

    async def sign_in(self, role: str) -> str:
        """Sign in with the token of a role."""
        await self.get("/sign-in")
        return await self.post("/sign-in", token=f"token-{role}", to="/")

    async def _keep(self, answer: aiohttp.ClientResponse) -> str:
        self.page, self.status, self.path, self.headers = (
            await answer.text(),
            answer.status,
            answer.url.path,
            answer.headers,
        )
        return self.page


@asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Browser]:
    """Open a browser for a console."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Browser(url, session)
