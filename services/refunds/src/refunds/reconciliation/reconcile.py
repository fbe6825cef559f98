"""Reconciliation both ways, daily and on demand: the gateways' registers against our books, and our books against the gateways."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from common.clock import Clock
from refunds.providers.calls import GatewayCalls
from refunds.providers.model import ListedRefund
from refunds.providers.provider import GatewayAway, GatewayRefused, GatewaySilent, Transactions
from refunds.reconciliation.compare import ReconcileRefund, report, settle
from refunds.reconciliation.model import Difference, agrees, judge_listed, judge_stranger

_AT_ONCE = 8
_PAGE = 200


class Books(Protocol):
    """Our side, page by page."""

    async def sent_since(self, since: datetime, until: datetime, *, after: str | None, limit: int) -> Sequence[str]:
        """Return ids, ascending after the given one, of refunds that changed in [since, until) and may be known to a gateway."""
        ...


@dataclass(slots=True)
class Reconciliation:
    """What a run found. ``registers``: by gateway, ``compared``, ``none kept`` or ``no answer``; then only our side was walked."""

    since: datetime
    until: datetime
    registers: dict[str, str] = field(default_factory=dict)
    examined: int = 0
    advanced: int = 0
    unanswered: int = 0
    differences: list[Difference] = field(default_factory=list)


class Reconcile:
    """Walks both sides. Moves no money; states follow the gateway through the one reducer; what still differs is an incident."""

    def __init__(
        self,
        transactions: Transactions,
        calls: GatewayCalls,
        books: Books,
        one: ReconcileRefund,
        clock: Clock,
    ) -> None:
        self._transactions = transactions
        self._calls = calls
        self._books = books
        self._one = one
        self._clock = clock

    async def __call__(self, *, since: datetime, until: datetime, dry_run: bool = False) -> Reconciliation:
        """Compare what was made or changed in [since, until). ``dry_run`` writes and raises nothing.

        A gateway that does not answer is counted, not raised: the next run comes to it. Raises ``Unavailable`` without the database.
        """
        found = Reconciliation(since, until)
        agreed: set[str] = set()
        for gateway in self._calls.guards:
            found.registers[gateway] = await self._register(gateway, found, agreed, dry_run=dry_run)
        after: str | None = None
        while True:
            page = await self._books.sent_since(since, until, after=after, limit=_PAGE)
            await self._walk([refund_id for refund_id in page if refund_id not in agreed], found, dry_run=dry_run)
            if len(page) < _PAGE:
                return found
            after = page[-1]

    async def _register(self, gateway: str, found: Reconciliation, agreed: set[str], *, dry_run: bool) -> str:
        cursor: str | None = None
        while True:
            try:
                self._calls.admit(gateway, retry=False)
                page = await self._calls.register(gateway, since=found.since, until=found.until, cursor=cursor)
            except GatewayRefused:
                return "none kept"
            except (GatewayAway, GatewaySilent):
                return "no answer"
            for listed in page.items:
                await self._compare(gateway, listed, found, agreed, dry_run=dry_run)
            if page.cursor is None:
                return "compared"
            cursor = page.cursor

    async def _compare(
        self, gateway: str, listed: ListedRefund, found: Reconciliation, agreed: set[str], *, dry_run: bool
    ) -> None:
        now = self._clock.now()
        async with self._transactions.begin() as store:
            ours = await store.by_gateway_refund_id(gateway, listed.gateway_refund_id)
            if ours is None and listed.key is not None and await store.knows_key(gateway, listed.key):
                return  # sent, and its answer not read yet: whoever sent it carries it on
            if ours is None:
                difference, subject = judge_stranger(listed, gateway=gateway), listed.gateway_refund_id
            else:
                refund, attempt = ours
                difference, subject = judge_listed(refund, listed, gateway=gateway), listed.gateway_refund_id
                if attempt.number == refund.attempt == 1 and agrees(refund, listed):
                    agreed.add(refund.id)  # its only attempt: there is nothing else at the gateway to ask about
                    found.examined += 1
                    if not dry_run:
                        await settle(store, refund.id, now=now)
            if dry_run:
                pass
            elif difference is None:
                await settle(store, subject, now=now)
            else:
                await report(store, difference, now=now)
        if difference is not None:
            found.differences.append(difference)

    async def _walk(self, refund_ids: Sequence[str], found: Reconciliation, *, dry_run: bool) -> None:
        async def one(refund_id: str) -> None:
            try:
                moved, difference = await self._one(refund_id, dry_run=dry_run)
            except (GatewayAway, GatewaySilent):
                found.unanswered += 1
                return
            found.examined += 1
            found.advanced += moved
            if difference is not None:
                found.differences.append(difference)

        for start in range(0, len(refund_ids), _AT_ONCE):
            await asyncio.gather(*(one(refund_id) for refund_id in refund_ids[start : start + _AT_ONCE]))
