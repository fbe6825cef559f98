"""What waits in a service, as it says itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from console.client.suite import Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The queues of a service in which something waits, or of which it cannot say; how many are empty; whether these are all."""

    queues: Sequence[Mapping[str, Any]]
    empty: int
    complete: bool

    @property
    def late(self) -> bool:
        """Tell whether something waits for too long."""
        return any(queue["state"] == "late" for queue in self.queues)


async def waiting_in(suite: Suite, service: str) -> Waiting | None:
    """Ask a service; None when it does not answer, or does not know the question yet."""
    from console.client.suite import or_none

    said = await or_none(suite.get(service, "/admin/v1/queues"))
    if said is None:
        return None
    items: Sequence[Mapping[str, Any]] = said["items"]
    queues = [queue for queue in items if queue["state"] != "empty"]
    return Waiting(queues=queues, empty=len(items) - len(queues), complete=said.get("complete", True))


async def spooled_now(suite: Suite) -> Counter[str]:
    """Return how much waits in the spool of each replica of the gateway, as far as it says. Ask before the ledger: what is relayed
    in between is then taken for less of the difference, never for more.
    """
    held = await waiting_in(suite, "webhook-gateway")
    spools = [] if held is None else [queue for queue in held.queues if queue["name"] == "spool"]
    return Counter({queue["replica"]: queue["waiting"] or 0 for queue in spools})


def with_spools(ledger: Mapping[str, Any], spools: Counter[str]) -> Mapping[str, Any]:
    """Return a ledger in which what has come in and waits in a spool has the outcome ``spooled``; it is taken out of ``spools``.

    No more than what differs at the replica itself: what is in no spool and has no outcome still differs.
    """
    waits = {line["replica"]: min(line["difference"], spools[line["replica"]]) for line in ledger.get("by_replica", ())}
    here = Counter({replica: count for replica, count in waits.items() if count > 0})
    spools.subtract(here)
    if not (held := here.total()):
        return ledger
    sums = {"spooled": held, "outcomes": held, "difference": -held}
    return {**ledger, **{name: ledger[name] + more for name, more in sums.items()}}
