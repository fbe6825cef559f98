"""The notification log and test messages by HTTP (`/admin/v1/notifications`, `/admin/v1/test-message`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from common.errors import Conflict, InvalidInput, NotFound
from common.http import Answer, Changes, Page, Request, Route, change_route, listed, read_route
from common.postgres import Database
from notifier.delivery.reads import NotificationReads, select_notifications
from notifier.delivery.send_test import SendTest
from notifier.delivery.views import (
    NoticeStory,
    Notification,
    NotificationQuery,
    TestMessage,
    TestMessageAccepted,
    Told,
    ToldQuery,
)
from notifier.messages.document import Document, text_of

_DAY = timedelta(days=1)
_FIRST = datetime(1970, 1, 2, tzinfo=UTC)
_MOST_COPIES = 200
_WAYS = {
    "spool": ": the broker was away, and the gateway kept the hook",
    "queue": ": its queue waited",
    "person": ": a person sent the hook again",
}


class DeliveryRoutes:
    """The handlers; ``routes`` is the table of them."""

    def __init__(self, *, database: Database, send_test: SendTest, wake: Callable[[], None]) -> None:
        self._changes = Changes(database, committed=wake)
        self._database = database
        self._send_test = send_test
        self._reads = NotificationReads(database)

    async def notifications(self, request: Request[None, NotificationQuery]) -> Page[Notification]:
        """Answer what was sent where, when, and why or why not."""
        query = request.query

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, Sequence[Any]]:
            """Return the statement of a page and its values."""
            wanted = {"incident": query.incident, "order": query.order, "trace": query.trace}
            return select_notifications(**wanted, state=query.state, before=after, limit=limit)

        key = {"notice_id": UUID, "delivery_id": int}
        return await listed(self._database, query, select, key=key, item=notification_of)

    async def told(self, request: Request[None, ToldQuery]) -> Told:
        """Count the notices of new orders in a period. Raises ``InvalidInput`` where it has no length."""
        until = request.query.until or datetime.now(UTC)
        since = request.query.since or max(until, _FIRST) - _DAY
        if until <= since:
            raise InvalidInput("`to` must be after `from`")
        return Told(since=since, until=until, **await NotificationReads(self._database).told(since, until))

    async def notice(self, request: Request[None, None]) -> NoticeStory:
        """Answer one notice: what was said, and where each copy of it went or why not."""
        try:
            name = UUID(request.path["id"])
        except ValueError:
            raise NotFound("no such notice") from None
        found = [notification_of(row) for row in await self._reads.notice(name, limit=_MOST_COPIES)]
        if not found:
            raise NotFound("no such notice")
        told = {name: getattr(found[0], name) for name in NoticeStory.model_fields if name != "deliveries"}
        return NoticeStory(**told, deliveries=found)

    async def test_message(self, request: Request[TestMessage, None]) -> Answer:
        """Put a test message into a destination's chat."""
        return await self._changes.carry_out(request, partial(self._send_test, request.body))

    def routes(self) -> list[Route]:
        """Return the table of admin routes."""
        return [
            read_route(
                "/admin/v1/told-orders",
                self.told,
                "Of how many new orders a chat was told",
                Told,
                query=ToldQuery,
                errors=(InvalidInput,),
            ),
            read_route(
                "/admin/v1/notifications",
                self.notifications,
                "What was sent where, when, and why or why not",
                Page[Notification],
                query=NotificationQuery,
            ),
            read_route(
                "/admin/v1/notifications/{id}",
                self.notice,
                "One message: what it said, where it went, and why or why not",
                NoticeStory,
                errors=(NotFound,),
            ),
            change_route(
                "POST",
                "/admin/v1/test-message",
                self.test_message,
                "Send a test message to a destination",
                TestMessage,
                TestMessageAccepted,
                status=202,
                errors=(NotFound, Conflict),
            ),
        ]


def notification_of(row: Mapping[str, Any]) -> Notification:
    """Read a row of the notification log, with the text as it was sent."""
    document = row["document"]
    text = None if document is None else "\n".join(text_of(line) for line in Document.from_json(document).flatten())
    known = {
        **row,
        "delivery_id": row["delivery_id"] or None,
        "attempts": row["attempts"] or 0,
        "possibly_repeated": bool(row["possibly_repeated"]),
        "message_ids": row["message_ids"] or [],
        "text": text,
        "waited": waited(row),
    }
    return Notification.model_validate(known)


def waited(row: Mapping[str, Any]) -> str | None:
    """Say where the time went between a hook's receipt and its notice, part by part; of other notices how long they waited here.

    The parts add up to the whole, but for half a second: what one of them leaves of a second is the next one's. A clock that is ahead makes
    no part longer than the whole.
    """
    received, since, parts = row["received_at"], row["received_at"] or row["created_at"], list[str]()
    steps = [(row["sent_at"], "in the notifier")]
    if received is not None:
        steps = [
            (row["taken_at"], f"before the orchestrator{_WAYS.get(row['came_by'], '')}"),
            (row["occurred_at"], "in the orchestrator: it waited for its turn, for another event or for a person"),
            (row["created_at"], "before the notifier: the broker was away, or its queue waited"),
            *steps,
        ]
    for until, where in steps:
        until = until if until is None or row["sent_at"] is None else min(until, row["sent_at"])
        if until is not None and (seconds := round((until - since).total_seconds())) > 0:
            since += timedelta(seconds=seconds)
            parts.append(f"{seconds} s {where}")
    return "; ".join(parts) or None
