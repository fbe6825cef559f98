"""People settle a difference: they take the gateway's side (``adopt``), or note that they have settled it (``acknowledge``)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from common.clock import Clock
from common.http import Change
from common.ids import derived_id, new_id
from common.postgres import Database
from refunds.differences.model import (
    CannotBeAdopted,
    Difference,
    DifferenceKind,
    DifferenceSettled,
    StoredDifference,
    UnknownDifference,
)
from refunds.differences.store import (
    acknowledge_difference,
    adopt_difference,
    find_difference,
    find_differences,
    lock_difference,
)
from refunds.providers.calls import GatewayCalls
from refunds.providers.gateway import GatewayAway, GatewayRefused, GatewaySilent
from refunds.providers.model import Attempt, GatewayStatus, Receipt
from refunds.refunds.differences import resolve_incident
from refunds.refunds.errors import GatewayNoAnswer, VersionMismatch
from refunds.refunds.model import Refund
from refunds.refunds.settle import tell_captured
from refunds.refunds.states import Happened, Move, RefundState, rule
from refunds.refunds.store import RefundStore, RefundTransactions
from refunds.refunds.transition import announce, move

_ADOPTABLE = frozenset({DifferenceKind.UNKNOWN_TO_US, DifferenceKind.PAID_AFTER_ALL})
_PAID = frozenset({GatewayStatus.SUCCEEDED, GatewayStatus.PENDING})


@dataclass(frozen=True, slots=True)
class Asked:
    """What the gateway says now of what a difference is about: one of our attempts, or a refund that is none of ours."""

    version: int
    attempt: Attempt
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Settling:
    """The difference before and after; adopted, the refund that stands for it."""

    before: StoredDifference
    after: StoredDifference
    refund: Refund | None


class SettleDifference:
    """Neither moves money: both make the books say what is so. Whoever comes second is told that it is settled."""

    def __init__(self, database: Database, transactions: RefundTransactions, calls: GatewayCalls, clock: Clock) -> None:
        self._database = database
        self._transactions = transactions
        self._calls = calls
        self._clock = clock

    async def find(self, difference_id: int) -> StoredDifference:
        """Return a difference. Raises ``UnknownDifference``."""
        found = await find_difference(self._database, difference_id)
        if found is None:
            raise UnknownDifference(f"there is no difference {difference_id}")
        return found

    async def page(self, **filters: Any) -> list[StoredDifference]:
        """Return differences, newest first; the filters are those of ``find_differences``."""
        return await find_differences(self._database, **filters)

    async def ask(self, difference_id: int) -> Asked | None:
        """Ask the gateway anew, outside any transaction; None when ``adopt`` is going to refuse anyway.

        Raises ``UnknownDifference``, and ``GatewayNoAnswer`` when it does not say it.
        """
        found = await self.find(difference_id)
        difference = found.difference
        if found.over_at is not None or difference.kind not in _ADOPTABLE:
            return None
        if difference.kind is DifferenceKind.UNKNOWN_TO_US:
            attempts, payment_id = [_stranger(difference, new_id(), self._clock)], difference.payment_id or ""
        else:
            async with self._transactions.begin() as store:
                refund = await store.find(difference.subject)
                attempts = list(await store.attempts(difference.subject))
            payment_id = "" if refund is None else refund.payment_id
        try:
            said = [
                (one, await self._look_up(one, payment_id)) for one in attempts if one.gateway_refund_id is not None
            ]
        except (GatewayAway, GatewaySilent, GatewayRefused) as error:
            raise GatewayNoAnswer(f"the gateway does not say what became of it ({error.code})") from error
        paid = {one.gateway_refund_id: (one, receipt) for one, receipt in said if receipt.status in _PAID}
        if len(paid) != 1:
            return None
        ((attempt, receipt),) = paid.values()
        return Asked(found.version, attempt, receipt)

    async def adopt(
        self,
        change: Change,
        difference_id: int,
        *,
        expected_version: int | None,
        order_number: str | None,
        asked: Asked | None,
    ) -> Settling:
        """Take the gateway's side: what it paid counts as spent, once, however often this is asked.

        ``unknown_to_us`` becomes a refund of its own, of the order that its payment belongs to, or the one named. ``paid_after_all``
        brings our refund to SUCCESS. Raises ``CannotBeAdopted`` for what needs people on both sides, ``DifferenceSettled``,
        ``VersionMismatch``, ``Overtaken``.
        """
        store = self._transactions.store_in(change)
        before = await self._locked(store, difference_id, expected_version=expected_version)
        difference = before.difference
        if asked is None or asked.version != before.version or difference.kind not in _ADOPTABLE:
            raise CannotBeAdopted(
                f"the gateway's side of a difference of kind {difference.kind} cannot be taken as it is now"
            )
        if asked.receipt.status is not GatewayStatus.SUCCEEDED:
            # One that fails yet would be tried again, as a refund of ours is.
            raise CannotBeAdopted("the gateway is still paying it: adopt it when it has")
        if difference.kind is DifferenceKind.UNKNOWN_TO_US:
            refund = await self._book(store, change, difference, asked, order_number=order_number)
        else:
            refund = await self._take_over(store, change, difference, asked)
        after = await adopt_difference(
            store.connection,
            difference_id,
            refund_id=refund.id,
            order_number=refund.order_number,
            now=self._clock.now(),
        )
        await tell_captured(store, await store.payments.lock(refund.payment_id), now=self._clock.now())
        await self._end(store, before, summary="A person has taken the gateway's side")
        await self._record(change, "difference.adopt", before, after)
        return Settling(before, after, refund)

    async def acknowledge(self, change: Change, difference_id: int, *, expected_version: int | None) -> Settling:
        """Note that people have settled it: its incident ends, and it is told no more as long as it is the same."""
        store = self._transactions.store_in(change)
        before = await self._locked(store, difference_id, expected_version=expected_version)
        if before.acknowledged_at is not None:
            raise DifferenceSettled(f"difference {difference_id} was acknowledged by {before.acknowledged_by}")
        after = await acknowledge_difference(
            store.connection, difference_id, by=change.principal.name, now=self._clock.now()
        )
        await self._end(store, before, summary="A person has settled it")
        await self._record(change, "difference.acknowledge", before, after)
        return Settling(before, after, None)

    async def _locked(
        self, store: RefundStore, difference_id: int, *, expected_version: int | None
    ) -> StoredDifference:
        found = await lock_difference(store.connection, difference_id)
        if found is None:
            raise UnknownDifference(f"there is no difference {difference_id}")
        if found.over_at is not None:
            raise DifferenceSettled(f"difference {difference_id} is over")
        if expected_version not in {None, found.version}:
            raise VersionMismatch(f"difference {difference_id} is at version {found.version}, not {expected_version}")
        return found

    async def _book(
        self, store: RefundStore, change: Change, difference: Difference, asked: Asked, *, order_number: str | None
    ) -> Refund:
        """Make a refund of what the gateway has and we have not. Its sum is taken from the payment, as far as that has it."""
        payment_id, amount, currency = difference.payment_id, difference.amount, difference.currency
        if payment_id is None or amount is None or currency is None:
            raise CannotBeAdopted("its sum is not stored: reconcile again, then adopt it")
        number = order_number or await store.order_of_payment(payment_id)
        if number is None:
            raise CannotBeAdopted("no refund of ours is of this payment: name its order in order_number")
        now = self._clock.now()
        await store.payments.ensure(payment_id, gateway=difference.gateway)
        payment = await store.payments.lock(payment_id)
        refund = Refund(
            id=asked.attempt.refund_id,
            business_key=f"{difference.gateway}:{difference.subject}",
            order_number=number,
            payment_id=payment_id,
            amount=amount,
            currency=currency,
            reason=change.reason,
            state=RefundState.SUCCESS,
            version=1,
            attempt=1,
            reserved=min(amount, payment.left),
            tries=0,
            declines=0,
            error=None,
            next_attempt_at=None,
            created_at=now,
            state_since=now,
            traceparent=None,
            everything=False,
        )
        if not await store.add(refund, happened="adopted", actor=change.principal.name):
            raise DifferenceSettled(f"refund {difference.subject} of {difference.gateway} is in our books already")
        await store.add_attempt(asked.attempt)
        await announce(store, refund, now=now, actor=change.principal.name, detail=change.reason)
        return refund

    async def _take_over(self, store: RefundStore, change: Change, difference: Difference, asked: Asked) -> Refund:
        """Bring our refund to where the gateway has it, whichever of its attempts has paid."""
        refund = await store.find(difference.subject)
        if refund is None:
            raise CannotBeAdopted(f"there is no refund {difference.subject}")
        if refund.state is RefundState.SUCCESS and refund.settled is not None:
            return refund  # it follows the gateway already; people have seen that the customer may have it twice
        if not isinstance(rule(refund.state, Happened.ADOPTED), Move):
            raise CannotBeAdopted(f"refund {refund.id} is in {refund.state.name}: its end has to be waited for")
        now, payment = self._clock.now(), await store.payments.lock(refund.payment_id)
        number = (await store.attempts(refund.id))[-1].number + 1
        await store.add_attempt(replace(asked.attempt, number=number, began_at=now))
        return await move(
            store,
            refund,
            Happened.ADOPTED,
            now=now,
            actor=change.principal.name,
            detail=f"adopted: {change.reason}",
            attempt=number,
            reserved=min(refund.amount or 0, payment.left + refund.reserved),
        )

    async def _look_up(self, attempt: Attempt, payment_id: str) -> Receipt:
        self._calls.admit(attempt.gateway, retry=False)
        try:
            return await self._calls.look_up(attempt, payment_id=payment_id)
        finally:
            self._calls.take_calls(attempt.refund_id)

    async def _end(self, store: RefundStore, before: StoredDifference, *, summary: str) -> None:
        if before.acknowledged_at is None:
            await resolve_incident(store, before.difference, summary=summary, now=self._clock.now())

    async def _record(self, change: Change, action: str, before: StoredDifference, after: StoredDifference) -> None:
        await change.record(action, f"difference:{before.id}", before=_audited(before), after=_audited(after))


def _stranger(difference: Difference, refund_id: str, clock: Clock) -> Attempt:
    """The attempt that stands for a refund which somebody else made: under a key of its own that nothing was ever sent under."""
    now = clock.now()
    return Attempt(
        refund_id=refund_id,
        number=1,
        gateway=difference.gateway,
        gateway_key=derived_id("refund-adopted", refund_id),
        began_at=now,
        sent_at=now,
        gateway_refund_id=difference.subject,
    )


def _audited(stored: StoredDifference) -> dict[str, object]:
    one = stored.difference
    return {
        "version": stored.version,
        "kind": one.kind,
        "gateway": one.gateway,
        "subject": one.subject,
        "order_number": one.order_number,
        "acknowledged_by": stored.acknowledged_by,
        "over": stored.over_at is not None,
        "adopted_as": stored.adopted_as,
    }
