"""A stand-in for the five services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from console.client.operations import operations

RANKS = {"viewer": 0, "operator": 1, "admin": 2, "internal": 1}


@dataclass
class Services:
    """What the five services answer, ``open`` to anybody.

    Tokens are ``token-ROLE`` of a person of the role's name, ``token-ROLE-2`` of another.
    """

    url: str = ""
    answers: dict[str, tuple[int, Any] | Callable[[Any], tuple[int, Any]]] = field(default_factory=dict)
    calls: list[tuple[str, Any, str | None]] = field(default_factory=list)
    withdrawn: set[str] = field(default_factory=set)
    open: dict[str, str] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer as a service does: 401 for strangers, whoami, what a test set, an empty list, 404."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        role = token.removeprefix("token-").removesuffix("-2")
        line = f"{request.method} {request.path}"
        if line == "GET /readyz":
            return web.json_response({"ready": True, "checks": {}})
        if line in self.open:
            return web.Response(text=self.open[line])
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
