"""Counts what was refused, for the ledger: in memory on the way, in the database once a second."""

from __future__ import annotations

from datetime import datetime, timedelta

from common.clock import Clock
from common.contracts.intake import IntakeMessage
from common.ids import new_id
from webhook_gateway.hooks.store import Disowned, Refusals, RefusalStore

_SETTLED = timedelta(seconds=2)
"""A second that is this far gone gets no more counts."""
_DISOWNED_AT_ONCE = 1_000
_MOST_DISOWNED = 100_000  # with database, broker and spool away for that long, the ledger may count some of them twice


class CountRefusals:
    """Counts are absolute within one run of one replica, so that a flush whose answer was lost can be repeated.

    What was counted and not yet flushed is lost with the process: the ledger covers what was flushed.
    """

    def __init__(self, store: RefusalStore, *, replica: str, clock: Clock) -> None:
        self._store = store
        self._replica = replica
        self._run = new_id()
        self._clock = clock
        self._counts: dict[tuple[datetime, str, str], int] = {}
        self._dirty: set[tuple[datetime, str, str]] = set()
        self._disowned: list[Disowned] = []

    def count(self, source: str, reason: str) -> None:
        """Count one refusal now."""
        key = (self._clock.now().replace(microsecond=0), source, reason)
        self._counts[key] = self._counts.get(key, 0) + 1
        self._dirty.add(key)

    def disown(self, hook: IntakeMessage) -> None:
        """Take note that this delivery is answered 503 although a storage path may have taken it: its one outcome is "refused"."""
        if len(self._disowned) < _MOST_DISOWNED:
            self._disowned.append(Disowned(hook.delivery_id, hook.received_at))

    async def flush(self) -> None:
        """Write what changed. When the database is away this raises, and nothing is forgotten."""
        if self._disowned:
            disowned = self._disowned[:_DISOWNED_AT_ONCE]
            await self._store.disown(disowned)
            del self._disowned[: len(disowned)]
        if not self._dirty:
            return
        keys = sorted(self._dirty)
        rows = [Refusals(*key, self._counts[key]) for key in keys]
        await self._store.save(self._replica, self._run, rows)
        for key, row in zip(keys, rows, strict=True):
            if self._counts[key] == row.count:
                self._dirty.discard(key)
        horizon = self._clock.now() - _SETTLED
        for key in [key for key in self._counts if key[0] < horizon and key not in self._dirty]:
            del self._counts[key]
