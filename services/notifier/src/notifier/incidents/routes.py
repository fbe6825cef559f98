"""What operators ask and do (CONTRACT 7): the notification log, incidents, routes, a test message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from common.clock import Clock
from common.errors import Conflict, InvalidInput, NotFound
from common.http import OPERATOR, VIEWER, Page, Request, Route, audit, decode_cursor, once, page_of
from common.postgres import Connection, Database
from common.telemetry import inject
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
        incident_store_on: type[IncidentStore],
        notifications_on: Callable[[Connection], NotificationStore],
        act: ActOnIncident,
        send_test: SendTest,
        trials: RouteTrials,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._reader = reader
        self._incident_store_on = incident_store_on
        self._notifications_on = notifications_on
        self._act = act
        self._send_test = send_test
        self._trials = trials
        self._clock = clock
        self._wake = wake

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

    def acting(self, act: Act) -> Callable[[Request[models.IncidentChange, None]], Any]:
        """Return the handler of one act on an incident."""

        async def handle(request: Request[models.IncidentChange, None]) -> Any:
            """Carry the act out once for an Idempotency-Key."""
            incident_id = request.path_int("id")
            body = request.body

            async def transaction() -> Any:
                """Act as a whole; done again while a call is on its way."""
                async with self._database.transaction() as connection:

                    async def work() -> models.IncidentChanged:
                        """Act, in the transaction of the key."""
                        incident_store = self._incident_store_on(
                            connection, principal=request.principal, request_id=request.request_id
                        )
                        incident, state = await self._act(
                            incident_store,
                            self._notifications_on(connection),
                            incident_id=incident_id,
                            act=act,
                            actor=request.principal.name,
                            text=body.reason,
                            dry_run=body.dry_run,
                            take_over=body.take_over,
                        )
                        return models.IncidentChanged(
                            id=incident_id, before=incident.state.value, after=state.value, dry_run=body.dry_run
                        )

                    return await once(connection, request, work)

            answer = await patiently(transaction, seconds=_CALL_SECONDS)
            self._wake()
            return answer

        return handle

    async def test_message(self, request: Request[TestMessage, None]) -> Any:
        """Put a test message into a destination's lane."""
        body = request.body
        destination = self._send_test.destination(body.destination)
        headers: dict[str, str] = {}
        inject(headers)

        async with self._database.transaction() as connection:

            async def work() -> TestMessageAccepted:
                """Put the message into its lane, in the transaction of the key."""
                notice_id = None
                if not body.dry_run:
                    notice_id = await self._send_test(
                        self._notifications_on(connection),
                        name=body.destination,
                        text=body.text,
                        now=self._clock.now(),
                        traceparent=headers.get("traceparent"),
                    )
                    await audit.record(
                        connection,
                        principal=request.principal,
                        action="message.test",
                        target=f"destination:{body.destination}",
                        reason=body.reason,
                        before=None,
                        after={"notice": notice_id},
                        request_id=request.request_id,
                    )
                return TestMessageAccepted(
                    notice_id=notice_id,
                    channel=destination.channel,
                    address=destination.address,
                    dry_run=body.dry_run,
                )

            answer = await once(connection, request, work)
        self._wake()
        return answer

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
                handler=self.acting(act),
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
    return Notification(
        notice_id=row["notice_id"],
        delivery_id=row["delivery_id"] or None,
        kind=row["kind"],
        transition=row["transition"],
        severity=row["severity"],
        order_number=row["order_number"],
        incident_id=row["incident_id"],
        state=row["state"],
        reason=row["reason"],
        destination=row["destination"],
        channel=row["channel"],
        lane=row["lane"],
        topic=row["topic"],
        route=row["route"],
        fallback_of=row["fallback_of"],
        digest_id=row["digest_id"],
        attempts=row["attempts"] or 0,
        possibly_repeated=bool(row["possibly_repeated"]),
        message_ids=row["message_ids"] or [],
        text=text,
        event_id=row["event_id"],
        occurred_at=row["occurred_at"],
        created_at=row["created_at"],
        not_before=row["not_before"],
        sent_at=row["sent_at"],
    )
