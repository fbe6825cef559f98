"""How often one phone, address and network may order, counted in the gateway's database by all replicas together.

The algorithm is pyrate-limiter's GCRA, the store is ours: that library's PostgreSQL bucket speaks psycopg, blocks, wants a table for
each key, and refuses whenever two requests meet (``LOCK TABLE … NOWAIT``).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from pyrate_limiter import GCRA, Rate

from common.postgres import Database
from common.resilience import CircuitBreaker
from common.telemetry import get_logger
from webhook_gateway.website.bans import Bans
from webhook_gateway.website.callers import Caller
from webhook_gateway.website.contents import claim, name_key
from webhook_gateway.website.model import Admission

_log = get_logger()

# One statement locks the rows in one order everywhere, so that two orders with the same phone and address wait and never deadlock.
_LOCK = """
INSERT INTO order_limits AS kept (key, state, fresh_until)
SELECT key, 0, now() + interval '1 minute' FROM unnest($1::bytea[]) AS wanted (key) ORDER BY key
ON CONFLICT (key) DO UPDATE SET key = excluded.key
RETURNING key, state, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
"""
_SAVE = """
UPDATE order_limits AS kept SET state = new.state, fresh_until = to_timestamp(new.until)
FROM unnest($1::bytea[], $2::bigint[], $3::float8[]) AS new (key, state, until) WHERE kept.key = new.key
"""
_FORGET = """
DELETE FROM order_limits WHERE key IN (
    SELECT key FROM order_limits WHERE fresh_until < now() LIMIT 10000 FOR UPDATE SKIP LOCKED
)
"""
_FREE_REPEATS = 8  # the first try and seven repeats; whoever sends more of the same is counted
_PASS_HOURS = 24
_MOST_DENIED = 10_000
_FAILURES = 3
_ALGORITHM = GCRA()


@dataclass(frozen=True, slots=True)
class NamedOrder:
    """An order by the name that its website gave it. ``content`` tells it from another order under that name.

    ``key``: what the ``Idempotency-Key`` beside that name stands for, and the content under it.
    """

    source: str
    name: str
    content: bytes
    key: tuple[str, bytes] | None = None

    @property
    def contents(self) -> dict[bytes, bytes]:
        """What has to be this order's, by ``name_key``."""
        names = [(self.name, self.content), *([] if self.key is None else [self.key])]
        return {name_key(self.source, name): content for name, content in names}


class _ReusedError(Exception):
    """Another order has this name: nothing is to be counted."""

    def __init__(self, by_key_alone: bool) -> None:
        super().__init__()
        self.by_key_alone = by_key_alone


class OrderLimits:
    """How often one phone, address and network may order; all replicas count together. Safe for concurrent use within one event loop.

    ``limits`` are orders a window by kind (``phone``, ``address``, ``ip``); a kind that is missing is not limited. ``secret`` keys the
    digests that stand in the table; replicas share it. ``deadline`` and ``pause`` are seconds: how long an order waits for the
    database, and how long the database is left alone after it did not answer.
    """

    def __init__(
        self,
        database: Database,
        bans: Bans,
        *,
        limits: Mapping[str, int],
        window: float,
        secret: bytes,
        deadline: float,
        pause: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._database = database
        self._bans = bans
        self._rates = {kind: Rate(limit, int(window * 1000)) for kind, limit in limits.items() if limit > 0}
        self._secret = hashlib.sha256(secret).digest()
        self._deadline = deadline
        self._breaker = CircuitBreaker(failures=_FAILURES, pause=pause)
        self._monotonic = monotonic
        self._denied: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        bans.lifted = self._lift
        self._running: set[asyncio.Task[Admission]] = set()

    async def admit(self, caller: Caller, *, order: NamedOrder | None, source: str) -> Admission:
        """Count an order, or say that there are too many, or that another order has its name. A refusal counts nothing.

        Repeats of an order that has a name pass without being counted. Never raises, and answers within the deadline: while the database
        is away orders pass (``failed_open``). A name that was used twice meanwhile is found by whoever records the orders.
        """
        values = {
            self.key(kind, value): (kind, value) for kind in self._rates if (value := getattr(caller, kind)) is not None
        }
        keys = {key: kind for key, (kind, _) in values.items()}
        if not keys and order is None:
            return Admission(outcome="passed")
        admission = await self._admit(keys, order)
        if admission.outcome == "limited":
            at = self._monotonic()
            for key, (kind, value) in values.items():
                if kind in admission.by and key in self._denied:
                    self._bans.refused(key, kind, value, source=source, seconds=self._denied[key][1] - at)
        return admission

    async def _admit(self, keys: Mapping[bytes, str], order: NamedOrder | None) -> Admission:
        known = self._known_denial(keys)
        if known is not None and order is None:
            return known
        if not self._breaker.may_call(self._monotonic()):
            return known or Admission(outcome="failed_open")
        # Not awaited beyond the deadline, not even for its cancellation: a database that hangs holds up the connection, not the order.
        task = asyncio.create_task(self._ask(keys, order))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait({task}, timeout=self._deadline)
        if done and task.exception() is None:
            self._breaker.succeeded()
            return task.result()
        failure = task.exception() if done else None
        if not done:
            task.add_done_callback(_drop)
            task.cancel()
        # Neighbours may have kept it busy: what they learned meanwhile still holds.
        known = self._known_denial(keys)
        if known is not None:
            self._breaker.succeeded()
            return known
        self._breaker.failed(self._monotonic(), certain=failure is not None)
        _log.warning("order_limits_away", error=type(failure).__name__ if failure else "deadline")
        return Admission(outcome="failed_open")

    async def forget(self) -> None:
        """Delete what limits nobody any more."""
        async with self._database.acquire() as connection:
            await connection.execute(_FORGET)
        await self._bans.forget()

    async def _ask(self, keys: Mapping[bytes, str], order: NamedOrder | None) -> Admission:
        try:
            return await self._count(keys, order)
        except _ReusedError as reused:
            return Admission(outcome="reused", by=("key",) if reused.by_key_alone else ())

    async def _count(self, keys: Mapping[bytes, str], order: NamedOrder | None) -> Admission:
        named = None if order is None else self.key("order", f"{order.source}\0{order.name}")
        wanted = [*keys, *(() if named is None else (named,))]
        async with self._database.transaction(timeout=self._deadline) as connection:
            rows = await connection.fetch(_LOCK, sorted(wanted))
            now = max(int(row["now"]) for row in rows)
            state = {bytes(row["key"]): int(row["state"]) for row in rows}
            admission, changed = self._decide(keys, named, state, now)
            if order is not None and admission.outcome != "limited":
                had = await claim(connection, order.contents)
                if had != order.contents:
                    raise _ReusedError(had[name_key(order.source, order.name)] == order.content)
            if changed:
                until = {
                    key: now / 1000 + _PASS_HOURS * 3600 if key == named else value / 1e6
                    for key, value in changed.items()
                }
                await connection.execute(_SAVE, list(changed), list(changed.values()), [until[key] for key in changed])
        return admission

    def _decide(
        self, keys: Mapping[bytes, str], order: bytes | None, state: Mapping[bytes, int], now: int
    ) -> tuple[Admission, dict[bytes, int]]:
        """Return the verdict and the states to keep; of a refused order nothing is kept, under any key."""
        if order is not None and 0 < state[order] < _FREE_REPEATS:
            return Admission(outcome="repeated"), {order: state[order] + 1}
        changed: dict[bytes, int] = {} if order is None else {order: max(1, state[order])}
        denied: dict[bytes, float] = {}
        for key, kind in keys.items():
            following, decision = _ALGORITHM.step([self._rates[kind]], (state[key],), now, 1)
            if decision.allowed:
                changed[key] = int(following[0])
            else:
                denied[key] = (decision.retry_after_ms or 1000) / 1000
        if not denied:
            return Admission(outcome="passed"), changed
        at = self._monotonic()
        for key, seconds in denied.items():
            self._denied[key] = (keys[key], at + seconds)
            self._denied.move_to_end(key)
        while len(self._denied) > _MOST_DENIED:
            self._denied.popitem(last=False)
        by = tuple(sorted(keys[key] for key in denied))
        return Admission(outcome="limited", by=by, retry_after=max(1, ceil(max(denied.values())))), {}

    def _known_denial(self, keys: Mapping[bytes, str]) -> Admission | None:
        """Return the refusal that still holds for one of the keys: a flood costs the database nothing."""
        now = self._monotonic()
        held = [self._denied[key] for key in keys if key in self._denied and self._denied[key][1] > now]
        if not held:
            return None
        wait = max(until for _, until in held) - now
        return Admission(outcome="limited", by=tuple(sorted(kind for kind, _ in held)), retry_after=max(1, ceil(wait)))

    def _lift(self, key: bytes) -> None:
        self._denied.pop(key, None)

    def key(self, kind: str, value: str) -> bytes:
        """Return what stands in the table for a phone, an address, a network or an order."""
        text = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._secret, digest_size=32).digest()


def _drop(task: asyncio.Task[Any]) -> None:
    """Take what became of an abandoned question, so that nobody complains that it was never asked for."""
    if not task.cancelled():
        task.exception()
