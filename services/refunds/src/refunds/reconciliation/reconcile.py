"""Reconciliation both ways, daily and on demand: the gateways' registers against our books, and our books against the gateways."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial

from common.clock import Clock
from common.service import apart, kept_apart
from refunds.providers.calls import GatewayCalls
from refunds.providers.gateway import NOT_OFFERED, GatewayAway, GatewayRefused, GatewaySilent
from refunds.providers.model import ListedRefund
from refunds.reconciliation.compare import CompareRefund
from refunds.reconciliation.model import Reconciliation, Window, agrees, judge_listed, judge_refused, judge_stranger
from refunds.reconciliation.store import ReconciliationStore
from refunds.refunds.differences import raise_difference, update_incident
from refunds.refunds.states import RefundState
from refunds.refunds.store import RefundTransactions

_AT_ONCE = 8
_AT_REST = frozenset({RefundState.ERROR, RefundState.CLOSED})
_PAGE = 200
_MOST_SILENT = 5  # days of a register: more would open the circuit to refunds themselves


class Reconcile:
    """Walks both sides. Moves no money; states follow the gateway as in any other answer of it; what still differs is an incident."""

    def __init__(
        self,
        transactions: RefundTransactions,
        calls: GatewayCalls,
        books: ReconciliationStore,
        compare: CompareRefund,
        clock: Clock,
    ) -> None:
        self._transactions = transactions
        self._calls = calls
        self._books = books
        self._compare_refund = compare
        self._clock = clock

    async def __call__(
        self, *, since: datetime, until: datetime, dry_run: bool = False, new_from: datetime | None = None
    ) -> Reconciliation:
        """Compare what was made or changed in [since, until). ``dry_run`` writes and raises nothing.

        A gateway that does not answer is counted, not raised: the next run comes to it. What its register refuses of the time from
        ``new_from`` on, which no run has read, is a difference. Raises ``Unavailable`` without the database.
        """
        found = Reconciliation(since, until, dry_run, new_from)
        agreed: set[str] = set()
        for gateway in self._calls.guards:
            found.registers[gateway] = await self._walk_register(gateway, found, agreed)
        after: str | None = None
        while True:
            page = await self._books.sent_since(since, until, after=after, limit=_PAGE)
            await self._walk_books([refund_id for refund_id in page if refund_id not in agreed], found)
            if len(page) < _PAGE:
                break
            after = page[-1]
        if not dry_run:
            found.at = self._clock.now()
            await self._books.keep_verdict(found, at=found.at)
        return found

    async def again(self, found: Reconciliation) -> None:
        """Compare what is kept apart, each when its pause is over; the last of it makes a new verdict."""
        for name, compare in list(found.failed.items()):
            if name not in kept_apart():
                await _apart(name, compare, found)
        if not found.failed:
            found.at = self._clock.now()
            await self._books.keep_verdict(found, at=found.at)

    async def _walk_register(self, gateway: str, found: Reconciliation, agreed: set[str]) -> str:
        """Read it day by day, newest first, so that no day keeps another from being read."""
        refused, unread, seen = list[Window](), list[Window](), False
        for window in found.windows():
            try:
                await self._walk_window(gateway, window, found, agreed)
                seen = True
            except GatewayRefused as error:
                if error.reason == NOT_OFFERED and window[1] == found.until:
                    return "none kept"
                refused.append(window)
            except (GatewayAway, GatewaySilent) as error:
                unread.append(window)
                if isinstance(error, GatewayAway) or len(unread) == _MOST_SILENT:
                    unread.append((found.since, window[0]))
                    break
        if not seen:  # then age is not why it refuses
            refused, unread = [], [(found.since, found.until)]
        found.unread += unread
        if lost := [window for window in refused if found.new_from is not None and window[1] > found.new_from]:
            found.differences.append(difference := judge_refused(lost, gateway=gateway))
            async with self._transactions.begin() as store:
                await raise_difference(store, difference, now=self._clock.now())
        return "no answer" if unread else "older refused" if refused else "compared"

    async def _walk_window(self, gateway: str, window: Window, found: Reconciliation, agreed: set[str]) -> None:
        cursor: str | None = None
        while True:
            self._calls.admit(gateway, retry=False)
            page = await self._calls.register(gateway, since=window[0], until=window[1], cursor=cursor)
            for listed in page.items:
                compare = partial(self._compare_listed, gateway, listed, found, agreed)
                await _apart(f"{gateway} refund {listed.gateway_refund_id}", compare, found)
            if page.cursor is None:
                return
            if page.cursor == cursor:  # it would be read for ever
                raise GatewaySilent(f"{gateway} gives the same page again")
            cursor = page.cursor

    async def _compare_listed(
        self, gateway: str, listed: ListedRefund, found: Reconciliation, agreed: set[str]
    ) -> None:
        now, transactions = self._clock.now(), self._transactions
        opened = transactions.rehearse if found.dry_run else transactions.begin
        async with opened(tells=found.notices.extend) as store:
            ours = await store.by_gateway_refund_id(gateway, listed.gateway_refund_id)
            sent = None
            if ours is None and listed.key is not None:
                sent = await store.by_gateway_key(gateway, listed.key)
            if sent is not None:
                difference = None
            elif ours is None:
                difference = judge_stranger(listed, gateway=gateway)
            else:
                refund, attempt = ours
                difference = judge_listed(refund, listed, gateway=gateway)
                if attempt.number == refund.attempt == 1 and agrees(refund, listed):
                    agreed.add(refund.id)  # its only attempt: there is nothing else at the gateway to ask about
                    found.examined += 1
                    await update_incident(store, None, subject=refund.id, now=now)
            if sent is None:
                await update_incident(store, difference, subject=listed.gateway_refund_id, now=now)
        if sent is not None and sent.state in _AT_REST:
            await self._compare(
                sent.id, found
            )  # its answer was never read; of any other, whoever sent it carries it on
        if difference is not None:
            found.differences.append(difference)

    async def _walk_books(self, refund_ids: Sequence[str], found: Reconciliation) -> None:
        for start in range(0, len(refund_ids), _AT_ONCE):
            some = refund_ids[start : start + _AT_ONCE]
            await asyncio.gather(*(_apart(f"refund {one}", partial(self._compare, one, found), found) for one in some))

    async def _compare(self, refund_id: str, found: Reconciliation) -> None:
        try:
            moved, difference = await self._compare_refund(refund_id, dry_run=found.dry_run, tells=found.notices.extend)
        except (GatewayAway, GatewaySilent):
            found.unanswered += 1
            return
        found.examined += 1
        found.advanced += moved
        if difference is not None:
            found.differences.append(difference)


async def _apart(name: str, compare: Callable[[], Awaitable[None]], found: Reconciliation) -> None:
    """Compare one; in a task what fails by a fault stops no other, and can be compared ``again``."""
    found.failed[name] = compare
    with apart(name):
        await compare()
        del found.failed[name]
