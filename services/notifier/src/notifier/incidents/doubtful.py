"""Reports that come so soon after their problem's end that they may be older than it: they count unless another end comes.

Alertmanager repeats an alert after hours only. So one that fires again at once, under the same beginning, must not be forgotten, and a
replica of it that lags behind must open nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from common.postgres import Connection
from notifier.incidents.model import ProblemFact

_TIMES = ("occurred_at", "seen_at")
# Only of the very sender of the end, which says one thing after the other.
_KEEP = """
UPDATE early_resolutions AS r SET again = d.fact
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::jsonb[]) AS d (fingerprint, sender, seen_at, fact)
WHERE r.fingerprint = d.fingerprint AND r.sender = d.sender AND r.seen_at < d.seen_at
"""
_PAST_DOUBT = """
SELECT fingerprint FROM early_resolutions
WHERE again IS NOT NULL AND at < $1 AND 'problem ' || fingerprint <> ALL($3::text[]) LIMIT $2
"""
_TAKE = """
UPDATE early_resolutions AS r SET again = NULL
FROM (SELECT fingerprint, again FROM early_resolutions
      WHERE fingerprint = ANY($1::text[]) AND again IS NOT NULL AND at < $2 FOR UPDATE) AS kept
WHERE r.fingerprint = kept.fingerprint
RETURNING kept.again, EXISTS (SELECT FROM incidents AS i WHERE i.fingerprint = kept.fingerprint AND i.state <> 'resolved') AS open
"""


async def keep_doubtful(connection: Connection, facts: Sequence[ProblemFact]) -> None:
    """Keep reports that were not believed; the newest of each problem is enough. The problems are locked."""
    said = [(fact, fact.sender, fact.seen_at) for fact in facts if fact.sender is not None and fact.seen_at is not None]
    if said:
        await connection.execute(
            _KEEP,
            [fact.fingerprint for fact, _, _ in said],
            [sender for _, sender, _ in said],
            [seen_at for _, _, seen_at in said],
            [_document(fact) for fact, _, _ in said],
        )


async def past_doubt(connection: Connection, before: datetime, *, limit: int, but: Sequence[str] = ()) -> list[str]:
    """Return the problems of reports whose problem had ended before that moment, and of which nothing came since; ``but`` these items."""
    return [row["fingerprint"] for row in await connection.fetch(_PAST_DOUBT, before, limit, but)]


async def take_past_doubt(connection: Connection, fingerprints: Sequence[str], before: datetime) -> list[ProblemFact]:
    """Return those reports, each once, without what was reported or ended meanwhile. The problems are locked."""
    rows = await connection.fetch(_TAKE, list(fingerprints), before)
    return [_fact(row["again"]) for row in rows if not row["open"]]


def _document(fact: ProblemFact) -> dict[str, Any]:
    document = asdict(fact)
    return document | {name: None if (at := document[name]) is None else at.isoformat() for name in _TIMES}


def _fact(document: dict[str, Any]) -> ProblemFact:
    times: dict[str, Any] = {
        name: None if (at := document[name]) is None else datetime.fromisoformat(at) for name in _TIMES
    }
    rest = {name: held for name, held in document.items() if name not in {"kind", "responsible", *_TIMES}}
    return ProblemFact(kind=document["kind"], responsible=tuple(document["responsible"]), **times, **rest)
