"""Holds everything that is known of a period together: acknowledged = in the ledger = at the orchestrator, none twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from common.checks import Finding
from common.contracts import intake
from webhook_gateway.hooks.model import LEDGER, ORDER_CREATED, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A delivery, as the ledger, a spool or a dead letter has it. ``where`` is ``ledger``, ``dead_letter`` or the spool's directory."""

    delivery_id: str
    type: str
    event: str
    event_id: str
    number: str | None
    digest: str | None
    replica: str
    outcome: str | None = None
    where: str = "ledger"

    @property
    def known_as(self) -> str:
        """What the orchestrator knows it by: a repeated ``created`` with another content is an event of its own there."""
        return f"{self.event_id}:{self.digest}" if self.event == ORDER_CREATED and self.digest else self.event_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A hook in the history of an order at the orchestrator."""

    number: str
    event: str
    event_id: str
    delivery_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the orchestrator's database says: hooks, orders as (number, source, external id), ids of deliveries that it gave up on."""

    carried: Sequence[Carried]
    orders: Sequence[tuple[str, str, str]]
    dead: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything known of a period.

    ``received`` are counts by replica, made where requests come in, None when they are not known; ``died`` are replicas that were killed
    and have been started again since. ``refused`` and ``archived`` are counts by (replica, outcome); ``endangered`` are ids;
    ``unarrived`` are numbers of acknowledged orders that the orchestrator has not announced; ``damaged`` are spool directories with
    records or files that were set aside, and how many. ``acknowledged`` is what callers were answered positively, as (number, event).
    """

    kept: Sequence[Kept]
    received: Sequence[tuple[str, int]] | None = None
    died: frozenset[str] = frozenset()
    refused: Sequence[tuple[str, int]] = ()
    archived: Sequence[tuple[str, str, int]] = ()
    endangered: frozenset[str] = frozenset()
    unarrived: Sequence[str] = ()
    damaged: Sequence[tuple[str, int]] = ()
    orders: Orders | None = None
    acknowledged: Sequence[tuple[str, str]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The ledger: counts by outcome for each replica, and what each has received, which should be their sum."""

    by_replica: dict[str, dict[str, int]] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> dict[str, int]:
        """Counts by outcome over all replicas, ``received`` first."""
        sums: Counter[str] = Counter()
        for counts in self.by_replica.values():
            sums.update(counts)
        return {"received": sum(self.received.values()), **{outcome.value: sums[outcome.value] for outcome in LEDGER}}


def balance(evidence: Evidence) -> Balance:
    """Add up the period."""
    sums: dict[str, Counter[str]] = {}
    ledger = {outcome.value for outcome in LEDGER}
    for one in evidence.kept:
        if one.where == "ledger" and one.outcome in ledger and one.outcome != Outcome.REFUSED:
            sums.setdefault(one.replica, Counter())[one.outcome] += 1
    for replica, count in evidence.refused:
        sums.setdefault(replica, Counter())[Outcome.REFUSED.value] += count
    for replica, outcome, count in evidence.archived:
        sums.setdefault(replica, Counter())[outcome] += count
    received: Counter[str] = Counter()
    if evidence.received is None:
        received.update({replica: sum(counts.values()) for replica, counts in sums.items()})
    else:
        for replica, count in evidence.received:
            received[replica] += count
    return Balance(
        by_replica={
            replica: {outcome.value: counts[outcome.value] for outcome in LEDGER}
            for replica, counts in sorted(sums.items())
        },
        received=dict(received),
    )


def in_spools(differs: int, held: int) -> int:
    """Return how much of what has come in and has no outcome yet waits in a spool that holds so much: safe on a disk, and no loss.

    Never more than what differs: of what a dead replica left behind nobody may have counted the receipt.
    """
    return max(0, min(differs, held))


def unanswered(evidence: Evidence) -> dict[str, int]:
    """Return by replica how many more came in than have an outcome or lie in a spool or among the dead letters; below 0 fewer."""
    if evidence.received is None:
        return {}
    sums = balance(evidence)
    known = {one.delivery_id for one in evidence.kept if one.where == "ledger"}
    elsewhere = Counter(one.replica for one in evidence.kept if one.where != "ledger" and one.delivery_id not in known)
    differ = {
        replica: sums.received.get(replica, 0) - sum(sums.by_replica.get(replica, {}).values())
        for replica in {*sums.received, *sums.by_replica}
    }
    missing = {replica: count - in_spools(count, elsewhere[replica]) for replica, count in differ.items()}
    return {replica: count for replica, count in sorted(missing.items()) if count}


def check(evidence: Evidence) -> list[Finding]:
    """Return every difference; an empty list is the proof. One that waits is safe on a disk and on its way."""
    recorded = [one for one in evidence.kept if one.where == "ledger"]
    known = {one.delivery_id for one in recorded}
    found = list(_repeated("twice_in_the_ledger", (one.delivery_id for one in recorded)))
    for one in evidence.kept:
        if one.where != "ledger" and one.delivery_id not in known:
            kind = "dead_letter_of_the_recorder" if one.where == "dead_letter" else "only_in_the_spool"
            found.append(Finding(kind, f"{_say(one)} in {one.where}", waiting=kind == "only_in_the_spool"))
    for replica, count in unanswered(evidence).items():
        if count < 0:
            found.append(Finding("outcome_without_receipt", f"{-count} at {replica}"))
        elif replica not in evidence.died:  # of one that died, whoever got no answer repeats
            found.append(Finding("received_without_outcome", f"{count} at {replica}"))
    found += [Finding("damaged_in_the_spool", f"{count} in {where}") for where, count in evidence.damaged]
    found += _endangered(recorded, evidence.endangered)
    if evidence.orders is None:
        found += [Finding("not_at_orchestrator", number, waiting=True) for number in evidence.unarrived]
    else:
        found += _at_the_orchestrator(evidence, evidence.orders)
    if evidence.acknowledged is not None:
        found += _acknowledged(evidence, evidence.acknowledged)
    return found


def _endangered(recorded: Sequence[Kept], endangered: frozenset[str]) -> Iterator[Finding]:
    refused = {one.delivery_id for one in recorded if one.type == intake.WEBSITE_ORDER_REFUSED}
    for missing in sorted(refused - endangered):
        yield Finding("refused_and_not_endangered", missing)
    for unknown in sorted(endangered - refused):
        yield Finding("endangered_and_not_in_the_ledger", unknown)


def _at_the_orchestrator(evidence: Evidence, orders: Orders) -> Iterator[Finding]:
    carried = {one.event_id for one in orders.carried}
    on_disk = {one.known_as for one in evidence.kept if one.where != "ledger"}
    missing = {}
    for one in evidence.kept:
        # One that was answered 503 may have come through all the same; nobody counts on it.
        wanted = one.where == "ledger" and one.type == intake.HOOK_RECEIVED and one.outcome != Outcome.REFUSED
        if wanted and one.known_as not in carried:
            missing[one.known_as] = one
    for name, one in missing.items():
        if one.delivery_id in orders.dead:
            yield Finding("dead_letter_of_the_orchestrator", _say(one))
        else:
            yield Finding("not_at_the_orchestrator", _say(one), waiting=name in on_disk)
    ids = {one.delivery_id for one in evidence.kept}
    for hook in orders.carried:
        if hook.delivery_id not in ids:
            yield Finding("not_in_the_ledger", f"{hook.event} of {hook.number}, delivery {hook.delivery_id}")
    yield from _repeated(
        "twice_at_the_orchestrator",
        (f"{hook.event} of {hook.number}, event {hook.event_id}" for hook in orders.carried),
    )
    yield from _repeated("two_orders_of_one", (f"{source} {external_id}" for _, source, external_id in orders.orders))
    numbers = {number for number, _, _ in orders.orders}
    created = {hook.number for hook in orders.carried if hook.event == ORDER_CREATED}
    for number in sorted(created - numbers):
        yield Finding("created_and_no_order", number, waiting=True)


def _acknowledged(evidence: Evidence, acknowledged: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """Each acknowledged request is a delivery of its own, so there are at least as many of these."""
    kept = Counter({(one.number, one.event): 0 for one in evidence.kept})
    for delivery in {one.delivery_id: one for one in evidence.kept}.values():
        kept[delivery.number, delivery.event] += 1
    for (number, event), count in sorted(Counter(acknowledged).items()):
        if kept[number, event] < count:
            yield Finding(
                "acknowledged_and_lost",
                f"{event} of {number}: answered {count} times, kept {kept[number, event]} times",
            )


def _repeated(kind: str, names: Iterable[str]) -> Iterator[Finding]:
    for name, count in sorted(Counter(names).items()):
        if count > 1:
            yield Finding(kind, f"{name}: {count} times")


def _say(one: Kept) -> str:
    return f"{one.event} of {one.number or 'no order'}, delivery {one.delivery_id}"
