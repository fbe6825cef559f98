"""Do the books and the gateway's own log prove that no money moved twice and no refund was lost? For ``check-refunds``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from common.checks import Finding
from refunds.refunds.states import TABLE, TERMINAL, Move, RefundState


@dataclass(frozen=True, slots=True)
class Entry:
    """A refund in our books.

    ``keys`` and ``names`` (ids at the gateway) are those of all its attempts; ``changes`` (before, after) stand oldest first.
    """

    refund_id: str
    business_key: str
    payment_id: str
    state: RefundState
    amount: int | None
    reserved: int
    keys: tuple[str, ...]
    changes: tuple[tuple[RefundState | None, RefundState], ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Payout:
    """A refund in the gateway's log. ``paid``: how often money went out for it; ``name``: its id there; ``alive``: it is
    paid or under way.
    """

    key: str
    payment_id: str
    amount: int
    paid: int
    alive: bool
    name: str = ""


_MOVES = frozenset(
    (before, ruling.to) for before, row in TABLE.items() for ruling in row.values() if isinstance(ruling, Move)
)
_PAID = frozenset({RefundState.SUCCESS, RefundState.REVERSED})
_HELD = frozenset({RefundState.SENDING, RefundState.PENDING, RefundState.UNKNOWN, RefundState.SUCCESS})


def check(
    entries: Sequence[Entry], payouts: Sequence[Payout], *, captured: dict[str, int], accepted: Sequence[str]
) -> list[Finding]:
    """Return everything that is wrong; empty means that each accepted refund is over, paid at most once, and the sums agree.

    ``captured``: minor units by payment, as the gateway says. ``accepted``: ids of refunds that callers got as accepted.
    """
    found: list[Finding] = []
    owner = {key: entry for entry in entries for key in entry.keys}
    named = {name: entry for entry in entries for name in entry.names}
    by_refund: defaultdict[str, list[Payout]] = defaultdict(list)
    for payout in payouts:
        entry = owner.get(payout.key) or named.get(payout.name)  # one that was adopted went under another's key
        if entry is None:
            found.append(
                Finding("unknown_to_us", f"the gateway has {payout.amount} under key {payout.key}, which is not ours")
            )
        else:
            by_refund[entry.refund_id].append(payout)
    for entry in entries:
        found += _check_one(entry, by_refund[entry.refund_id])
    there = {entry.refund_id for entry in entries}
    found += [Finding("lost", f"refund {one} was accepted and is not there") for one in accepted if one not in there]
    found += [Finding("twice", what) for what in _doubled(entry.business_key for entry in entries)]
    found += _check_sums(entries, payouts, captured)
    return found


def _check_one(entry: Entry, payouts: Sequence[Payout]) -> list[Finding]:
    name, found = f"refund {entry.refund_id}", []
    paid, alive = sum(one.paid for one in payouts), [one for one in payouts if one.alive]
    if paid > 1:
        found.append(Finding("paid_twice", f"{name}: money went out {paid} times"))
    if len(alive) > 1:
        found.append(Finding("under_way_twice", f"{name}: {len(alive)} refunds of it are alive at the gateway"))
    if entry.state not in TERMINAL:
        found.append(
            Finding("not_over", f"{name} is in {entry.state.name}", waiting=entry.state is not RefundState.ERROR)
        )
    elif entry.state in _PAID and paid == 0:
        found.append(Finding("not_paid", f"{name} is in {entry.state.name}, the gateway has not paid it"))
    elif entry.state not in _PAID and alive:
        found.append(Finding("paid_unnoticed", f"{name} is in {entry.state.name}, the gateway has it"))
    if any(one.amount != entry.amount for one in alive):
        found.append(Finding("amount_differs", f"{name} is of {entry.amount}, the gateway has {alive[0].amount}"))
    steps = [after for _, after in entry.changes]
    whole = [before for before, _ in entry.changes] == [None, *steps[:-1]] and steps[-1:] == [entry.state]
    if not whole or any((b, a) not in _MOVES for b, a in entry.changes if b is not None):
        found.append(Finding("history_broken", f"{name}: {' → '.join(step.name for step in steps)}"))
    return found


def _check_sums(entries: Sequence[Entry], payouts: Sequence[Payout], captured: dict[str, int]) -> list[Finding]:
    ours: Counter[str] = Counter()
    for entry in entries:
        ours[entry.payment_id] += max(entry.reserved, entry.amount or 0 if entry.state in _HELD else 0)
    theirs: Counter[str] = Counter()
    for payout in payouts:
        theirs[payout.payment_id] += payout.amount if payout.alive else 0
    return [
        Finding("over_captured", f"payment {payment}: {spent} of {captured[payment]} captured, by {whose}")
        for whose, sums in (("our books", ours), ("the gateway's log", theirs))
        for payment, spent in sums.items()
        if payment in captured and spent > captured[payment]
    ]


def _doubled(names: Iterable[str]) -> list[str]:
    counted = Counter(names)
    return [f"business key {name} stands for {times} refunds" for name, times in counted.items() if times > 1]
