"""What waits in a service, as it says itself."""

from __future__ import annotations

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
