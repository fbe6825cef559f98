"""The dead-man's switch: a synthetic event through the whole pipeline, and its heartbeat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from aiohttp import ClientError, ClientSession, ClientTimeout

from common.clock import Clock
from common.contracts import Envelope
from common.contracts.alerts import HeartbeatV1
from common.ids import derived_id
from common.messaging import outbox
from common.postgres import Database
from common.telemetry import get_logger

_log = get_logger()
_TAKEN = """
SELECT max(d.sent_at) FROM deliveries AS d JOIN notices AS n ON n.id = d.notice_id
WHERE n.kind = 'heartbeat' AND d.state = 'sent' AND n.created_at > now() - interval '1 day'
"""
# Critical ones, and leases nobody takes back; what only waits for its turn in a full chat is shown by other metrics.
_OVERDUE = """
SELECT 'a critical notice waits in ' || lane AS what FROM deliveries
WHERE state IN ('pending', 'unknown') AND priority <= 1 AND created_at < now() - $1::interval
UNION ALL
SELECT 'a lease is not taken back in ' || lane FROM deliveries WHERE state = 'sending' AND lease_until < now() - $1::interval
LIMIT 1
"""
# Timers of escalation are due rows of other tables; each is asked for only where it exists.
_TIMERS = {
    "escalations": "SELECT 'a timer of escalation is overdue' FROM escalations WHERE due_at < now() - $1::interval LIMIT 1",
    "handovers": "SELECT 'a timer of a handover is overdue' FROM handovers WHERE due_at < now() - $1::interval LIMIT 1",
}


class Beat:
    """Any number of replicas may run it: an interval's event is the same event, whoever sends it."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        every: timedelta,
        patience: timedelta,
        show: Callable[[datetime, bool], None],
        ping: Callable[[], Awaitable[None]] | None,
        also: Callable[[], Awaitable[str | None]] | None = None,
    ) -> None:
        """``also`` returns what else is overdue."""
        self._database = database
        self._clock = clock
        self._every = every
        self._patience = patience
        self._show = show
        self._ping = ping
        self._also = also
        self._pinged: datetime | None = None

    async def send(self) -> None:
        """Enqueue this interval's event: outbox, RabbitMQ, intake, routes, queue, provider, as for any problem."""
        now = self._clock.now()
        turn = int(now.timestamp() // self._every.total_seconds())
        envelope = Envelope.of(
            HeartbeatV1(service="notifier", occurred_at=now),
            event_id=derived_id("notifier.heartbeat", str(turn)),
            source="/notifier",
            subject=None,
            time=now,
        )
        async with self._database.transaction() as connection:
            await outbox.add(connection, envelope)

    async def look(self) -> None:
        """Show the last one that the provider took; ping the watcher outside, once for each, if nothing else is overdue."""
        taken_at, overdue = await self._pulse()
        if self._also is not None:
            overdue = await self._also() or overdue
        if taken_at is None:
            return
        self._show(taken_at, overdue is None)
        if overdue is not None:
            _log.warning("heartbeat_withheld", reason=overdue)
            return
        if self._ping is not None and taken_at != self._pinged:
            await self._ping()
            self._pinged = taken_at

    async def _pulse(self) -> tuple[datetime | None, str | None]:
        """Return when the last one arrived (None: never), and the first timer or delivery that is later than the patience (None: none)."""
        async with self._database.acquire() as connection:
            taken = await connection.fetchval(_TAKEN)
            overdue = await connection.fetchval(_OVERDUE, self._patience)
            for table, statement in _TIMERS.items():
                if overdue is None and await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table):
                    overdue = await connection.fetchval(statement, self._patience)
        return taken, overdue


def pinger(url: str, *, seconds: float) -> Callable[[], Awaitable[None]]:
    """Return a function that says to a watcher outside that all is well. A watcher that does not answer changes nothing here."""

    async def ping() -> None:
        """GET the address."""
        try:
            async with ClientSession(timeout=ClientTimeout(total=seconds)) as session, session.get(url) as answer:
                if answer.status >= 400:
                    _log.warning("heartbeat_not_taken", status=answer.status)
        except (ClientError, TimeoutError, OSError) as error:
            _log.warning("heartbeat_not_taken", reason=type(error).__name__)

    return ping
