"""Expect no Watchdog of an Alertmanager any more that was taken out of service. If it comes again, it is watched again."""

from __future__ import annotations

from datetime import datetime

from common.errors import Conflict, NotFound
from common.http import Change, ChangeAnswer
from notifier.delivery.notifications import NotificationStore
from notifier.incidents.act import NameNotices
from notifier.incidents.problems import Problems
from notifier.inputs.watchdog import AlertSender, over

_READ = "SELECT name, environment, seen_at FROM alert_senders WHERE id = $1"
# All of them, so that two people who give up the last two do not leave none.
_LOCK = "SELECT id FROM alert_senders ORDER BY id FOR UPDATE"
_DELETE = "DELETE FROM alert_senders WHERE id = $1"


class OnlySender(Conflict):
    """Nobody else's Watchdog is expected."""

    code = "only_sender"


class SenderGivenUp(ChangeAnswer):
    """Whose Watchdog is not expected any more, or would not be, and when it came last."""

    id: int
    name: str
    seen_at: datetime
    dry_run: bool


async def give_up_sender(
    sender_id: int, change: Change, *, problems: Problems, name_notices: NameNotices, now: datetime
) -> SenderGivenUp:
    """Forget a sender and end the problem that its silence is, with an audit record.

    Raises ``NotFound``, and ``OnlySender`` for the last one: a deployment without any says so in its settings.
    """
    row = await change.connection.fetchrow(_READ, sender_id)
    if row is None:
        raise NotFound("no such sender of alerts")
    sender = AlertSender(**row)
    notifications = NotificationStore(change.connection)
    await notifications.lock([sender.fingerprint])
    known = [each["id"] for each in await change.connection.fetch(_LOCK)]
    if sender_id not in known:
        raise NotFound("no such sender of alerts")
    if known == [sender_id]:
        raise OnlySender("it is the only one; where none is wanted, leave NOTIFIER_WATCHDOG_PATIENCE out")
    await change.connection.execute(_DELETE, sender_id)
    ended = await problems.ingest(notifications, [over(sender.fingerprint, actor=change.principal.name, at=now)])
    await name_notices(change, notifications, [incident_id for incident_id in ended if incident_id is not None])
    await change.record(
        "alert_sender.give_up",
        f"alert_sender:{sender_id}",
        before={"name": sender.name, "seen_at": row["seen_at"].isoformat(), "environment": sender.environment},
    )
    return SenderGivenUp(id=sender_id, name=sender.name, seen_at=row["seen_at"], dry_run=change.dry_run)
