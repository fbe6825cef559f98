"""Claims deliveries in the transaction that adds them: what nothing keeps waiting goes to its sender without being looked for.

Nobody waits here for a sender: a chat or a window that somebody else has at this moment is left alone, and so is whatever a sender would
have to weigh up: problems (digests, pages, edits), notices that are held back, chats in which anything else waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from common.postgres import Connection
from notifier.delivery.model import Added, ChatQueue, Claim, Limit, Waiting, calm_all, claim_of, opens
from notifier.delivery.next_message import NextMessage
from notifier.delivery.queue import HEAD, LimitsOf, lease

_FREE_CHATS = """
SELECT key, address, refused FROM lanes
WHERE key = ANY($1::text[]) AND channel = $2 AND lease_until IS NULL AND not_before <= now() AND urgent_only_until <= now()
FOR UPDATE SKIP LOCKED
"""
# Its snapshot is later than the chats' locks: what a sender has just put back waits, and is seen. Limits are shared: what is urgent in
# another chat is not to find the last place taken.
_WINDOWS = """
SELECT w.key, w.stamps, clock_timestamp() AS now, waits.busy
FROM rate_windows AS w, (
    SELECT ARRAY(
        SELECT chat FROM unnest($2::text[]) AS chat
        WHERE EXISTS (SELECT FROM deliveries WHERE lane = chat AND state IN ('pending', 'unknown', 'sending') AND id <> ALL($3::bigint[]))
           OR EXISTS (SELECT FROM posts WHERE lane = chat AND wanted > shown)
           OR EXISTS (SELECT FROM digests WHERE lane = chat AND closed_at IS NULL)
    ) AS busy, EXISTS (
        SELECT FROM deliveries WHERE state IN ('pending', 'unknown') AND priority <= 1 AND channel = $4
    ) AS urgent
) AS waits
WHERE w.key = ANY($1::text[]) AND NOT waits.urgent
FOR UPDATE OF w SKIP LOCKED
"""


class ClaimAdded:
    """Claims of one channel, as its sender would have made them a moment later."""

    def __init__(
        self,
        *,
        channel: str,
        next_message: NextMessage,
        limits: LimitsOf,
        deadline: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._channel = channel
        self._next = next_message
        self._limits = limits
        self._deadline = deadline
        self._monotonic = monotonic

    async def __call__(self, connection: Connection, added: Sequence[Added], *, most: int) -> list[Claim]:
        """Return at most so many claims, one a chat. The transaction's last act: chats and windows are locked from here on."""
        taken_at = self._monotonic()
        claims: list[Claim] = []
        stamps: dict[str, tuple[datetime, ...]] = {}
        chats = await self._free_chats(connection, _by_chat(added))
        for chat in chats:
            seen = replace(chat, windows={**chat.windows, **stamps})
            if len(claims) == most or opens(seen, calm_all(seen.limits)) > seen.now:
                continue
            entries, unrenderable = self._next.entries(seen)
            if unrenderable or not entries:
                continue  # the sender sees to it
            claim, taken = claim_of(
                seen,
                self._next.post(seen, entries),
                entries,
                deadline=timedelta(seconds=self._deadline),
                taken_at=taken_at,
            )
            claims.append(claim)
            stamps |= taken
        if claims:
            until = lease_until(chats[0].now, deadline=self._deadline)
            await lease(connection, claims, windows=stamps, until=until)
        return claims

    async def _free_chats(self, connection: Connection, asked: dict[str, list[Added]]) -> list[ChatQueue]:
        rows = await connection.fetch(_FREE_CHATS, list(asked), self._channel) if asked else []
        if not rows:
            return []
        limits: dict[str, tuple[Limit, ...]] = {row["key"]: self._limits(row["address"]) for row in rows}
        keys = sorted({limit.key for bounds in limits.values() for limit in bounds})
        ours = [each.id for several in asked.values() for each in several]
        windows = await connection.fetch(_WINDOWS, keys, list(limits), ours, self._channel)
        stamps = {each["key"]: tuple(each["stamps"]) for each in windows}
        return [
            ChatQueue(
                key=row["key"],
                address=row["address"],
                now=windows[0]["now"],
                waiting=tuple(_waiting(each) for each in asked[row["key"]][:HEAD]),
                windows=stamps,
                limits=limits[row["key"]],
                refused=row["refused"],
            )
            for row in rows
            if all(limit.key in stamps for limit in limits[row["key"]]) and row["key"] not in windows[0]["busy"]
        ]


def lease_until(now: datetime, *, deadline: float) -> datetime:
    """Twice the deadline, so that a slow sender has written its outcome down long before anyone thinks it dead."""
    return now + timedelta(seconds=2 * deadline + 5)


def _by_chat(added: Sequence[Added]) -> dict[str, list[Added]]:
    """Return what may go at once, by chat and in order; no chat in which notices of one subject came in another order."""
    chats: dict[str, list[Added]] = {}
    last: dict[tuple[str, str], int] = {}
    crossed: set[str] = set()
    for each in added:
        chat, notice = each.chosen.destination.chat, each.notice
        if notice.incident_id is not None or notice.hold_for or notice.document is None:
            crossed.add(chat)
            continue
        if notice.sequence < last.get((chat, notice.subject), notice.sequence):
            crossed.add(chat)
        last[chat, notice.subject] = notice.sequence
        chats.setdefault(chat, []).append(each)
    return {
        chat: sorted(several, key=lambda each: (each.notice.priority, each.id))
        for chat, several in chats.items()
        if chat not in crossed
    }


def _waiting(added: Added) -> Waiting:
    """Return a delivery as it would be read back."""
    notice, document = added.notice, added.notice.document
    return Waiting(
        id=added.id,
        notice_id=notice.id,
        kind=notice.kind,
        subject=notice.subject,
        order_number=notice.order_number,
        destination=added.chosen.destination.name,
        topic=added.chosen.destination.topic,
        document={} if document is None else document.to_json(),
        traceparent=notice.traceparent,
        occurred_at=notice.occurred_at,
        created_at=added.at,
        attempts=0,
        pages_done=0,
        possibly_repeated=False,
        alone=False,
        severity=notice.severity,
        priority=notice.priority,
        group=notice.group,
    )
