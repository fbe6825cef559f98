"""The notification log and the incidents in PostgreSQL, within a transaction that somebody else commits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any

from common.contracts import Envelope
from common.messaging import outbox
from common.postgres import Connection, Database
from notifier.application.ports import Ledger, NewNotice
from notifier.domain.incidents import ProblemFact, Reported

_SEEN = """
SELECT DISTINCT n.order_number, n.sequence
FROM unnest($1::text[], $2::bigint[]) AS asked (order_number, sequence)
JOIN notices AS n USING (order_number, sequence)
WHERE n.kind LIKE 'order.%'
"""
_ADD_NOTICES = """
INSERT INTO notices (id, subject, transition, sequence, kind, severity, order_number, incident_id, document, reason,
                     event_id, traceparent, occurred_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[],
                     $9::jsonb[], $10::text[], $11::text[], $12::text[], $13::timestamptz[])
ON CONFLICT (subject, transition) DO NOTHING
RETURNING id
"""
_ADD_LANES = """
INSERT INTO lanes (key, channel, address)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
ON CONFLICT (key) DO NOTHING
"""
_ADD_DELIVERIES = """
INSERT INTO deliveries (notice_id, subject, sequence, destination, channel, lane, topic, route, priority, not_before)
SELECT notice_id, subject, sequence, destination, channel, lane, topic, route, priority, now() + hold * interval '1 second'
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[],
            $9::smallint[], $10::float8[])
     WITH ORDINALITY AS new (notice_id, subject, sequence, destination, channel, lane, topic, route, priority, hold, position)
ORDER BY position
"""
# What comes before a critical notice of the same problem must not keep it waiting behind a crowd of orders.
_HASTEN = """
UPDATE deliveries AS d SET priority = h.priority
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::smallint[]) AS h (lane, subject, sequence, priority)
WHERE d.lane = h.lane AND d.subject = h.subject AND d.sequence < h.sequence AND d.priority > h.priority
  AND d.state IN ('pending', 'unknown')
"""
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7))"
_LIVE_SEVERITY = "SELECT severity FROM incidents WHERE fingerprint = $1 AND state <> 'resolved' FOR UPDATE"
_REPORT = """
INSERT INTO incidents AS i (fingerprint, kind, severity, summary, details, service, environment, order_number, source, store_id,
                       zone, link, first_seen_at, last_seen_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)
ON CONFLICT (fingerprint) WHERE state <> 'resolved' DO UPDATE
SET occurrences = i.occurrences + 1,
    first_seen_at = least(i.first_seen_at, excluded.first_seen_at),
    last_seen_at = greatest(i.last_seen_at, excluded.last_seen_at),
    kind = excluded.kind,
    severity = CASE WHEN excluded.severity = 'critical' OR i.severity = 'info' THEN excluded.severity ELSE i.severity END,
    summary = excluded.summary,
    details = excluded.details,
    version = i.version + 1
RETURNING id, occurrences, xmax = 0 AS opened
"""
_SETTLE = """
UPDATE incidents SET state = 'resolved', resolved_at = $2, resolved_by = $3, version = version + 1
WHERE fingerprint = $1 AND state <> 'resolved' AND last_seen_at <= $2
RETURNING id, fingerprint, kind, severity, summary, service, details, order_number, source, store_id, zone, link, last_seen_at
"""
# Also of an incident that was closed: the same end comes from several Alertmanagers, and reports older than it may still be on their way.
_REMEMBER_OVER = """
INSERT INTO early_resolutions AS r (fingerprint, at) VALUES ($1, $2)
ON CONFLICT (fingerprint) DO UPDATE SET at = greatest(r.at, excluded.at)
"""
_OVER_ALREADY = "SELECT EXISTS (SELECT FROM early_resolutions WHERE fingerprint = $1 AND at >= $2)"
_HISTORY = "INSERT INTO incident_history (incident_id, actor, act, text) VALUES ($1, $2, $3, $4)"
_PRIORITY = {"critical": 0, "warning": 5}
_USUAL = 5  # orders and warnings; what is critical overtakes, what is information waits
_INFORMATION = 9


class PostgresLedger:
    """See ``application.ports.Ledger``. One connection inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def versions_seen(self, versions: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        """Return those (order number, version) of which there is a notice."""
        rows = await self._connection.fetch(
            _SEEN, [number for number, _ in versions], [version for _, version in versions]
        )
        return {(row["order_number"], row["sequence"]) for row in rows}

    async def add(self, notices: Sequence[NewNotice]) -> set[str]:
        """Keep notices that are not there yet, and their deliveries, in four statements at most."""
        if not notices:
            return set()
        rows = await self._connection.fetch(
            _ADD_NOTICES,
            [notice.id for notice in notices],
            [notice.subject for notice in notices],
            [notice.transition for notice in notices],
            [notice.sequence for notice in notices],
            [notice.kind for notice in notices],
            [notice.severity for notice in notices],
            [notice.order_number for notice in notices],
            [notice.incident_id for notice in notices],
            [None if notice.document is None else notice.document.to_json() for notice in notices],
            [notice.reason for notice in notices],
            [notice.event_id for notice in notices],
            [notice.traceparent for notice in notices],
            [notice.occurred_at for notice in notices],
        )
        added = {str(row["id"]) for row in rows}
        await self._add_deliveries([notice for notice in notices if notice.id in added])
        return added

    async def _add_deliveries(self, notices: Sequence[NewNotice]) -> None:
        pairs = [(notice, chosen) for notice in notices for chosen in notice.chosen]
        if not pairs:
            return
        places = {chosen.destination.lane: chosen.destination for _, chosen in pairs}
        keys = sorted(places)
        await self._connection.execute(
            _ADD_LANES, keys, [places[key].channel for key in keys], [places[key].address for key in keys]
        )
        await self._connection.execute(
            _ADD_DELIVERIES,
            [notice.id for notice, _ in pairs],
            [notice.subject for notice, _ in pairs],
            [notice.sequence for notice, _ in pairs],
            [chosen.destination.name for _, chosen in pairs],
            [chosen.destination.channel for _, chosen in pairs],
            [chosen.destination.lane for _, chosen in pairs],
            [chosen.destination.topic for _, chosen in pairs],
            [chosen.route for _, chosen in pairs],
            [_priority(notice) for notice, _ in pairs],
            [notice.hold_for for notice, _ in pairs],
        )

        urgent = [(notice, chosen) for notice, chosen in pairs if notice.incident_id and _priority(notice) == 0]
        if urgent:
            await self._connection.execute(
                _HASTEN,
                [chosen.destination.lane for _, chosen in urgent],
                [notice.subject for notice, _ in urgent],
                [notice.sequence for notice, _ in urgent],
                [_priority(notice) for notice, _ in urgent],
            )

    async def report(self, fact: ProblemFact, *, environment: str) -> Reported | None:
        """Open an incident or count another occurrence, unless it was over before it came."""
        # Report and end of one problem may be taken in at the same moment; whichever comes second must see the first.
        await self._connection.execute(_ONE_AT_A_TIME, fact.fingerprint)
        if await self._connection.fetchval(_OVER_ALREADY, fact.fingerprint, fact.occurred_at):
            return None
        before = await self._connection.fetchval(_LIVE_SEVERITY, fact.fingerprint)
        row = await self._connection.fetchrow(
            _REPORT,
            fact.fingerprint,
            fact.kind,
            fact.severity,
            fact.summary,
            dict(fact.details),
            fact.service,
            environment,
            fact.order_number,
            fact.source,
            fact.store_id,
            fact.zone,
            fact.link,
            fact.occurred_at,
        )
        assert row is not None  # noqa: S101 - INSERT … ON CONFLICT DO UPDATE … RETURNING always gives a row
        if row["opened"]:
            await self._connection.execute(_HISTORY, row["id"], fact.service, "opened", fact.summary)
        return Reported(
            incident_id=row["id"], opened=row["opened"], severity_before=before, occurrences=row["occurrences"]
        )

    async def settle(
        self, fingerprint: str, *, actor: str, summary: str, at: datetime
    ) -> tuple[int, ProblemFact] | None:
        """Resolve the live incident of a fingerprint, unless it was reported again since that moment."""
        await self._connection.execute(_ONE_AT_A_TIME, fingerprint)
        await self._connection.execute(_REMEMBER_OVER, fingerprint, at)
        row = await self._connection.fetchrow(_SETTLE, fingerprint, at, actor)
        if row is None:
            return None
        await self._connection.execute(_HISTORY, row["id"], actor, "resolved", summary)
        return row["id"], problem_of(row)

    async def promise(self, *envelopes: Envelope) -> None:
        """Put events into the outbox."""
        await outbox.add(self._connection, *envelopes)


def problem_of(row: Any) -> ProblemFact:
    """Read an incident's row back as the problem it is."""
    return ProblemFact(
        kind=row["kind"],
        severity=row["severity"],
        fingerprint=row["fingerprint"],
        summary=row["summary"],
        service=row["service"],
        occurred_at=row["last_seen_at"],
        details=row["details"],
        order_number=row["order_number"],
        source=row["source"],
        store_id=row["store_id"],
        zone=row["zone"],
        link=row["link"],
    )


def ledgers(database: Database) -> Callable[[], AbstractAsyncContextManager[Ledger]]:
    """Return a function that opens a ledger in a transaction of its own."""

    @asynccontextmanager
    async def open_ledger() -> AsyncIterator[Ledger]:
        """Lend a ledger; commit at the end of the block."""
        async with database.transaction() as connection:
            yield PostgresLedger(connection)

    return open_ledger


def _priority(notice: NewNotice) -> int:
    if notice.kind.startswith(("order.", "test")):
        return _USUAL
    return _PRIORITY.get(notice.severity, _INFORMATION)
