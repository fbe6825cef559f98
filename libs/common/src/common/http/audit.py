"""The audit log: every change that a person makes leaves an append-only record in the same transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator

from common.http.auth import VIEWER, Principal
from common.http.pages import Page, PageQuery, listed
from common.http.routes import Request, Route
from common.postgres import Connection, Database
from common.telemetry import scrub_text


class AdminChange(BaseModel):
    """What every change has to say: why, and whether it is only to be tried."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=3, max_length=1000, description="why; stands in the audit log")
    dry_run: bool = Field(default=False, description="say what would happen, change nothing")

    @field_validator("reason")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if len(value.strip()) < 3:
            raise ValueError("needs three characters that are not blanks")
        return value.strip()


class AuditRecord(BaseModel):
    """One change: who, when, why, before, after."""

    id: int
    at: datetime
    actor: str
    role: str
    action: str
    target: str
    reason: str
    before: Any
    after: Any
    request_id: str


class AuditQuery(PageQuery):
    """Filters of the audit log, exact matches."""

    target: str | None = Field(default=None, max_length=200)
    actor: str | None = Field(default=None, max_length=200)
    action: str | None = Field(default=None, max_length=200)


_INSERT = """
INSERT INTO audit_log (actor, role, action, target, reason, before, after, request_id)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7::text::jsonb, $8)
RETURNING id
"""

_PAGE = """
SELECT id, at, actor, role, action, target, reason, before::text AS before, after::text AS after, request_id
FROM audit_log
WHERE ($1::text IS NULL OR target = $1) AND ($2::text IS NULL OR actor = $2) AND ($3::text IS NULL OR action = $3)
  AND ($4::bigint IS NULL OR id < $4)
ORDER BY id DESC
LIMIT $5
"""


async def record(
    connection: Connection,
    *,
    principal: Principal,
    action: str,
    target: str,
    reason: str,
    before: Any,
    after: Any,
    request_id: str,
) -> int:
    """Write a record in the caller's transaction and return its id: it exists exactly if the change does.

    ``action`` is a constant (``workflow.stop``), ``target`` names the thing (``order:7Q3M…``); ``before`` and ``after`` are
    JSON-like values or pydantic models and hold no customer's data. Phones and mails in ``reason`` are masked, as the log is kept when a
    customer is erased. Outside a transaction it raises ``RuntimeError``.
    """
    if not connection.is_in_transaction():
        raise RuntimeError("an audit record belongs into the transaction of its change")
    values = (
        principal.name,
        principal.role,
        action,
        target,
        scrub_text(reason),
        _json(before),
        _json(after),
        request_id,
    )
    return int(await connection.fetchval(_INSERT, *values))


def audit_routes(database: Database | None) -> list[Route]:
    """Return ``GET /admin/v1/audit``, newest first. A service without a database of its own has an empty log."""

    async def read(request: Request[None, AuditQuery]) -> Page[AuditRecord]:
        """Answer one page."""
        query = request.query
        if database is None:
            return Page(items=[], next_cursor=None)

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
            return _PAGE, [query.target, query.actor, query.action, after and after[0], limit]

        return await listed(database, query, select, key={"id": int}, item=_record)

    return [
        Route(
            method="GET",
            path="/admin/v1/audit",
            handler=read,
            summary="Who changed what, when and why",
            query=AuditQuery,
            response=Page[AuditRecord],
            roles=VIEWER,
            tags=("admin",),
        )
    ]


def _record(row: Any) -> AuditRecord:
    values = dict(row)
    for key in ("before", "after"):
        values[key] = None if values[key] is None else orjson.loads(values[key])
    return AuditRecord(**values)


def _json(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return orjson.dumps(value, default=_plain).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"an audit record cannot hold a {type(value).__name__}")
