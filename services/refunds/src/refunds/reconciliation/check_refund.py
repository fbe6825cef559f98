"""An operator has the gateway asked about a refund now, instead of when the service would ask it by itself."""

from __future__ import annotations

from dataclasses import dataclass

from common.clock import Clock
from common.contracts.notices import problem_over_notice, refund_notice
from common.http import Change
from refunds.differences.model import Difference
from refunds.providers.gateway import GatewayAway, GatewaySilent
from refunds.providers.model import GatewayStatus
from refunds.reconciliation.compare import CompareRefund, Looked
from refunds.refunds.captured import RereadCaptured
from refunds.refunds.errors import GatewayNoAnswer, Overtaken, UnknownRefund, VersionMismatch
from refunds.refunds.model import Refund
from refunds.refunds.states import OPEN
from refunds.refunds.store import RefundTransactions
from refunds.refunds.views import view


@dataclass(frozen=True, slots=True)
class Checked:
    """The refund before and after; what the gateway has of its present attempt (None: it has not been there); what differs."""

    before: Refund
    after: Refund
    gateway: GatewayStatus | None
    difference: Difference | None


class CheckRefund:
    """``ask`` talks to the gateway, outside any transaction; ``carry_out`` applies what it said. Moves no money by itself.

    A refund that is under way is made due besides, so that its worker goes on at once.
    """

    def __init__(
        self, transactions: RefundTransactions, compare: CompareRefund, reread: RereadCaptured, clock: Clock
    ) -> None:
        self._transactions = transactions
        self._compare = compare
        self._reread = reread
        self._clock = clock

    async def ask(self, refund_id: str, *, dry_run: bool) -> Looked:
        """Find out what the gateway has. What was captured is asked again before, and stored, unless this is a dry run.

        Raises ``UnknownRefund``, ``GatewayNoAnswer``.
        """
        async with self._transactions.begin() as store:
            refund = await store.find(refund_id)
        if refund is not None and not dry_run:
            await self._reread(refund.payment_id)  # the refund may take more of its sum by that
        try:
            looked = await self._compare.look(refund_id)
        except (GatewayAway, GatewaySilent) as error:
            raise GatewayNoAnswer(
                f"the gateway does not say what became of refund {refund_id} ({error.code})"
            ) from error
        if looked is None:
            raise UnknownRefund(f"there is no refund {refund_id}")
        return looked

    async def carry_out(self, change: Change, looked: Looked, *, expected_version: int | None) -> Checked:
        """Apply it, with its audit record. Raises ``VersionMismatch``, ``Overtaken``."""
        store, before = self._transactions.store_in(change), looked.refund
        if expected_version not in {None, before.version}:
            raise VersionMismatch(f"refund {before.id} is at version {before.version}, not {expected_version}")
        now = await store.find(before.id)
        if now is None or (now.version, now.reserved) != (before.version, before.reserved):
            raise Overtaken(f"refund {before.id} has changed since the gateway was asked")
        after, difference = await self._compare.apply(store, looked)
        if after.state in OPEN:
            await store.make_due(after, now=self._clock.now())
            change.tells(problem_over_notice(after.order_number), refund_notice(after.order_number))
        after = await store.find(before.id) or after
        await change.record("refund.check", f"refund:{before.id}", before=view(before), after=view(after))
        number = looked.last.number
        said = next((receipt.status for attempt, receipt in looked.receipts if attempt.number == number), None)
        return Checked(before, after, said, difference)
