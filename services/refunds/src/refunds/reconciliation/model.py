"""How our books are compared with a gateway's, and what a run of it found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from refunds.differences.model import Difference, DifferenceKind
from refunds.providers.model import GatewayStatus, ListedRefund
from refunds.refunds.model import Refund, Settled, paid_after_close
from refunds.refunds.states import RefundState

Window = tuple[datetime, datetime]
_DAY = timedelta(days=1)
_MOST_WINDOWS = 62  # of a day each, unless it is more than two months


@dataclass(slots=True)
class Reconciliation:
    """What a run found. ``registers``: by gateway, ``compared``, ``older refused``, ``none kept`` or ``no answer``.

    ``unread``: where a register did not answer. ``at``: the time of the verdict that is kept of it; None of a dry run.
    """

    since: datetime
    until: datetime
    dry_run: bool
    new_from: datetime | None = None
    registers: dict[str, str] = field(default_factory=dict)
    examined: int = 0
    advanced: int = 0
    unanswered: int = 0
    differences: list[Difference] = field(default_factory=list)
    unread: list[Window] = field(default_factory=list)
    at: datetime | None = None
    notices: list[str] = field(default_factory=list)
    failed: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    """What is kept apart because comparing it failed by a fault of ours, and how it is compared again."""

    def windows(self) -> Iterator[Window]:
        """The days of it, newest first, counted from ``since``."""
        step, end = max(_DAY, (self.until - self.since) / _MOST_WINDOWS), self.until
        while end > self.since:
            begin = self.since + (end - self.since - timedelta.resolution) // step * step
            yield begin, end
            end = begin

    def seen(self, since: datetime, until: datetime) -> bool:
        """Whether every register answered for that time, be it that it does not show it."""
        return all(until <= begin or end <= since for begin, end in self.unread)


_MOVES = frozenset({GatewayStatus.PENDING, GatewayStatus.SUCCEEDED})
_DONE = frozenset({RefundState.SUCCESS, RefundState.PENDING})
_NOT_PAID = frozenset({RefundState.REVERSED, RefundState.REJECTED, RefundState.CANCELLED, RefundState.CLOSED})


def judge(
    refund: Refund, *, gateway: str, current: GatewayStatus | None, earlier: tuple[GatewayStatus, ...]
) -> Difference | None:
    """Compare a refund, after the gateway's answer about its present attempt was applied, with all that the gateway has of it.

    ``current`` is what the gateway says of the present attempt (None: it was never there), ``earlier`` of the attempts that we hold to
    have failed.
    """

    def difference(kind: DifferenceKind, detail: str) -> Difference:
        return Difference(kind, gateway, refund.id, detail, refund.order_number)

    paid_before = sum(status in _MOVES for status in earlier)
    if paid_before and (current in _MOVES or paid_before > 1):
        return difference(DifferenceKind.PAID_TWICE, "more than one attempt has paid or is paying")
    if paid_before:
        return difference(DifferenceKind.PAID_AFTER_ALL, "an attempt that had failed has paid or is paying")
    if refund.settled is not None and refund.state in _DONE:
        return paid_after_close(refund, gateway=gateway)
    if refund.state in _NOT_PAID and current in _MOVES:
        return difference(DifferenceKind.PAID_AFTER_ALL, f"the gateway has {current}, we have {refund.state.name}")
    if refund.state in _DONE and current in {None, GatewayStatus.MISSING}:
        return difference(DifferenceKind.MISSING_AT_GATEWAY, f"we have {refund.state.name}, the gateway has nothing")
    return None


def agrees(refund: Refund, listed: ListedRefund) -> bool:
    """Return whether the register's line and a refund whose present attempt it is say the same, so that nothing has to be asked."""
    if (listed.amount, listed.currency, listed.payment_id) != (refund.amount, refund.currency, refund.payment_id):
        return False
    if refund.settled is Settled.GIVEN_UP and refund.reserved > 0:
        return False  # what the gateway says of it may release it
    if refund.settled is not None and refund.state is not RefundState.CLOSED:
        return False
    return (refund.state, listed.status) in {
        (RefundState.SUCCESS, GatewayStatus.SUCCEEDED),
        (RefundState.PENDING, GatewayStatus.PENDING),
        (RefundState.REVERSED, GatewayStatus.FAILED),
        (RefundState.ERROR, GatewayStatus.FAILED),
        (RefundState.CLOSED, GatewayStatus.FAILED),
    }


def judge_listed(refund: Refund, listed: ListedRefund, *, gateway: str) -> Difference | None:
    """Compare the sum, currency and payment of a register's line, and whether we know its status, with the refund it belongs to."""
    if (listed.amount, listed.currency, listed.payment_id) == (refund.amount, refund.currency, refund.payment_id):
        if listed.status is not None:
            return None
        detail = f"we have {refund.state.name}, the gateway {listed.in_words}"
        return Difference(DifferenceKind.STATUS_UNKNOWN, gateway, refund.id, detail, refund.order_number)
    ours = f"{refund.amount} {refund.currency} of {refund.payment_id}"
    detail = f"we have {ours}, the gateway {listed.amount} {listed.currency} of {listed.payment_id}"
    return Difference(DifferenceKind.AMOUNT_DIFFERS, gateway, refund.id, detail, refund.order_number)


def judge_stranger(listed: ListedRefund, *, gateway: str) -> Difference | None:
    """A line of the register that belongs to none of our refunds: a difference when money moves, or may have moved."""
    if listed.status is not None and listed.status not in _MOVES:
        return None
    detail = f"{listed.amount} {listed.currency} of payment {listed.payment_id}, {listed.in_words}"
    return Difference(
        DifferenceKind.UNKNOWN_TO_US,
        gateway,
        listed.gateway_refund_id,
        detail,
        payment_id=listed.payment_id,
        amount=listed.amount,
        currency=listed.currency,
    )


def judge_refused(windows: Sequence[Window], *, gateway: str) -> Difference:
    """Time that no run has read and the register does not show (any more): nobody knows what was paid in it without us."""
    since, until = windows[-1][0], windows[0][1]
    detail = f"its register does not show what was made from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} (UTC)"
    return Difference(DifferenceKind.REGISTER_REFUSED, gateway, f"register of {since:%Y-%m-%d}", detail)
