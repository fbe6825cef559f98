"""What a person or another service changes by HTTP: one transaction with its key, its audit records and its preview."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import asyncpg
from pydantic import BaseModel, Field

from common.errors import Conflict, NotFound, Unprocessable
from common.http import audit
from common.http.audit import AdminChange
from common.http.auth import Principal
from common.http.idempotency import once
from common.http.routes import Answer, Reply, Request
from common.postgres import Connection, Database
from common.telemetry import scrub_text

_BEGIN_ANEW = 3

K = TypeVar("K")
T = TypeVar("T")


class ChangeAnswer(BaseModel):
    """What the answer to a change, or to its rehearsal, has: `notices` are what ``Change.tells`` was given."""

    notices: list[str] = Field(
        default=[],
        description="the messages to people that follow from it: event, which order, whom; of several events joined by `or` one",
    )


@dataclass(frozen=True, slots=True)
class Done(Generic[K, T]):
    """One item of a bulk change, carried out; with a dry run, what carrying it out would answer. ``notices`` are those of the item."""

    key: K
    answer: T
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotDone(Generic[K]):
    """One item of a bulk change that was refused, and has left nothing."""

    key: K
    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneElsewhere:
    """What a person did in another system and is to hold here too: stands for the request of a change."""

    principal: Principal
    body: AdminChange
    request_id: str


class Change:
    """A change under way, inside its transaction. ``connection`` is that transaction's: whatever is to hold is written through it."""

    def __init__(self, connection: Connection, request: Request[Any, Any] | DoneElsewhere) -> None:
        self.connection = connection
        self._request = request
        self._after_commit: list[Callable[[], None]] = []
        self._notices: list[str] = []

    @property
    def principal(self) -> Principal:
        """Who changes it."""
        return self._request.principal

    @property
    def reason(self) -> str:
        """Why, in that person's words, phones and mails in them masked; empty where the operation asks for none.

        A reason stands in audits, timelines and messages, which outlive an erasure.
        """
        return scrub_text(getattr(self._request.body, "reason", None) or "")

    @property
    def dry_run(self) -> bool:
        """Whether all of it will be rolled back. For the answer only: the work is done the same way."""
        return bool(getattr(self._request.body, "dry_run", False))

    async def record(
        self, action: str, target: str, *, before: Any = None, after: Any = None, reason: str | None = None
    ) -> int:
        """Leave an audit record and return its id. It names principal, reason and request by itself.

        ``action`` is a constant (``order.recalculate``), ``target`` names the thing (``order:7Q3M…``); ``before`` and ``after`` are
        JSON-like values or pydantic models and hold no customer's data. ``reason`` only where the request has none of its own.
        """
        return await audit.record(
            self.connection,
            principal=self.principal,
            action=action,
            target=target,
            reason=self.reason if reason is None else reason,
            before=_without_notices(before),
            after=_without_notices(after),
            request_id=self._request.request_id,
        )

    @property
    def notices(self) -> tuple[str, ...]:
        """The messages to people that follow from it, as far as they are named already."""
        return tuple(self._notices)

    def tells(self, *notices: str) -> None:
        """Name messages to people that follow from this change, as ``common.contracts.notices.notice`` writes them.

        They stand in the answer (``ChangeAnswer``; of a bulk change, in the item's), in a rehearsal as when it is carried out.
        ``common.service.publish`` does it for what goes into the outbox at once.
        """
        self._notices += notices

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call this once the change is committed, before the answer: for counters. Never for a dry run or a stored answer."""
        self._after_commit.append(call)

    async def each(self, keys: Iterable[K], work: Callable[[K], Awaitable[T]]) -> list[Done[K, T] | NotDone[K]]:
        """Do the work for each key, one after the other, and return what came of each, in their order.

        An item that raises ``Conflict``, ``NotFound`` or ``Unprocessable`` is undone alone and answered as refused; any other error undoes
        all. Keys should come in one order everywhere: two bulk changes that lock the same rows crosswise are a deadlock.
        """
        items: list[Done[K, T] | NotDone[K]] = []
        for key in keys:
            noted, told = len(self._after_commit), len(self._notices)
            try:
                async with self.connection.transaction():
                    answer = await work(key)
                    items.append(Done(key, answer, tuple(self._notices[told:])))
            except (Conflict, NotFound, Unprocessable) as error:
                del self._after_commit[noted:], self._notices[told:]
                items.append(NotDone(key, error.code, error.detail))
        return items

    def committed(self) -> None:
        """Make the calls that wait for the commit."""
        for call in self._after_commit:
            call()


class Changes:
    """Carries changes out. ``committed`` is called after each commit: it wakes whoever works on what was written."""

    def __init__(self, database: Database, *, committed: Callable[[], None] = lambda: None) -> None:
        self.database = database
        self._committed = committed

    async def carry_out(
        self, request: Request[Any, Any], work: Callable[[Change], Awaitable[BaseModel | Reply | None]]
    ) -> Answer:
        """Do ``work`` in one READ COMMITTED transaction and return what the handler is to answer.

        - All or nothing: what ``work`` writes, its audit records and the ``Idempotency-Key`` are one commit. When it raises, nothing is
          left, and the key is free for another try.
        - A repeated key is answered from the store (header ``Idempotency-Replayed``), and ``work`` is not called.
        - A dry run (``dry_run`` in the body) is carried out and rolled back, deferred constraints checked: the preview cannot differ
          from the deed. It uses no key up and leaves no audit record. What ``work`` does outside the database is not rolled back:
          leave that to an outbox.
        - Whom the database chose as the victim of a deadlock begins anew, three times at most: ``work`` must be safe to call again,
          as its transaction has left nothing.
        - ``committed`` and ``Change.after_commit`` are called only after a commit. Whoever loses the connection during the commit
          does not know whether it happened: they are not called then, and the caller repeats the request under its key.
        """
        for _ in range(_BEGIN_ANEW):
            try:
                return await self._carry_out(request, work)
            except asyncpg.DeadlockDetectedError:
                continue
        return await self._carry_out(request, work)

    async def _carry_out(
        self, request: Request[Any, Any], work: Callable[[Change], Awaitable[BaseModel | Reply | None]]
    ) -> Answer:
        try:
            async with self.database.transaction() as connection:
                change = Change(connection, request)

                async def carried_out() -> BaseModel | Reply | None:
                    answer = _with_notices(await work(change), change.notices)
                    await _roll_back_preview(change, answer)
                    return answer

                # A preview takes no key: it neither waits for a request that has it, nor is answered from what that one stored.
                answer = await (carried_out() if change.dry_run else once(connection, request, carried_out))
        except _DryRunError as preview:
            return preview.answer
        change.committed()
        self._committed()
        return answer


class _DryRunError(Exception):
    """Rolls a dry run back after it has been carried out; ``answer`` says what it would have done."""

    def __init__(self, answer: BaseModel | Reply | None) -> None:
        super().__init__("dry run")
        self.answer = answer


def _without_notices(said: Any) -> Any:
    """Return what an audit record holds of an answer: its notices are not named yet."""
    return said.model_dump(mode="json", exclude={"notices"}) if isinstance(said, ChangeAnswer) else said


def _with_notices(answer: BaseModel | Reply | None, notices: tuple[str, ...]) -> BaseModel | Reply | None:
    body = answer.body if isinstance(answer, Reply) else answer
    if not isinstance(body, ChangeAnswer):
        return answer
    named = body.model_copy(update={"notices": list(notices)})
    return replace(answer, body=named) if isinstance(answer, Reply) else named


async def _roll_back_preview(change: Change, answer: BaseModel | Reply | None) -> None:
    if change.dry_run:
        await change.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        raise _DryRunError(answer)
