"""How an event can be stored, and what is said when it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from common.errors import Unavailable

StoragePath = Literal["broker", "spool"]
"""``broker``: confirmed by a quorum queue. ``spool``: synced to this replica's disk, relayed from there."""

EXCHANGE = "intake"
"""Its queues (the recorder's and the orchestrator's) are declared before the publisher is ready."""


class SpoolUnavailable(Unavailable):
    """The spool cannot take the event: full, disk full, or the disk does not answer."""

    code = "spool_unavailable"


class NoStoragePath(Unavailable):
    """Neither the broker nor the spool can take the event."""

    code = "no_lane"


@dataclass(frozen=True, slots=True)
class SpoolRecord:
    """A record as it was stored. Ids grow in the order of storing."""

    id: int
    routing_key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class SpoolState:
    """What the spool's file holds. ``oldest_at`` is Unix time in seconds, None when it is empty."""

    records: int
    size: int
    oldest_at: float | None
