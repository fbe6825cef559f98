"""Add a silence, or end one before its time: each in the transaction of an operator's change, with its audit record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from common.errors import Unprocessable
from common.http import Change
from notifier.silences.alert_names import unknown_alerts
from notifier.silences.store import SilenceStore
from notifier.silences.views import KeptBack, NewSilence, SilenceEnded, SilenceKept

_LOOKED_BACK = timedelta(hours=24)


Follows = Callable[[Change, int, datetime], Awaitable[None]]
"""Names what follows for the problems that a silence (its id), as it is now, covers, or covered until a moment."""


async def add_silence(body: NewSilence, change: Change, *, now: datetime, follows: Follows) -> SilenceKept:
    """Keep it, with its audit record. Raises ``Unprocessable`` where it would be over from the beginning."""
    if body.ends_at <= now:
        raise Unprocessable("ends_at is in the past")
    store = SilenceStore(change.connection)
    match = {str(label): patterns for label, patterns in body.match.items()}
    fitting = await store.fitting(match)
    messages, incidents = await store.sent_before(match, within=_LOOKED_BACK)
    row = await store.add(
        match=match,
        purpose=body.purpose,
        starts_at=body.starts_at,
        ends_at=body.ends_at,
        reason=change.reason,
        by=change.principal.name,
    )
    await change.record(
        "silence.add",
        f"silence:{row['id']}",
        after={"match": row["match"], "ends_at": row["ends_at"].isoformat(), "purpose": row["purpose"]},
    )
    await follows(change, row["id"], row["ends_at"])
    return SilenceKept(
        id=None if change.dry_run else row["id"],
        ends_at=body.ends_at if change.dry_run else row["ends_at"],
        incidents=fitting,
        would_have_muted=KeptBack(hours=int(_LOOKED_BACK / timedelta(hours=1)), messages=messages, incidents=incidents),
        warnings=await unknown_alerts(change.connection, match.get("alert", ())),
        dry_run=change.dry_run,
    )


async def end_silence(silence_id: int, change: Change, *, follows: Follows) -> SilenceEnded:
    """End it now; what it kept back and is not over is notified. Raises ``NotFound``."""
    before, after = await SilenceStore(change.connection).end(silence_id, by=change.principal.name)
    await change.record(
        "silence.end",
        f"silence:{silence_id}",
        before={"ends_at": before.isoformat()},
        after={"ends_at": after.isoformat()},
    )
    await follows(change, silence_id, before)
    return SilenceEnded(id=silence_id, before=before, after=after, dry_run=change.dry_run)
