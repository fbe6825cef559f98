"""The audit log: every change that a person makes leaves an append-only record in the same transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator

from common.errors import InvalidInput
from common.http.auth import Principal
from common.http.fields import Moment
from common.http.pages import Page, PageQuery, listed
from common.http.routes import Request, Route, read_route
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
    """Filters of the audit log, exact matches; all that is given has to hold."""

    model_config = ConfigDict(populate_by_name=True)

    target: str | None = Field(default=None, max_length=200)
    actor: str | None = Field(default=None, max_length=200)
    action: str | None = Field(default=None, max_length=200)
    order: str | None = Field(
        default=None, max_length=64, description="the order's number: what was done to it and to whatever belongs to it"
    )
    since: Moment | None = Field(default=None, alias="from", description="at or after")
    until: Moment | None = Field(default=None, alias="to", description="before")


_INSERT = """
INSERT INTO audit_log (actor, role, action, target, reason, before, after, request_id)
VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7::text::jsonb, $8)
RETURNING id
"""

_PAGE = """
SELECT id, at, actor, role, action, target, reason, before::text AS before, after::text AS after, request_id
FROM audit_log
WHERE {conditions}
ORDER BY id DESC
LIMIT {limit}
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


def audit_routes(database: Database | None, *, of_order: str = "SELECT 'order:' || {order}") -> list[Route]:
    """Return ``GET /admin/v1/audit``, newest first. A service without a database of its own has an empty log.

    ``of_order``: a SELECT of the targets that belong to the order ``{order}``, a constant of the service.
    """

    async def read(request: Request[None, AuditQuery]) -> Page[AuditRecord]:
        """Answer one page."""
        query = request.query
        if database is None:
            return Page(items=[], next_cursor=None)

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
            return _select(query, of_order, before=after[0] if after else None, limit=limit)

        return await listed(database, query, select, key={"id": int}, item=_record)

    return [
        read_route(
            "/admin/v1/audit",
            read,
            "Who changed what, when and why",
            Page[AuditRecord],
            query=AuditQuery,
            errors=(InvalidInput,),
        )
    ]


def _select(query: AuditQuery, of_order: str, *, before: int | None, limit: int) -> tuple[str, list[Any]]:
    """Only the conditions asked for: one plan for all would fit none."""
    values: list[Any] = []
    conditions = ["true"]
    asked = (
        ("target = {0}", query.target),
        ("actor = {0}", query.actor),
        ("action = {0}", query.action),
        (f"target = ANY(ARRAY({of_order.format(order='{0}::text')}))", query.order),
        ("at >= {0}", query.since),
        ("at < {0}", query.until),
        ("id < {0}", before),
    )
    for condition, value in asked:
        if value is not None:
            values.append(value)
            conditions.append(condition.format(f"${len(values)}"))
    statement = _PAGE.format(conditions=" AND ".join(conditions), limit=f"${len(values) + 1}")
    return statement, [*values, limit]


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
