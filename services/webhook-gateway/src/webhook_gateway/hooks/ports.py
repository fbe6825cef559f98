"""What the use cases need of the world."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from common.contracts.envelope import Envelope
from common.contracts.intake import Hook
from common.errors import Unavailable
from webhook_gateway.countdowns.model import Schedule
from webhook_gateway.durable.breaker import BreakerState
from webhook_gateway.hooks.authentication import Authenticator
from webhook_gateway.hooks.model import Outcome
from webhook_gateway.website.model import Rescue

Lane = Literal["broker", "spool"]


class SpoolUnavailable(Unavailable):
    """The spool cannot take the event: full, disk full, or the disk does not answer."""

    code = "spool_unavailable"


class NoLane(Unavailable):
    """Neither the broker nor the spool can take the event."""

    code = "no_lane"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A marketplace that sends hooks. ``accept_invalid``: what cannot be used is still answered positively (CONTRACT 3).

    ``schedule``: how long it waits, when it repeats and when it cancels (M2).
    """

    name: str
    authenticator: Authenticator
    accept_invalid: bool = True
    currency: str = "RUB"
    schedule: Schedule = field(default_factory=Schedule)


class BrokerLane(Protocol):
    """The way through RabbitMQ."""

    @property
    def ready(self) -> bool:
        """Whether there is a connection with the whole topology declared."""
        ...

    async def send(self, routing_key: str, body: bytes, *, deadline: float) -> None:
        """Return when a quorum has the event on disk in at least one queue; raise ``Unavailable`` within ``deadline`` seconds."""
        ...


@dataclass(frozen=True, slots=True)
class SpoolRecord:
    """A record as it was stored. Ids grow in the order of storing."""

    id: int
    routing_key: str
    body: bytes


class SpoolLane(Protocol):
    """The way through the local disk."""

    @property
    def depth(self) -> int:
        """Records that wait for the broker."""
        ...

    async def append(self, routing_key: str, body: bytes) -> None:
        """Return when the record is synced to disk. Raises ``SpoolUnavailable``."""
        ...

    async def peek(self, limit: int) -> Sequence[SpoolRecord]:
        """Return the oldest intact records, in order. Torn ones are set aside and counted on the way."""
        ...

    async def forget(self, ids: Sequence[int]) -> None:
        """Delete relayed records."""
        ...

    async def wait(self, timeout: float) -> None:
        """Return when a record has been appended since the last call, or after ``timeout`` seconds."""
        ...


class DurabilityObserver(Protocol):
    """Hears how the lanes do. Calls must be cheap: they are on the hot path."""

    def lane_failed(self, lane: Lane, code: str) -> None:
        """An event could not be stored by this lane."""
        ...

    def breaker_is(self, state: BreakerState) -> None:
        """The breaker's state, after every attempt that may have changed it."""
        ...

    def relayed(self, count: int) -> None:
        """So many spooled records have been confirmed by the broker."""
        ...


class LastResort(Protocol):
    """Where a refused website order goes when both lanes are dead (DECISIONS "Gateway")."""

    async def keep(self, hook: Hook) -> None:
        """Write it straight into the database. Raises ``Unavailable`` when that is away too."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """A delivery as it is kept. ``headers`` are masked."""

    hook: Hook
    outcome: str
    replay_of: str | None
    headers: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndangeredRow:
    """A website order that was not answered 201 (M5). ``origin``: who saw it fail; ``link`` leads to the front end's own report."""

    hook: Hook
    status: int
    category: str
    answer: Any
    rescue: Rescue
    origin: Literal["server", "front_end"] = "server"
    link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedOrder:
    """An endangered order that the website sent again itself, and that was taken."""

    endangered_id: str
    number: str
    arrived_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedOrder:
    """An order whose ``order.created`` was acknowledged: the orchestrator has to tell of it."""

    number: str
    source: str
    external_id: str | None
    acknowledged_at: datetime


class RecorderUnit(Protocol):
    """One transaction of the recorder."""

    async def save_deliveries(self, rows: Sequence[DeliveryRow]) -> None:
        """Insert rows; one that is there already is kept, but for the lane, which becomes ``spool`` if either says so."""
        ...

    async def save_endangered(self, rows: Sequence[EndangeredRow]) -> None:
        """Insert rows; one that is there already is left alone."""
        ...

    async def settle_arrived(self, names: Sequence[str]) -> Sequence[ArrivedOrder]:
        """Mark those endangered orders, called by these external ids, of which a later or earlier try was taken; return them."""
        ...

    async def expect_orders(self, orders: Sequence[AwaitedOrder]) -> None:
        """Note orders that the orchestrator has to tell of; one that it has told of already is left alone."""
        ...

    async def publish(self, events: Sequence[Envelope]) -> None:
        """Promise events by the outbox."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """Refusals of one second with one source and reason, an absolute count within one run of one replica."""

    bucket: datetime
    source: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Disowned:
    """A delivery that was answered 503 because no lane confirmed it, though one may have taken it."""

    delivery_id: str
    received_at: datetime


class RefusalStore(Protocol):
    """Where refusals are counted durably."""

    async def save(self, replica: str, run: str, rows: Sequence[Refusals]) -> None:
        """Write absolute counts; writing the same twice changes nothing. Raises ``Unavailable`` when the database is away."""
        ...

    async def disown(self, deliveries: Sequence[Disowned]) -> None:
        """Make "refused" the outcome of these deliveries, if and whenever they are recorded. Repeating it changes nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDelivery:
    """What a replay starts from."""

    id: str
    type: str
    source: str
    event: str
    body_form: Literal["envelope", "payload"]
    body: bytes
    received_at: datetime
    number: str | None
    external_id: str | None
    sent_at: str | None
    digest: str | None
    currency: str | None


class DeskUnit(Protocol):
    """One transaction of an operator's act."""

    async def delivery(self, delivery_id: str) -> StoredDelivery | None:
        """Return a kept delivery."""
        ...

    async def publish(self, events: Sequence[Envelope]) -> None:
        """Promise events by the outbox."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Every condition that is not None must hold. ``order`` is our number or the source's own id."""

    order: str | None
    source: str | None
    event: str | None
    outcome: str | None
    since: datetime | None
    until: datetime | None


class DeskReads(Protocol):
    """Lists and sums for operators. Rows are looked up by column name; lists are the newest first, behind the position given."""

    async def deliveries(self, wanted: DeliveryFilter, *, after: tuple[Any, ...] | None, limit: int) -> Sequence[Any]:
        """Return deliveries without their bodies."""
        ...

    async def delivery(self, delivery_id: uuid.UUID) -> Any | None:
        """Return one delivery with its body."""
        ...

    async def ledger(self, since: datetime, until: datetime) -> Sequence[Any]:
        """Return counts by replica, source and outcome of what was received in ``[since, until)``."""
        ...


class RequestObserver(Protocol):
    """Hears of every request that was answered."""

    def answered(self, source: str, event: str, outcome: Outcome, seconds: float) -> None:
        """Count one request, by its one outcome. ``source`` is a configured one, the website, or ``UNKNOWN_SOURCE``."""
        ...
