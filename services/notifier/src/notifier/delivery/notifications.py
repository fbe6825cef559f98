"""The notification log, and what reports do to incidents, in PostgreSQL; within a transaction that somebody else commits.

``NotificationStore`` adds notices with their deliveries (``add``); locks problems (``lock``), opens or counts their incidents (``report``)
and resolves them (``settle``); reads what mutes a problem (``silences``, ``open_incidents``) and records it (``mute``, ``muted``); has
messages about incidents edited (``refresh``). The SQL of incidents is here because a notice and its incident change together, and
deliveries read both; what a person's act changes about an incident is in ``incidents/store.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.contracts import Envelope
from common.messaging import outbox
from common.postgres import Connection
from notifier.delivery import posts
from notifier.delivery.model import CRITICAL, EDIT, Added, NewNotice
from notifier.incidents.model import ProblemFact, Reported
from notifier.routing.model import Chosen, Labels, labels_json, labels_of, like
from notifier.silences.model import Inhibition, Silence, silence_of

_SEEN = """
SELECT DISTINCT n.order_number, n.sequence
FROM unnest($1::text[], $2::bigint[]) AS asked (order_number, sequence)
JOIN notices AS n USING (order_number, sequence) WHERE n.kind LIKE 'order.%'
"""
# One statement, for it is what every order costs. Lanes are asked for first: whoever would insert a key that is there waits for its sender.
_ADD = """
WITH kept AS (
    INSERT INTO notices (id, subject, transition, sequence, kind, severity, order_number, incident_id, document, reason,
                         event_id, traceparent, occurred_at, traits, received_at, taken_at, came_by)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::jsonb[],
        $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::jsonb[], $29::timestamptz[], $30::timestamptz[], $31::text[])
    ON CONFLICT (subject, transition) DO NOTHING
    RETURNING id
), chats AS (
    INSERT INTO lanes (key, channel, address)
    SELECT * FROM unnest($15::text[], $16::text[], $17::text[]) AS wanted (key, channel, address)
    WHERE NOT EXISTS (SELECT FROM lanes AS l WHERE l.key = wanted.key)
    ON CONFLICT (key) DO NOTHING
), sent_to AS (
    INSERT INTO deliveries (notice_id, subject, sequence, destination, channel, lane, topic, route, priority, not_before, page_group)
    SELECT notice_id, subject, sequence, destination, channel, lane, topic, route, priority, now() + hold * interval '1 second',
           page_group
    FROM unnest($18::uuid[], $19::text[], $20::bigint[], $21::text[], $22::text[], $23::text[], $24::bigint[], $25::text[],
                $26::smallint[], $27::float8[], $28::text[])
         WITH ORDINALITY
         AS new (notice_id, subject, sequence, destination, channel, lane, topic, route, priority, hold, page_group, position)
    JOIN kept ON kept.id = notice_id
    ORDER BY position
    RETURNING id, notice_id, destination, created_at
)
SELECT kept.id AS notice_id, sent_to.id, sent_to.destination, sent_to.created_at
FROM kept LEFT JOIN sent_to ON sent_to.notice_id = kept.id
ORDER BY sent_to.id
"""
# What comes before a critical notice of the same problem must not keep it waiting behind a crowd of orders.
_RAISE_PRIORITY = """
UPDATE deliveries AS d SET priority = h.priority
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::smallint[]) AS h (lane, subject, sequence, priority)
WHERE d.lane = h.lane AND d.subject = h.subject AND d.sequence < h.sequence AND d.priority > h.priority
  AND d.state IN ('pending', 'unknown')
"""
# Report and end of one problem may be taken in at the same moment; whichever comes second must see the first.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(fingerprint, 7)) FROM unnest($1::text[]) AS one (fingerprint)"
# In the order in which everybody locks incidents; what is new has larger ids, and nobody sees it yet.
_LOCK_LIVE = """
SELECT FROM incidents WHERE fingerprint = ANY($1::text[]) AND state <> 'resolved' ORDER BY id FOR NO KEY UPDATE
"""
# What has become critical is looked at again for a ticket.
_REPORT = """
WITH new AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::text[], $7::text[], $8::text[],
                         $9::text[], $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::text[], $15::text[],
                         $16::timestamptz[], $17::text[], $18::text[])
         WITH ORDINALITY AS n (fingerprint, kind, severity, summary, details, service, environment, order_number, source,
                               store_id, zone, link, occurred_at, instruction, responsible, seen_at, named_service, sender,
                               position)
), fresh AS (
    SELECT * FROM new WHERE NOT EXISTS (SELECT FROM early_resolutions AS r
                                        WHERE r.fingerprint = new.fingerprint AND r.at >= new.occurred_at
                                          AND (r.began_at < new.occurred_at) IS NOT TRUE
                                          AND (greatest(r.at, CASE WHEN r.sender <> new.sender THEN r.seen_at END)
                                               >= new.seen_at - CASE WHEN r.began_at IS NULL THEN interval '30 seconds'
                                                                     ELSE interval '2 minutes' END) IS NOT FALSE)
), before AS (
    SELECT i.fingerprint, i.severity FROM incidents AS i JOIN fresh USING (fingerprint) WHERE i.state <> 'resolved'
), kept AS (
    INSERT INTO incidents AS i (fingerprint, kind, severity, summary, details, service, environment, order_number, source, store_id,
                                zone, link, first_seen_at, last_seen_at, instruction, responsible, named_service)
    SELECT fingerprint, kind, severity, summary, details, service, environment, order_number, source, store_id, zone, link,
           occurred_at, occurred_at, instruction, ARRAY(SELECT jsonb_array_elements_text(responsible::jsonb)),
           named_service
    FROM fresh ORDER BY position
    ON CONFLICT (fingerprint) WHERE state <> 'resolved' DO UPDATE
    SET occurrences = i.occurrences + 1,
        first_seen_at = least(i.first_seen_at, excluded.first_seen_at),
        last_seen_at = greatest(i.last_seen_at, excluded.last_seen_at),
        kind = excluded.kind,
        severity = CASE WHEN excluded.severity = 'critical' OR i.severity = 'info' THEN excluded.severity ELSE i.severity END,
        followed_up_kind = CASE WHEN excluded.severity <> 'critical' OR i.severity = 'critical' THEN i.followed_up_kind END,
        summary = excluded.summary,
        details = excluded.details,
        version = i.version + 1
    RETURNING id, fingerprint, occurrences, muted, xmax = 0 AS opened
)
SELECT kept.*, before.severity AS severity_before FROM kept LEFT JOIN before USING (fingerprint)
"""
_SETTLE = """
UPDATE incidents AS i SET state = 'resolved', resolved_at = o.at, resolved_by = o.actor, version = version + 1
FROM unnest($1::text[], $2::timestamptz[], $3::text[]) AS o (fingerprint, at, actor)
WHERE i.fingerprint = o.fingerprint AND i.state <> 'resolved' AND i.last_seen_at <= o.at
  AND NOT EXISTS (SELECT FROM early_resolutions AS r WHERE r.fingerprint = o.fingerprint AND r.at >= o.at)
RETURNING i.*
"""
_SILENCES = """
SELECT s.*, clock_timestamp() AS asked_at FROM (VALUES (1)) AS one LEFT JOIN silences AS s ON s.ends_at > now() ORDER BY s.id
"""
_STANDING = """
SELECT * FROM incidents
WHERE state <> 'resolved' AND fingerprint <> $1 AND kind LIKE ANY($2::text[])
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], severity), id LIMIT 500
"""
_MUTE = """
UPDATE incidents AS i SET muted = m.why
FROM unnest($1::bigint[], $2::text[]) AS m (id, why)
WHERE i.id = m.id AND i.muted IS DISTINCT FROM m.why
"""
# Others each time: those that stay muted must not stand before those that do not.
_MUTED = """
SELECT * FROM incidents
WHERE id = ANY(ARRAY(SELECT id FROM incidents WHERE muted IS NOT NULL AND state = 'open' ORDER BY random() LIMIT $1))
  AND muted IS NOT NULL AND state = 'open'
ORDER BY id FOR UPDATE SKIP LOCKED
"""
# Also of an incident that was closed: the same end comes from several Alertmanagers, and reports older than it may still be on their way.
_REMEMBER_OVER = """
INSERT INTO early_resolutions AS r (fingerprint, at, sender, seen_at, began_at)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::timestamptz[], $5::timestamptz[])
ON CONFLICT (fingerprint) DO UPDATE
SET at = excluded.at, sender = excluded.sender, seen_at = excluded.seen_at, began_at = excluded.began_at, again = NULL
WHERE excluded.at > r.at OR (excluded.at = r.at AND excluded.sender = r.sender AND r.again IS NOT NULL)
"""
# At most one of several that fit: the others are problems of their own.
_ADOPT = """
UPDATE incidents AS i SET fingerprint = o.fingerprint
FROM unnest($1::text[], $2::text[], $3::text[]) AS o (before, fingerprint, alert)
WHERE i.fingerprint = o.before AND i.state <> 'resolved' AND i.details ->> 'alert' = o.alert
  AND NOT EXISTS (SELECT FROM incidents AS n WHERE n.fingerprint = o.fingerprint AND n.state <> 'resolved')
"""
_HISTORY = """
INSERT INTO incident_history (incident_id, actor, act, text)
SELECT incident_id, actor, act, text
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS new (incident_id, actor, act, text)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An incident as the log has it. ``muted``: why nobody was notified of it."""

    incident_id: int
    fact: ProblemFact
    occurrences: int
    muted: str | None


class NotificationStore:
    """The notification log and the incidents, inside one transaction that the caller commits. One connection inside a transaction.

    ``added``, ``deliveries``, ``refreshed``: the notices that are new by it, their deliveries, and the incidents whose messages it edits.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = self._connection = connection
        self.added, self.deliveries, self.refreshed = list[NewNotice](), list[Added](), list[int]()

    async def versions_seen(self, versions: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        """Return those (order number, version) of which there is a notice, sent or not."""
        numbers, found = [number for number, _ in versions], [version for _, version in versions]
        rows = await self._connection.fetch(_SEEN, numbers, found)
        return {(row["order_number"], row["sequence"]) for row in rows}

    async def add(self, notices: Sequence[NewNotice]) -> set[str]:
        """Store notices and their deliveries, in this order; returns the ids of those that were not there yet."""
        if not notices:
            return set()
        pairs = [(notice, chosen) for notice in notices for chosen in notice.chosen]
        places = dict(sorted({chosen.destination.chat: chosen.destination for _, chosen in pairs}.items()))
        rows = await self._connection.fetch(
            _ADD,
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
            [None if notice.labels is None else labels_json(notice.labels) for notice in notices],
            list(places),
            [place.channel for place in places.values()],
            [place.address for place in places.values()],
            [notice.id for notice, _ in pairs],
            [notice.subject for notice, _ in pairs],
            [notice.sequence for notice, _ in pairs],
            [chosen.destination.name for _, chosen in pairs],
            [chosen.destination.channel for _, chosen in pairs],
            [chosen.destination.chat for _, chosen in pairs],
            [chosen.destination.topic for _, chosen in pairs],
            [chosen.route for _, chosen in pairs],
            [notice.priority for notice, _ in pairs],
            [notice.hold_for for notice, _ in pairs],
            [notice.group for notice, _ in pairs],
            *([getattr(notice, name) for notice in notices] for name in ("received_at", "taken_at", "came_by")),
        )
        added = {str(row["notice_id"]) for row in rows}
        by_place = {(notice.id, chosen.destination.name): (notice, chosen) for notice, chosen in pairs}
        self.deliveries += [
            Added(row["id"], *by_place[str(row["notice_id"]), row["destination"]], row["created_at"])
            for row in rows
            if row["id"] is not None
        ]
        self.added += [notice for notice in notices if notice.id in added]
        await self._raise_priority([(notice, chosen) for notice, chosen in pairs if notice.id in added])
        return added

    async def _raise_priority(self, pairs: Sequence[tuple[NewNotice, Chosen]]) -> None:
        urgent = [(notice, chosen) for notice, chosen in pairs if notice.incident_id and notice.priority == CRITICAL]
        if urgent:
            await self._connection.execute(
                _RAISE_PRIORITY,
                [chosen.destination.chat for _, chosen in urgent],
                [notice.subject for notice, _ in urgent],
                [notice.sequence for notice, _ in urgent],
                [notice.priority for notice, _ in urgent],
            )

    async def lock(self, fingerprints: Sequence[str]) -> None:
        """Have these problems to oneself until the transaction ends; taken in one order, so that nobody waits crosswise.

        To be called before ``report`` and ``settle``, once, with all that the transaction reports or ends.
        """
        if fingerprints:
            await self._connection.execute(_LOCK, sorted(set(fingerprints)))
            await self._connection.execute(_LOCK_LIVE, list(set(fingerprints)))

    async def report(self, reports: Sequence[tuple[ProblemFact, str]]) -> list[Reported | None]:
        """Take (problem, environment) in, each problem once: it opens an incident or is counted at the one open under its fingerprint.

        None: the problem was reported as over before, at a later moment than this report's; it is not opened. What began after that
        one had begun is another problem. A sender that says clearly after the end that the problem lasts is believed; another sender
        so long after that end was heard of, however old it was then. Clearly is two minutes, for replicas lag, and half a minute where
        no end says when the problem had begun: nothing repeats an older beginning then.
        """
        facts = [fact for fact, _ in reports]
        rows = await self._connection.fetch(
            _REPORT,
            [fact.fingerprint for fact in facts],
            [fact.kind for fact in facts],
            [fact.severity for fact in facts],
            [fact.summary for fact in facts],
            [dict(fact.details) | ({"alert": fact.alert} if fact.alert else {}) for fact in facts],
            [fact.service for fact in facts],
            [environment for _, environment in reports],
            [fact.order_number for fact in facts],
            [fact.source for fact in facts],
            [fact.store_id for fact in facts],
            [fact.zone for fact in facts],
            [fact.link for fact in facts],
            [fact.occurred_at for fact in facts],
            [fact.what_to_do for fact in facts],
            [json.dumps(fact.responsible) for fact in facts],
            [fact.seen_at for fact in facts],
            [named_service(fact) for fact in facts],
            [fact.sender for fact in facts],
        )
        found = {row["fingerprint"]: row for row in rows}
        opened = [(found[fact.fingerprint]["id"], fact) for fact in facts if fact.fingerprint in found]
        opened = [(incident, fact) for incident, fact in opened if found[fact.fingerprint]["opened"]]
        if opened:
            await self._connection.execute(
                _HISTORY,
                [incident for incident, _ in opened],
                [fact.service for _, fact in opened],
                ["opened"] * len(opened),
                [fact.summary for _, fact in opened],
            )
        return [_reported(found.get(fact.fingerprint)) for fact in facts]

    async def adopt(self, renamed: Sequence[tuple[str, str, str]]) -> None:
        """Have live incidents of (former fingerprint, fingerprint, alert's name) under the fingerprint that the alert has now.

        The problems are locked first, under both.
        """
        if renamed:
            await self._connection.execute(_ADOPT, *(list(column) for column in zip(*renamed, strict=True)))

    async def settle(
        self, ends: Sequence[tuple[str, str, str, datetime, str | None, datetime | None, datetime | None]]
    ) -> list[Kept | None]:
        """Resolve live incidents of (fingerprint, actor, summary, at, sender, seen at, began at), each once; returns what they were.

        None: there is none, it was reported again after ``at``, or this very end has come before. The end is remembered: reports of
        the problem that are older and still on their way in (another replica's, another Alertmanager's) open nothing.
        """
        fingerprints, actors, _, moments, senders, seen, began = (list(column) for column in zip(*ends, strict=True))
        rows = await self._connection.fetch(_SETTLE, fingerprints, moments, actors)
        await self._connection.execute(_REMEMBER_OVER, fingerprints, moments, senders, seen, began)
        found = {row["fingerprint"]: row for row in rows}
        over = [(found[end[0]]["id"], end[1], "resolved", end[2]) for end in ends if end[0] in found]
        if over:
            await self._connection.execute(_HISTORY, *(list(column) for column in zip(*over, strict=True)))
        return [None if (row := found.get(fingerprint)) is None else _kept(row) for fingerprint in fingerprints]

    async def silences(self) -> tuple[Sequence[Silence], datetime]:
        """Return the silences that are not over, and the database's time."""
        rows = await self._connection.fetch(_SILENCES)
        return [silence_of(row) for row in rows if row["id"] is not None], rows[0]["asked_at"]

    async def open_incidents(self, rules: Sequence[Inhibition], target: Labels) -> Sequence[tuple[int, Labels]]:
        """Return incidents (with their ids) that are not over and might explain a problem by one of these rules; some hundred at most."""
        kinds = [like(pattern) for rule in rules for pattern in rule.source.get("kind", ("*",))]
        rows = await self._connection.fetch(_STANDING, target.fingerprint or "", kinds)
        return [(row["id"], labels_of(row)) for row in rows]

    async def mute(self, why: Mapping[int, str | None]) -> None:
        """Record why nobody was notified of these incidents; None: somebody was."""
        if why:
            await self._connection.execute(_MUTE, list(why), list(why.values()))

    async def muted(self, limit: int) -> Sequence[Kept]:
        """Lock and return open incidents of which nobody was notified; other replicas skip them."""
        return [_kept(row) for row in await self._connection.fetch(_MUTED, limit)]

    async def refresh(self, incident_ids: Sequence[int], *, priority: int = EDIT) -> None:
        """Have every message that was sent about these incidents edited until it says how they stand.

        To be called after the change of the incident's row, in its transaction. Any number of changes before the edit is made are one edit.
        ``priority`` is ``urgency.ACT`` where a person has just done something and looks at the message.
        """
        await posts.refresh(self._connection, incident_ids, priority=priority)
        self.refreshed += incident_ids

    async def add_to_outbox(self, *envelopes: Envelope) -> None:
        """Put events into the outbox."""
        await outbox.add(self._connection, *envelopes)


def named_service(fact: ProblemFact) -> str | None:
    """Return the service of a problem, unless it is only guessed: what other systems' alerts do not name."""
    return fact.named_service or (fact.service if fact.alert is None else None)


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
        what_to_do=row["instruction"],
        environment=row["environment"],
        alert=row["details"].get("alert"),
        responsible=tuple(row["responsible"]),
        named_service=row["named_service"],
    )


def _kept(row: Any) -> Kept:
    return Kept(incident_id=row["id"], fact=problem_of(row), occurrences=row["occurrences"], muted=row["muted"])


def _reported(row: Any) -> Reported | None:
    if row is None:
        return None
    return Reported(
        incident_id=row["id"],
        opened=row["opened"],
        severity_before=row["severity_before"],
        occurrences=row["occurrences"],
        muted=row["muted"],
    )
