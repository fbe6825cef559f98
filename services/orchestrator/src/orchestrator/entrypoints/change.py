"""One change over HTTP: one transaction, once per ``Idempotency-Key``, carried out for real and rolled back for a preview."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from common.http import Reply, Request, once
from common.postgres import Connection, Database
from common.telemetry import inject

_DEADLOCK = "40P01"
_DEADLOCKS = 3
Answer = web.StreamResponse | BaseModel | Reply | None


class _Preview(Exception):
    def __init__(self, answer: BaseModel) -> None:
        super().__init__("dry run")
        self.answer = answer


async def change(
    database: Database,
    request: Request[Any, Any],
    work: Callable[[Connection], Awaitable[BaseModel]],
    *,
    committed: Callable[[], None],
    dry_run: bool = False,
) -> Answer:
    """Do the work in a transaction and return what to answer. ``committed`` is called after the commit.

    A dry run is carried out and rolled back, so a preview cannot differ from the deed; its key is not used up. Whom the database chose
    as the victim of a deadlock begins anew.
    """
    for _ in range(_DEADLOCKS):
        try:
            return await _once(database, request, work, committed=committed, dry_run=dry_run)
        except Exception as error:
            if getattr(error, "sqlstate", None) != _DEADLOCK:
                raise
    return await _once(database, request, work, committed=committed, dry_run=dry_run)


async def _once(
    database: Database,
    request: Request[Any, Any],
    work: Callable[[Connection], Awaitable[BaseModel]],
    *,
    committed: Callable[[], None],
    dry_run: bool,
) -> Answer:
    try:
        async with database.transaction() as connection:

            async def _carried_out() -> BaseModel:
                answer = await work(connection)
                _roll_back(answer, dry_run=dry_run)
                return answer

            reply = await once(connection, request, _carried_out)
    except _Preview as preview:
        return preview.answer
    committed()
    return reply


def _roll_back(answer: BaseModel, *, dry_run: bool) -> None:
    if dry_run:
        raise _Preview(answer)


def current_trace() -> str | None:
    """Return the trace of the request in hand, for what follows from it."""
    headers: dict[str, str] = {}
    inject(headers)
    return headers.get("traceparent")
