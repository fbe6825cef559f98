"""The tables of refunds: ``refunds``, ``refund_attempts``, ``refund_history``, ``refund_lines``, ``gateway_calls``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import UUID

from common.contracts import Envelope, Message
from common.contracts.notices import notices_of
from common.http import Change
from common.messaging import outbox
from common.postgres import Connection, Database, Record, member
from common.telemetry import get_logger, scrub_text
from refunds.payments.store import PaymentStore
from refunds.providers.gateway import Impossible
from refunds.providers.model import Attempt, GatewayCall
from refunds.refunds import statements as sql
from refunds.refunds.errors import Overtaken
from refunds.refunds.lines import LineKind, LineTaken, RefundedLine
from refunds.refunds.metrics import RefundMetrics
from refunds.refunds.model import HistoryEntry, Refund, Settled
from refunds.refunds.states import RefundState

_log = get_logger()
Tells = Callable[[Sequence[str]], object]
"""Takes the notices (``common.contracts.notices``) of what is published."""


class RefundTransactions:
    """Opens transactions on the refunds database. ``after_commit`` is called after every commit, to wake the outbox relay."""

    def __init__(self, database: Database, metrics: RefundMetrics, *, after_commit: Callable[[], None]) -> None:
        self._database = database
        self._metrics = metrics
        self._after_commit = after_commit

    @asynccontextmanager
    async def begin(self, *, tells: Tells = lambda _: None) -> AsyncIterator[RefundStore]:
        """Commit at the end of the block, roll back on an exception. Raises ``Unavailable`` when the database is away."""
        counts: list[Callable[[], None]] = []
        async with self._database.transaction() as connection:
            yield self.store_on(connection, count=counts.append, tells=tells)
        for count in counts:
            count()
        self._after_commit()

    @asynccontextmanager
    async def rehearse(self, *, tells: Tells) -> AsyncIterator[RefundStore]:
        """As ``begin``, and undo everything at the end of the block: nothing is counted or published."""
        async with self._database.acquire() as connection:
            undone = connection.transaction()
            await undone.start()
            try:
                yield self.store_on(connection, count=lambda _: None, tells=tells)
            finally:
                await undone.rollback()

    def store_in(self, change: Change) -> RefundStore:
        """Return the store that works in the transaction of a change, which names what is published."""
        return self.store_on(change.connection, count=change.after_commit, tells=lambda told: change.tells(*told))

    def store_on(
        self,
        connection: Connection,
        *,
        count: Callable[[Callable[[], None]], None] = lambda call: call(),
        tells: Tells = lambda _: None,
    ) -> RefundStore:
        """Return the store that works in the transaction of the connection, which somebody else commits.

        ``count`` gets what is to be counted and logged once that has happened; without it that is done at once.
        """
        return RefundStore(connection, self._metrics, count=count, tells=tells)


class RefundStore:
    """Refunds, inside one transaction. ``payments`` is on the same transaction: a payment is locked before its refunds, always."""

    def __init__(
        self,
        connection: Connection,
        metrics: RefundMetrics,
        *,
        count: Callable[[Callable[[], None]], None],
        tells: Tells,
    ) -> None:
        self.connection = connection
        self.metrics = metrics
        self._count = count
        self._tells = tells
        self.payments = PaymentStore(connection)

    async def find(self, refund_id: str) -> Refund | None:
        """Return the refund as it is."""
        row = await self.connection.fetchrow(sql.FIND, UUID(refund_id))
        return None if row is None else refund_of(row)

    async def by_business_key(self, business_key: str) -> Refund | None:
        """Return the refund of this business key."""
        row = await self.connection.fetchrow(sql.BY_KEY, business_key)
        return None if row is None else refund_of(row)

    async def by_gateway_refund_id(self, gateway: str, gateway_refund_id: str) -> tuple[Refund, Attempt] | None:
        """Return the refund that the gateway calls so, with the newest of its attempts under that id."""
        row = await self.connection.fetchrow(sql.BY_GATEWAY_ID, gateway, gateway_refund_id)
        refund = None if row is None else await self.find(str(row["refund_id"]))
        return None if row is None or refund is None else (refund, _attempt(row))

    async def waiting_for_captured(self, payment_id: str) -> Sequence[Refund]:
        """Return, locked and oldest first (ids are in the order of time), the refunds in CREATE that hold nothing of the payment yet."""
        return [refund_of(row) for row in await self.connection.fetch(sql.WAITING, payment_id)]

    async def order_of_payment(self, payment_id: str) -> str | None:
        """Return the number of the order that the payment's oldest refund is of."""
        number: str | None = await self.connection.fetchval(sql.ORDER_OF_PAYMENT, payment_id)
        return number

    async def not_held_whole(self, payment_id: str) -> Sequence[Refund]:
        """Return, locked and oldest first, the refunds that the customer has and that hold less of the payment than their sum."""
        return [refund_of(row) for row in await self.connection.fetch(sql.NOT_HELD_WHOLE, payment_id)]

    async def counted_whole(self, payment_id: str) -> int:
        """Return what the customer has of the payment or may have, which may be more than was captured: people settle things outside."""
        whole: int = await self.connection.fetchval(sql.COUNTED_WHOLE, payment_id)
        return whole

    async def add(self, refund: Refund, *, happened: str, actor: str) -> bool:
        """Insert a refund and its first line of history. False when the business key was taken at the same moment."""
        values = (getattr(refund, column) for column in sql.COLUMN_NAMES[1:])
        added = await self.connection.fetchval(sql.ADD, UUID(refund.id), *values)
        if added:
            await self.record(refund, before=None, happened=happened, actor=actor, detail=refund.reason)
        return bool(added)

    async def save(self, before: Refund, after: Refund) -> None:
        """Write the refund if state, version and the sum it holds are still those of ``before``. Raises ``Overtaken``."""
        values = (*(getattr(after, column) for column in sql.SAVED_COLUMNS), before.reserved)
        if not await self.connection.fetchval(sql.SAVE, UUID(before.id), before.state, before.version, *values):
            raise _overtaken(before)

    async def make_due(self, refund: Refund, *, now: datetime) -> None:
        """Make a refund that waits due now, if it is still in this state and version. One that TCreateRefund has not begun waits on."""
        await self.connection.execute(sql.MAKE_DUE, UUID(refund.id), refund.state, refund.version, now)

    async def record(
        self, refund: Refund, *, before: RefundState | None, happened: str, actor: str, detail: str
    ) -> None:
        """Append to the history; ``before`` is None for a new refund. Phones and mails in ``detail`` are masked: it is kept for good."""
        r = refund
        await self.connection.execute(
            sql.RECORD,
            UUID(r.id),
            r.version,
            r.attempt,
            before,
            r.state,
            happened,
            actor,
            scrub_text(detail)[:2000],
            r.state_since,
        )
        self._count(partial(self.metrics.moved, before, r.state))
        names = {"refund_id": r.id, "order_number": r.order_number, "state": r.state.name}
        self._count(partial(_log.info, "refund_state_written", **names, happened=happened, attempt=r.attempt))

    async def asked_by(self, refund: Refund) -> str | None:
        """Return who has asked for the refund: the actor of the first line of its history."""
        actor: str | None = await self.connection.fetchval(sql.ASKED_BY, UUID(refund.id))
        return actor

    def count_problem(self, kind: str) -> None:
        """Count a problem that is reported in this transaction."""
        self._count(partial(self.metrics.problem, kind))

    async def history(self, refund_id: str) -> Sequence[HistoryEntry]:
        """Return the history, oldest first."""
        return [
            HistoryEntry(
                before=None if row["state_before"] is None else member(RefundState, row["state_before"]),
                after=member(RefundState, row["state_after"]),
                **{name: row[name] for name in ("version", "attempt", "happened", "actor", "detail", "at")},
            )
            for row in await self.connection.fetch(sql.HISTORY, UUID(refund_id))
        ]

    async def attempt(self, refund: Refund) -> Attempt:
        """Return the refund's present attempt."""
        row = await self.connection.fetchrow(sql.ATTEMPT, UUID(refund.id), refund.attempt)
        if row is None:
            raise Overtaken(f"refund {refund.id} has no attempt {refund.attempt} yet")
        return _attempt(row)

    async def attempts(self, refund_id: str) -> Sequence[Attempt]:
        """Return every attempt, oldest first."""
        return [_attempt(row) for row in await self.connection.fetch(sql.ATTEMPTS, UUID(refund_id))]

    async def by_gateway_key(self, gateway: str, key: str) -> Refund | None:
        """Return the refund of ours that has sent this key in its present attempt, and does not know yet what the gateway calls it."""
        row = await self.connection.fetchrow(sql.BY_GATEWAY_KEY, gateway, key)
        return None if row is None else await self.find(str(row["refund_id"]))

    async def add_attempt(self, attempt: Attempt) -> None:
        """Insert an attempt, key and all. Raises ``Overtaken`` when somebody else began it first."""
        a = attempt
        values = (a.number, a.gateway, a.gateway_key, a.began_at, a.sent_at, a.gateway_refund_id)
        if not await self.connection.fetchval(sql.ADD_ATTEMPT, UUID(a.refund_id), *values):
            raise Overtaken(f"refund {a.refund_id} has an attempt {a.number} already")

    async def mark_sent(self, refund: Refund, attempt: Attempt, *, now: datetime) -> Attempt:
        """Note that from now on the gateway may know the key. Keeps the first moment.

        Raises ``Overtaken`` unless the refund is in the state and version given: nobody sends for a refund that has gone on.
        """
        await self._lock_unchanged(refund)
        sent_at = await self.connection.fetchval(sql.SENT, UUID(attempt.refund_id), attempt.number, now)
        return replace(attempt, sent_at=sent_at)

    async def save_gateway_refund_id(self, refund: Refund, attempt: Attempt, gateway_refund_id: str) -> Attempt:
        """Note what the gateway calls it. Raises ``Overtaken`` like ``mark_sent``, ``Impossible`` when it has another id already."""
        await self._lock_unchanged(refund)
        saved = await self.connection.fetchval(
            sql.GATEWAY_ID, UUID(attempt.refund_id), attempt.number, gateway_refund_id
        )
        if saved != gateway_refund_id:
            raise Impossible(f"the gateway gave one key of refund {attempt.refund_id} two refunds")
        return replace(attempt, gateway_refund_id=saved)

    async def add_lines(self, refund: Refund, lines: Sequence[RefundedLine]) -> None:
        """Store which lines of the order the refund is for."""
        if lines:
            values = [(UUID(refund.id), n.id, n.kind, n.quantity, n.of_quantity, n.paid, n.amount) for n in lines]
            await self.connection.executemany(sql.ADD_LINE, values)

    async def lines(self, refund_id: str) -> Sequence[RefundedLine]:
        """Return the lines of the order that the refund is for."""
        return [
            RefundedLine(
                id=row["line_id"],
                kind=member(LineKind, row["kind"]),
                **{name: row[name] for name in ("quantity", "of_quantity", "paid", "amount")},
            )
            for row in await self.connection.fetch(sql.LINES, UUID(refund_id))
        ]

    async def lines_taken(self, payment_id: str) -> Mapping[str, LineTaken]:
        """Return what the payment's refunds, but for those proven failed, have taken of each line. The payment must be locked."""
        return {
            row["line_id"]: LineTaken(row["quantity"], row["amount"])
            for row in await self.connection.fetch(sql.LINES_TAKEN, payment_id)
        }

    async def add_calls(self, calls: Sequence[GatewayCall]) -> None:
        """Append to the evidence."""
        for c in calls:
            values = (c.attempt, c.at, c.operation, c.request[:500], c.outcome, c.answer[:500], c.seconds)
            await self.connection.execute(sql.ADD_CALL, UUID(c.refund_id), *values)

    async def calls(self, refund_id: str, *, limit: int) -> Sequence[GatewayCall]:
        """Return the newest calls, oldest first."""
        rows = await self.connection.fetch(sql.CALLS, UUID(refund_id), limit)
        return [GatewayCall(**{**row, "refund_id": str(row["refund_id"])}) for row in rows]

    async def open_problem(self, refund: Refund, *, now: datetime) -> bool:
        """Note that a problem is raised for the present attempt. False when it was before: one per attempt."""
        return bool(await self.connection.fetchval(sql.OPEN_PROBLEM, UUID(refund.id), refund.attempt, now))

    async def close_problems(self, refund_id: str, *, before_attempt: int, now: datetime) -> Sequence[int]:
        """Return, once, the attempts before the given one whose problem was raised and is not over."""
        rows = await self.connection.fetch(sql.CLOSE_PROBLEMS, UUID(refund_id), before_attempt, now)
        return sorted(row["attempt"] for row in rows)

    async def add_to_outbox(
        self, message: Message, *, event_id: str, order_number: str, traceparent: str | None, now: datetime
    ) -> None:
        """Publish after the transaction commits, as part of the given trace."""
        envelope = Envelope.of(
            message, event_id=event_id, source="/refunds", subject=order_number, time=now, traceparent=traceparent
        )
        encoded = (envelope.type, envelope.encode())
        await outbox.add_encoded(self.connection, [encoded])
        self._tells(notices_of([encoded]))

    async def publish_about(self, refund: Refund, message: Message, *, event_id: str, now: datetime) -> None:
        """``add_to_outbox`` for the refund's order, in the trace of whoever asked for the refund."""
        await self.add_to_outbox(
            message, event_id=event_id, order_number=refund.order_number, traceparent=refund.traceparent, now=now
        )

    async def _lock_unchanged(self, refund: Refund) -> None:
        if not await self.connection.fetchval(sql.STILL, UUID(refund.id), refund.state, refund.version):
            raise _overtaken(refund)


def refund_of(row: Record) -> Refund:
    """Turn a row of ``refunds`` into a refund."""
    settled = None if row["settled"] is None else member(Settled, row["settled"])
    return Refund(**{**row, "id": str(row["id"]), "state": member(RefundState, row["state"]), "settled": settled})


def _attempt(row: Record) -> Attempt:
    named = {name: row[name] for name in ("gateway", "gateway_key", "began_at", "sent_at", "gateway_refund_id")}
    return Attempt(refund_id=str(row["refund_id"]), number=row["attempt"], **named)


def _overtaken(refund: Refund) -> Overtaken:
    return Overtaken(f"refund {refund.id} is not in {refund.state.name} at version {refund.version} any more")
