"""How routes for operators look: what a viewer may read, and what an operator may change (safe to repeat with a key)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from common.http import OPERATOR, VIEWER, Route
from common.http.routes import Handler


def admin_read(path: str, handler: Handler, summary: str, response: type[BaseModel], **more: Any) -> Route:
    """``GET /admin/v1/…``, for viewers. ``more`` is ``query`` and ``errors``, as ``Route`` has them."""
    return Route(
        method="GET",
        path=f"/admin/v1/{path}",
        handler=handler,
        summary=summary,
        response=response,
        roles=VIEWER,
        tags=("admin",),
        **more,
    )


def admin_change(
    path: str, handler: Handler, summary: str, models: tuple[type[BaseModel], type[BaseModel]], **more: Any
) -> Route:
    """``POST /admin/v1/…``, for operators. ``models`` are request and response; ``more`` is the rest, as ``Route`` has it."""
    request, response = models
    return Route(
        **{"method": "POST", "roles": OPERATOR, **more},
        path=f"/admin/v1/{path}",
        handler=handler,
        summary=summary,
        request=request,
        response=response,
        tags=("admin",),
        idempotent=True,
    )
