"""Idempotency keys: the same key with the same request gives the same answer, and the work happens once.

Key, work and answer are one transaction. When the work raises, everything rolls back and the key is free again, so a
failed command can be repeated: a key is never committed without its effect.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from common.errors import Conflict
from common.http.customers import holds_customers_data
from common.http.routes import Reply, Request, responses_of
from common.postgres import Connection

_PENDING = 0  # the status inside the transaction that works; never committed

_CLAIM = """
INSERT INTO idempotency_keys (scope, key, fingerprint, status) VALUES ($1, $2, $3, $4)
ON CONFLICT (scope, key) DO NOTHING RETURNING true
"""
_STORED = "SELECT fingerprint, status, body::text AS body FROM idempotency_keys WHERE scope = $1 AND key = $2"
_SAVE = "UPDATE idempotency_keys SET status = $3, body = $4::text::jsonb WHERE scope = $1 AND key = $2"

_FORGET = """
DELETE FROM idempotency_keys WHERE (scope, key) IN (
    SELECT scope, key FROM idempotency_keys WHERE created_at < now() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""


class IdempotencyKeyReused(Conflict):
    """The key was used for another request."""

    code = "idempotency_key_reused"


@dataclass(frozen=True, slots=True)
class StoredReply:
    """An answer that was given before."""

    status: int
    body: Any


class Attempt:
    """One try under a key. If ``stored`` is set the work was done before: answer that. Else work, then ``save``."""

    def __init__(self, stored: StoredReply | None) -> None:
        self.stored = stored
        self.saved: tuple[int, str | None] | None = None

    def save(self, *, status: int, body: BaseModel | Any) -> None:
        """Keep the answer; it is written when the block ends and holds if the transaction commits."""
        if body is None:
            text = None
        elif isinstance(body, BaseModel):
            text = body.model_dump_json(by_alias=True)
        else:
            text = orjson.dumps(body).decode()
        self.saved = (status, text)


@asynccontextmanager
async def idempotent(
    connection: Connection, *, scope: str, key: str | None, fingerprint: bytes
) -> AsyncIterator[Attempt]:
    """Claim a key inside the caller's transaction.

    A second request with the same key waits until the first has committed (and gets its answer) or rolled back (and does
    the work itself). The same key with another fingerprint raises ``IdempotencyKeyReused`` (409). With no key at all the
    work is done every time. Leaving the block normally without ``save`` is a ``RuntimeError``, and so is calling it outside
    a transaction. Needs READ COMMITTED, which is the pool's default.
    """
    if not connection.is_in_transaction():
        raise RuntimeError("an idempotency key belongs into the transaction of its work")
    if key is None:
        yield Attempt(None)
        return
    while not await connection.fetchval(_CLAIM, scope, key, fingerprint, _PENDING):
        row = await connection.fetchrow(_STORED, scope, key)
        if row is None:
            continue  # pruned between the two statements; the key is free, so claim it
        if bytes(row["fingerprint"]) != fingerprint:
            raise IdempotencyKeyReused("this Idempotency-Key was used for another request")
        yield Attempt(StoredReply(row["status"], None if row["body"] is None else orjson.loads(row["body"])))
        return
    attempt = Attempt(None)
    yield attempt
    if attempt.saved is None:
        raise RuntimeError("work under an idempotency key ended without an answer to keep")
    status, body = attempt.saved
    await connection.execute(_SAVE, scope, key, status, body)


async def once(
    connection: Connection, request: Request[Any, Any], work: Callable[[], Awaitable[BaseModel | Reply | None]]
) -> web.StreamResponse | BaseModel | Reply | None:
    """Do the work of a handler under the request's ``Idempotency-Key``, if it has one, and return what to answer.

    ``work`` runs inside the caller's transaction on ``connection``. A repeated request is answered from the store, with the
    header ``Idempotency-Replayed: true``.
    """
    async with idempotent(
        connection, scope=request.idempotency_scope, key=request.idempotency_key, fingerprint=request.fingerprint
    ) as attempt:
        if attempt.stored is not None:
            return _replayed(attempt.stored, responses_of(request.route).get(attempt.stored.status))
        answer = await work()
        if isinstance(answer, Reply):
            attempt.save(status=answer.status, body=answer.body)
        else:
            attempt.save(status=request.route.status, body=answer)
        return answer


async def forget_keys(connection: Connection, *, older_than: timedelta, limit: int = 1000) -> int:
    """Delete up to ``limit`` keys that are older than that, and return how many went.

    For a supervised job; a day is what callers may rely on. A key that a transaction is using right now is left alone.
    """
    status = await connection.execute(_FORGET, older_than, limit)
    return int(status.rpartition(" ")[2])


def _replayed(stored: StoredReply, model: type[BaseModel] | None) -> web.Response | Reply:
    headers = {"Idempotency-Replayed": "true", "Cache-Control": "no-store"}
    if stored.body is None:
        return web.Response(status=stored.status, headers=headers)
    if model is not None and holds_customers_data(model):
        return Reply(_read_again(stored.body, model), stored.status, headers)
    body = orjson.dumps(stored.body)
    return web.Response(
        status=stored.status, body=body, content_type="application/json", charset="utf-8", headers=headers
    )


def _read_again(body: Any, model: type[BaseModel]) -> BaseModel | None:
    """Return the answer as its model, so that whoever repeats the request is shown, and noted for, what the first one was."""
    try:
        return model.model_validate(body, by_alias=True, by_name=True)
    except ValidationError:
        return None  # another release's answer, in which nobody can tell the customer's data: the work is done, and that is said
