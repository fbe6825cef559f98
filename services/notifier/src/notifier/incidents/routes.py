"""What operators ask and do: the notification log, incidents, routes, a test message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from common.errors import Conflict, InvalidInput, NotFound
from common.http import OPERATOR, VIEWER, Answer, Change, Changes, Page, Request, Route, decode_cursor, page_of
from common.postgres import Database
from notifier.delivery.notifications import NotificationStore
from notifier.delivery.reads import NotificationReads
from notifier.delivery.send_test import SendTest
from notifier.delivery.views import Notification, NotificationQuery, TestMessage, TestMessageAccepted, uuid_text
from notifier.incidents import views as models
from notifier.incidents.act import Act, ActOnIncident, patiently
from notifier.incidents.model import CallUnderWay
from notifier.incidents.store import IncidentStore
from notifier.messages.document import Document, text_of
from notifier.routing.trial import RouteTrials
from notifier.routing.views import RouteAnswer, RouteQuestion

_ADMIN = ("admin",)
_CALL_SECONDS = 8.0


class IncidentRoutes:
    """The handlers; ``routes`` is the table of them."""

    def __init__(
        self,
        *,
        database: Database,
        reader: NotificationReads,
        act: ActOnIncident,
        send_test: SendTest,
        trials: RouteTrials,
        wake: Callable[[], None],
    ) -> None:
        self._changes = Changes(database, committed=wake)
        self._reader = reader
        self._act = act
        self._send_test = send_test
        self._trials = trials

    async def notifications(self, request: Request[None, NotificationQuery]) -> Page[Notification]:
        """Answer what was sent where, when, and why or why not."""
        query = request.query
        position = decode_cursor(query.cursor, str, int)
        rows = await self._reader.notifications(
            incident=query.incident,
            order=query.order,
            state=query.state,
            before=None if position is None else (uuid_text(position[0]), position[1]),
            limit=query.limit + 1,
        )
        return page_of(
            rows, limit=query.limit, item=_notification, key=lambda row: (row["notice_id"], row["delivery_id"])
        )

    async def incidents(self, request: Request[None, models.IncidentQuery]) -> Page[models.IncidentView]:
        """Answer the incidents."""
        query = request.query
        position = decode_cursor(query.cursor, int)
        rows = await self._reader.incidents(
            state=query.state,
            severity=query.severity,
            order=query.order,
            before=None if position is None else position[0],
            limit=query.limit + 1,
        )
        return page_of(
            rows, limit=query.limit, item=lambda row: models.IncidentView(**row), key=lambda row: (row["id"],)
        )

    async def act(self, act: Act, request: Request[models.IncidentChange, None]) -> Answer:
        """Carry an act on an incident out, once for an Idempotency-Key; done again while a call is on its way."""
        work = partial(self._acted, act, request)
        return await patiently(lambda: self._changes.carry_out(request, work), seconds=_CALL_SECONDS)

    async def _acted(
        self, act: Act, request: Request[models.IncidentChange, None], change: Change
    ) -> models.IncidentChanged:
        incident_id = request.path_int("id")
        incident, state = await self._act(
            IncidentStore(change.connection, principal=request.principal, request_id=request.request_id),
            NotificationStore(change.connection),
            incident_id=incident_id,
            act=act,
            actor=request.principal.name,
            text=request.body.reason,
            dry_run=change.dry_run,
            take_over=request.body.take_over,
        )
        return models.IncidentChanged(
            id=incident_id, before=incident.state.value, after=state.value, dry_run=change.dry_run
        )

    async def test_message(self, request: Request[TestMessage, None]) -> Answer:
        """Put a test message into a destination's chat."""
        return await self._changes.carry_out(request, partial(self._send_test, request.body))

    def routes(self) -> list[Route]:
        """Return the table of admin routes."""
        lists = [
            Route(
                method="GET",
                path="/admin/v1/notifications",
                handler=self.notifications,
                summary="What was sent where, when, and why or why not",
                query=NotificationQuery,
                response=Page[Notification],
                roles=VIEWER,
                tags=_ADMIN,
            ),
            Route(
                method="GET",
                path="/admin/v1/incidents",
                handler=self.incidents,
                summary="Problems, newest first",
                query=models.IncidentQuery,
                response=Page[models.IncidentView],
                roles=VIEWER,
                tags=_ADMIN,
            ),
            Route(
                method="POST",
                path="/admin/v1/routes/dry-run",
                handler=self._trials.dry_run,
                summary="Who would be told of such an event, and of the events of the past?",
                request=RouteQuestion,
                response=RouteAnswer,
                errors=(InvalidInput,),
                roles=VIEWER,
                tags=_ADMIN,
            ),
            Route(
                method="POST",
                path="/admin/v1/test-message",
                handler=self.test_message,
                summary="Send a test message to a destination",
                request=TestMessage,
                response=TestMessageAccepted,
                status=202,
                errors=(NotFound, Conflict),
                roles=OPERATOR,
                tags=_ADMIN,
                idempotent=True,
            ),
        ]
        acts: tuple[tuple[Act, str], ...] = (
            ("ack", "Take an incident: mine, nobody else needs to act"),
            ("resolve", "Close an incident"),
            ("comment", "Add a remark to an incident's history"),
        )
        return lists + [
            Route(
                method="POST",
                path=f"/admin/v1/incidents/{{id}}/{act}",
                handler=partial(self.act, act),
                summary=summary,
                request=models.IncidentChange,
                response=models.IncidentChanged,
                errors=(NotFound, Conflict, CallUnderWay),
                roles=OPERATOR,
                tags=_ADMIN,
                idempotent=True,
            )
            for act, summary in acts
        ]


def _notification(row: Mapping[str, Any]) -> Notification:
    document = row["document"]
    text = None if document is None else "\n".join(text_of(line) for line in Document.from_json(document).flatten())
    known = {
        **row,
        "delivery_id": row["delivery_id"] or None,
        "attempts": row["attempts"] or 0,
        "possibly_repeated": bool(row["possibly_repeated"]),
        "message_ids": row["message_ids"] or [],
        "text": text,
    }
    return Notification.model_validate(known)
