"""The refunds database: one transaction as a ``RefundStore``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from common.contracts import Envelope, Message
from common.messaging import outbox
from common.postgres import Connection
from common.telemetry import get_logger
from refunds.providers.model import PaymentInfo
from refunds.providers.provider import GatewayCall, HistoryEntry, Observer
from refunds.reconciliation.model import Difference, DifferenceKind
from refunds.refunds import statements as sql
from refunds.refunds.errors import Impossible, Overtaken
from refunds.refunds.lines import LineTaken, RefundedLine
from refunds.refunds.model import Attempt, Payment, Refund
from refunds.refunds.rows import attempt_of, line_of, payment_of, refund_of
from refunds.refunds.states import Happened, RefundState

_log = get_logger()
_SOURCE = "/refunds"


class PostgresStore:
    """Port ``RefundStore`` on one connection inside a transaction."""

    def __init__(self, connection: Connection, observer: Observer) -> None:
        self._connection = connection
        self._observer = observer

    @property
    def observer(self) -> Observer:
        """Where figures go."""
        return self._observer

    async def ensure_payment(self, payment_id: str, *, gateway: str) -> None:
        """Make the payment if it is not known."""
        await self._connection.execute(sql.ENSURE, payment_id, gateway)

    async def lock_payment(self, payment_id: str) -> Payment:
        """Return a known payment, locked."""
        return payment_of(await self._connection.fetchrow(sql.PAYMENT, payment_id))

    async def learn_captured(self, payment_id: str, info: PaymentInfo, *, now: datetime) -> Payment:
        """Keep what the gateway says was captured."""
        return payment_of(await self._connection.fetchrow(sql.CAPTURED, payment_id, info.captured, info.currency, now))

    async def find(self, refund_id: str) -> Refund | None:
        """Return the refund as it is."""
        row = await self._connection.fetchrow(sql.FIND, UUID(refund_id))
        return None if row is None else refund_of(row)

    async def by_business_key(self, business_key: str) -> Refund | None:
        """Return the refund of this business key."""
        row = await self._connection.fetchrow(sql.BY_KEY, business_key)
        return None if row is None else refund_of(row)

    async def waiting_for_captured(self, payment_id: str) -> Sequence[Refund]:
        """Return, locked and oldest first (ids are in the order of time), those in CREATE that hold nothing yet."""
        return [refund_of(row) for row in await self._connection.fetch(sql.WAITING, payment_id)]

    async def add(self, refund: Refund, *, happened: str, actor: str) -> bool:
        """Insert a refund and its first line of history."""
        r = refund
        added = await self._connection.fetchval(
            sql.ADD,
            UUID(r.id),
            r.business_key,
            r.order_number,
            r.payment_id,
            r.amount,
            r.currency,
            r.reason,
            r.state,
            r.version,
            r.attempt,
            r.reserved,
            r.tries,
            r.declines,
            r.error,
            r.next_attempt_at,
            r.created_at,
            r.state_since,
            r.traceparent,
        )
        if added:
            await self._append(refund, before=None, happened=happened, actor=actor, detail=refund.reason)
        return bool(added)

    async def save(self, before: Refund, after: Refund) -> None:
        """Compare-and-set on state and version."""
        saved = await self._connection.fetchval(
            sql.SAVE,
            UUID(before.id),
            before.state,
            before.version,
            after.state,
            after.version,
            after.attempt,
            after.amount,
            after.reserved,
            after.tries,
            after.declines,
            after.error,
            after.next_attempt_at,
            after.state_since,
        )
        if not saved:
            raise Overtaken(f"refund {before.id} is not in {before.state.name} at version {before.version} any more")

    async def record(self, after: Refund, *, before: RefundState, happened: Happened, actor: str, detail: str) -> None:
        """Append to the history."""
        await self._append(after, before=before, happened=happened, actor=actor, detail=detail)

    async def history(self, refund_id: str) -> Sequence[HistoryEntry]:
        """Return the history, oldest first."""
        return [
            HistoryEntry(
                version=row["version"],
                attempt=row["attempt"],
                before=None if row["state_before"] is None else RefundState(row["state_before"]),
                after=RefundState(row["state_after"]),
                happened=row["happened"],
                actor=row["actor"],
                detail=row["detail"],
                at=row["at"],
            )
            for row in await self._connection.fetch(sql.HISTORY, UUID(refund_id))
        ]

    async def attempt(self, refund: Refund) -> Attempt:
        """Return the refund's present attempt."""
        row = await self._connection.fetchrow(sql.ATTEMPT, UUID(refund.id), refund.attempt)
        if row is None:
            raise Overtaken(f"refund {refund.id} has no attempt {refund.attempt} yet")
        return attempt_of(row)

    async def attempts(self, refund_id: str) -> Sequence[Attempt]:
        """Return every attempt, oldest first."""
        return [attempt_of(row) for row in await self._connection.fetch(sql.ATTEMPTS, UUID(refund_id))]

    async def by_gateway_refund_id(self, gateway: str, gateway_refund_id: str) -> tuple[Refund, Attempt] | None:
        """Return the refund that the gateway calls so, and the newest attempt under that id."""
        row = await self._connection.fetchrow(sql.BY_GATEWAY_ID, gateway, gateway_refund_id)
        refund = None if row is None else await self.find(str(row["refund_id"]))
        return None if row is None or refund is None else (refund, attempt_of(row))

    async def knows_key(self, gateway: str, key: str) -> bool:
        """Tell whether an attempt of ours goes under this key."""
        return bool(await self._connection.fetchval(sql.KNOWS_KEY, gateway, key))

    async def add_attempt(self, attempt: Attempt) -> None:
        """Insert an attempt, key and all."""
        a = attempt
        await self._connection.execute(
            sql.ADD_ATTEMPT,
            UUID(a.refund_id),
            a.number,
            a.gateway,
            a.gateway_key,
            a.began_at,
            a.sent_at,
            a.gateway_refund_id,
        )

    async def mark_sent(self, refund: Refund, attempt: Attempt, *, now: datetime) -> Attempt:
        """Note that from now on the gateway may know the key."""
        await self._still(refund)
        sent_at = await self._connection.fetchval(sql.SENT, UUID(attempt.refund_id), attempt.number, now)
        return replace(attempt, sent_at=sent_at)

    async def keep_gateway_refund_id(self, refund: Refund, attempt: Attempt, gateway_refund_id: str) -> Attempt:
        """Note what the gateway calls it."""
        await self._still(refund)
        kept = await self._connection.fetchval(
            sql.GATEWAY_ID, UUID(attempt.refund_id), attempt.number, gateway_refund_id
        )
        if kept != gateway_refund_id:
            raise Impossible(f"the gateway gave one key of refund {attempt.refund_id} two refunds")
        return replace(attempt, gateway_refund_id=kept)

    async def hurry(self, refund: Refund, *, now: datetime) -> None:
        """Make a waiting refund due now; one that TCreateRefund has not set going waits on."""
        await self._connection.execute(sql.HURRY, UUID(refund.id), refund.state, refund.version, now)

    async def add_lines(self, refund: Refund, lines: Sequence[RefundedLine]) -> None:
        """Keep the lines."""
        if lines:
            values = [(UUID(refund.id), n.id, n.kind, n.quantity, n.of_quantity, n.paid, n.amount) for n in lines]
            await self._connection.executemany(sql.ADD_LINE, values)

    async def lines(self, refund_id: str) -> Sequence[RefundedLine]:
        """Return the lines."""
        return [line_of(row) for row in await self._connection.fetch(sql.LINES, UUID(refund_id))]

    async def lines_taken(self, payment_id: str) -> Mapping[str, LineTaken]:
        """Return what is taken of each line."""
        return {
            row["line_id"]: LineTaken(row["of_quantity"], row["paid"], row["quantity"], row["amount"])
            for row in await self._connection.fetch(sql.LINES_TAKEN, payment_id)
        }

    async def note_calls(self, calls: Sequence[GatewayCall]) -> None:
        """Append to the evidence."""
        for c in calls:
            await self._connection.execute(
                sql.NOTE_CALL,
                UUID(c.refund_id),
                c.attempt,
                c.at,
                c.operation,
                c.request[:500],
                c.outcome,
                c.answer[:500],
                c.seconds,
            )

    async def calls(self, refund_id: str, *, limit: int) -> Sequence[GatewayCall]:
        """Return the newest calls, oldest first."""
        rows = await self._connection.fetch(sql.CALLS, UUID(refund_id), limit)
        return [GatewayCall(**{**row, "refund_id": str(row["refund_id"])}) for row in rows]

    async def open_problem(self, refund: Refund, *, now: datetime) -> bool:
        """Note that a problem is raised for the present attempt."""
        return bool(await self._connection.fetchval(sql.OPEN_PROBLEM, UUID(refund.id), refund.attempt, now))

    async def close_problems(self, refund_id: str, *, before_attempt: int, now: datetime) -> Sequence[int]:
        """Return, once, the earlier attempts whose problem is not over."""
        rows = await self._connection.fetch(sql.CLOSE_PROBLEMS, UUID(refund_id), before_attempt, now)
        return sorted(row["attempt"] for row in rows)

    async def note_difference(self, difference: Difference, *, now: datetime) -> bool:
        """Keep a difference."""
        d = difference
        values = (d.kind, d.gateway, d.subject, d.order_number, d.detail, now)
        return bool(await self._connection.fetchval(sql.NOTE_DIFFERENCE, *values))

    async def differences_over(self, subject: str, *, now: datetime) -> Sequence[Difference]:
        """Return, once, the differences of the subject that were not over."""
        return [
            Difference(DifferenceKind(row["kind"]), row["gateway"], row["subject"], row["detail"], row["order_number"])
            for row in await self._connection.fetch(sql.DIFFERENCES_OVER, subject, now)
        ]

    async def _still(self, refund: Refund) -> None:
        if not await self._connection.fetchval(sql.STILL, UUID(refund.id), refund.state, refund.version):
            raise Overtaken(f"refund {refund.id} is not in {refund.state.name} at version {refund.version} any more")

    async def promise(
        self, message: Message, *, event_id: str, order_number: str, traceparent: str | None, now: datetime
    ) -> None:
        """Put an event into the outbox."""
        envelope = Envelope.of(
            message, event_id=event_id, source=_SOURCE, subject=order_number, time=now, traceparent=traceparent
        )
        await outbox.add(self._connection, envelope)

    async def _append(
        self, refund: Refund, *, before: RefundState | None, happened: str, actor: str, detail: str
    ) -> None:
        r = refund
        await self._connection.execute(
            sql.RECORD, UUID(r.id), r.version, r.attempt, before, r.state, happened, actor, detail[:2000], r.state_since
        )
        self._observer.moved(before, r.state)
        _log.info(
            "refund_state_written",
            refund_id=r.id,
            order_number=r.order_number,
            state=r.state.name,
            happened=happened,
            attempt=r.attempt,
        )
