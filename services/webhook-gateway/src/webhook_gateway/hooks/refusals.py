"""Counts what comes in, and what is refused, for the ledger: in memory on the way, in the database once a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from common.clock import Clock
from common.contracts.intake import IntakeMessage
from common.ids import new_id
from webhook_gateway.hooks.model import UNKNOWN_SOURCE
from webhook_gateway.hooks.store import Disowned, Received, Refusals, RefusalStore, Run

_SETTLED = timedelta(seconds=60)
"""A second that is this far gone gets no more counts: no request takes as long."""
_SECOND = timedelta(seconds=1)
_RUN_EVERY = timedelta(seconds=10)
_DISOWNED_AT_ONCE = 1_000
_MOST_DISOWNED = 100_000  # with database, broker and spool away for that long, the ledger may count some of them twice


class CountRefusals:
    """Counts are absolute within one run of one replica, so that a flush whose answer was lost can be repeated.

    A request is counted as received before anything is done with it, and by its outcome when it is answered, both under the second in
    which it came in. What was counted and not yet flushed is lost with the process: the ledger knows how far the counts go.
    """

    def __init__(self, store: RefusalStore, *, replica: str, clock: Clock) -> None:
        self._store = store
        self._replica = replica
        self._run = new_id()
        self._clock = clock
        self._began_at = clock.now().replace(microsecond=0)
        self._counted_until: datetime | None = None
        self._counts: dict[tuple[datetime, str, str], int] = {}
        self._dirty: set[tuple[datetime, str, str]] = set()
        self._disowned: list[Disowned] = []
        self._received: dict[tuple[datetime, str], list[int]] = {}
        self._written: dict[tuple[datetime, str], tuple[int, int]] = {}
        self._gone: Counter[str] = Counter()
        self._last_taken: dict[str, datetime] = {}

    def received(self, source: str, at: datetime) -> None:
        """Count a request that has just come in."""
        key = (at.replace(microsecond=0), source)
        counts = self._received.get(key)
        if counts is None:
            counts = self._received[key] = [0, 0]
        counts[0] += 1

    def taken(self, source: str, at: datetime) -> None:
        """Count a request that came in at that moment as answered, and not refused."""
        self._last_taken[source] = at
        counts = self._received.get((at.replace(microsecond=0), source))
        if counts is not None:
            counts[1] += 1

    def count(self, source: str, reason: str, at: datetime | None = None) -> None:
        """Count the refusal of a request that came in at that moment, now unless given."""
        key = ((at or self._clock.now()).replace(microsecond=0), source, reason)
        self._counts[key] = self._counts.get(key, 0) + 1
        self._dirty.add(key)

    def malformed(self) -> None:
        """Count a request that is not well-formed HTTP: whose it was and where it went nobody can say."""
        now = self._clock.now()
        self.received(UNKNOWN_SOURCE, now)
        self.count(UNKNOWN_SOURCE, "malformed", now)

    def totals(self) -> Mapping[str, int]:
        """Return how many requests this process has received, by source."""
        totals = Counter(self._gone)
        for (_, source), (received, _) in list(self._received.items()):
            totals[source] += received
        return totals

    def disown(self, hook: IntakeMessage) -> None:
        """Take note that this delivery is answered 503 although a storage path may have taken it: its one outcome is "refused"."""
        if len(self._disowned) < _MOST_DISOWNED:
            self._disowned.append(Disowned(hook.delivery_id, hook.received_at))

    async def flush(self, *, last: bool = False) -> None:
        """Write what changed. ``last``: nothing comes in any more. When the database is away this raises, and nothing is forgotten."""
        if self._disowned:
            disowned = self._disowned[:_DISOWNED_AT_ONCE]
            await self._store.disown(disowned)
            del self._disowned[: len(disowned)]
        if self._dirty:
            keys = sorted(self._dirty)
            rows = [Refusals(*key, self._counts[key]) for key in keys]
            await self._store.save(self._replica, self._run, rows)
            for key, row in zip(keys, rows, strict=True):
                if self._counts[key] == row.count:
                    self._dirty.discard(key)
        await self._flush_received(last=last)
        self._forget()

    async def _flush_received(self, *, last: bool) -> None:
        """Write the seconds that are over; of the present one nothing, so that it is known how far the counts go."""
        now = self._clock.now().replace(microsecond=0)
        rows = [
            Received(*key, *counts)
            for key, counts in sorted(self._received.items())
            if (last or key[0] < now) and self._written.get(key) != tuple(counts)
        ]
        until = now + _SECOND if last else now
        last_taken, known = self._last_taken, self._counted_until
        if not rows and not last_taken and not last and known is not None and until - known < _RUN_EVERY:
            return
        run = Run(id=self._run, replica=self._replica, began_at=self._began_at, counted_until=until, ended=last)
        self._last_taken = {}
        try:
            await self._store.save_received(run, rows, last_taken)
        except BaseException:
            self._last_taken = last_taken | self._last_taken
            raise
        self._counted_until = until
        for row in rows:
            self._written[row.bucket, row.source] = (row.received, row.taken)

    def _forget(self) -> None:
        horizon = self._clock.now() - _SETTLED
        for key in [key for key in self._counts if key[0] < horizon and key not in self._dirty]:
            del self._counts[key]
        for entry, counts in list(self._received.items()):
            if entry[0] < horizon and self._written.get(entry) == tuple(counts):
                self._gone[entry[1]] += counts[0]
                del self._received[entry], self._written[entry]
