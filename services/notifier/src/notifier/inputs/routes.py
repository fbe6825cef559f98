"""The webhooks of Alertmanager and Sentry, and what of them could not be read. A repeated notification changes nothing but counters."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from common.clock import Clock
from common.errors import Forbidden, InvalidInput, NotFound, SuiteError, Unauthorized
from common.http import (
    BEARER,
    CONTENT,
    INTERNAL,
    OPERATOR,
    Page,
    PageQuery,
    Proof,
    Request,
    Route,
    TokenBook,
    listed,
    one_listed,
    read_route,
)
from common.http.endpoint import authorize
from common.postgres import Database
from notifier.incidents.refused import Refusals, address_of
from notifier.inputs.alert import read_notification
from notifier.inputs.alertmanager import SENDER as ALERTMANAGER
from notifier.inputs.alertmanager import IngestAlerts
from notifier.inputs.body import read_beginning, read_body
from notifier.inputs.lenient import json_of
from notifier.inputs.sentry import SENDER as SENTRY
from notifier.inputs.sentry import IngestSentry
from notifier.inputs.sentry_event import is_quiet, read
from notifier.inputs.unread import select_unread

_SCOPE = "notifier:alerts"
_SIGNATURE = "Sentry-Hook-Signature"
_RESOURCE = "Sentry-Hook-Resource"


class Unreadable(InvalidInput):
    """Nothing in the body could be read; it is kept, and a person is told."""

    code = "unreadable_notification"


class AlertmanagerNotification(BaseModel):
    """A body in the form of Alertmanager's webhook, read leniently: what is missing or odd does not keep the rest from being taken."""

    model_config = ConfigDict(extra="allow")

    alerts: Any = Field(
        default=None,
        description="alerts with `status`, `labels`, `annotations`, `startsAt`, `endsAt`, `generatorURL`, `fingerprint`",
    )
    truncatedAlerts: Any = Field(default=None, description="how many the sender left out")  # noqa: N815 - Alertmanager's own


class AlertsTaken(BaseModel):
    """The incidents that the alerts are, and how many parts were not taken: those are kept, and a person is told."""

    incidents: list[int]
    not_taken: int = 0


class SentryNotification(BaseModel):
    """A webhook of Sentry's integration platform, or of its older plugin; other fields are read too where they help."""

    model_config = ConfigDict(extra="allow")

    action: Any = None
    data: Any = None
    event: Any = None


class SentryTaken(BaseModel):
    """The incidents that it is, and the endangered order that its basket becomes, at the gateway."""

    incidents: list[int]
    endangered_order: str | None
    not_taken: int = 0


class UnreadAlert(BaseModel):
    """A notification of which `parts` were not taken; `text` is what they were, without contacts."""

    id: int
    sender: str
    reason: str
    parts: int
    text: Annotated[str, CONTENT]
    seen: int
    first_at: datetime
    last_at: datetime


class InputRoutes:
    """The handlers; ``routes`` is the table of them."""

    def __init__(
        self,
        *,
        ingest_alerts: IngestAlerts,
        ingest_sentry: IngestSentry,
        refusals: Refusals,
        tokens: TokenBook,
        sentry_secret: SecretStr | None,
        database: Database,
        clock: Clock,
    ) -> None:
        self._ingest_alerts = ingest_alerts
        self._ingest_sentry = ingest_sentry
        self._refusals = refusals
        self._tokens = tokens
        self._sentry_secret = sentry_secret
        self._database = database
        self._clock = clock

    async def alertmanager(self, request: web.Request) -> web.StreamResponse:
        """Take a notification of Alertmanager in."""
        try:
            authorize(request, tokens=self._tokens, demanded=INTERNAL, scope=_SCOPE)
        except (Unauthorized, Forbidden):
            beginning = read_notification(await read_beginning(request), now=self._clock.now())
            genuine = any(alert.labels or alert.bare for alert in beginning.alerts)
            await self._refusals.refused(ALERTMANAGER, genuine=genuine, address=address_of(request))
            raise
        _, content, cut_off = await read_body(request)
        notification = read_notification(content, now=self._clock.now(), cut_off=cut_off)
        incidents, not_taken = await self._ingest_alerts(
            notification,
            content=content,
            traceparent=request.headers.get("traceparent"),
            sender=f"{address_of(request)} {notification.sender}",
        )
        if not (notification.readable or notification.alerts):
            raise Unreadable("the body is no notification of Alertmanager; it is kept, and a person is told")
        if not not_taken:
            await self._refusals.accepted(ALERTMANAGER, address=address_of(request))
        return _answer(AlertsTaken(incidents=list(incidents), not_taken=not_taken))

    async def sentry(self, request: web.Request) -> web.StreamResponse:
        """Take a notification of Sentry in: signed by Sentry, or with a token."""
        signed, content, _ = await read_body(request)
        try:
            notification = json_of(content)
        except ValueError:
            notification = None
        try:
            self._authorize_sentry(request, signed)
        except (Unauthorized, Forbidden):
            genuine = self._is_sentrys(notification, request)
            await self._refusals.refused(SENTRY, genuine=genuine, address=address_of(request))
            raise
        taken = await self._ingest_sentry(
            notification,
            content=content,
            at=_hook_time(request.headers.get("Sentry-Hook-Timestamp"), now=self._clock.now()),
            resource=request.headers.get(_RESOURCE),
            traceparent=request.headers.get("traceparent"),
        )
        if notification is None:
            raise Unreadable("the body is no notification of Sentry; it is kept, and a person is told")
        if not taken.not_taken:
            await self._refusals.accepted(SENTRY, address=address_of(request))
        answer = SentryTaken(
            incidents=list(taken.incidents), endangered_order=taken.endangered, not_taken=taken.not_taken
        )
        return _answer(answer)

    async def unread(self, request: Request[None, PageQuery]) -> Page[UnreadAlert]:
        """Answer what was not taken, newest first."""
        return await listed(self._database, request.query, select_unread, key={"id": int}, item=_unread)

    async def one_unread(self, request: Request[None, None]) -> UnreadAlert:
        """Answer one notification of which not all was taken."""
        name = request.path_int("id")
        return await one_listed(self._database, select_unread((name + 1,), 1), named={"id": name}, item=_unread)

    def _authorize_sentry(self, request: web.Request, content: bytes) -> None:
        if _SIGNATURE in request.headers:
            self._check_signature(content, request.headers[_SIGNATURE])
        else:
            authorize(request, tokens=self._tokens, demanded=INTERNAL, scope=_SCOPE)

    def _is_sentrys(self, notification: Any, request: web.Request) -> bool:
        """Whether a body has the form of one of Sentry's."""
        if not isinstance(notification, Mapping):
            return False
        now = self._clock.now()
        return read(notification, now=now, at=now) is not None or is_quiet(notification, request.headers.get(_RESOURCE))

    def _check_signature(self, content: bytes, given: str) -> None:
        if self._sentry_secret is None:
            raise Unauthorized("no secret of Sentry's is known here")
        expected = hmac.new(self._sentry_secret.get_secret_value().encode(), content, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), given.strip().encode("utf-8", "replace")):
            raise Unauthorized("the signature does not fit")

    def routes(self) -> list[Route]:
        """Return the routes that other systems call, and the list of what was not taken."""
        errors: tuple[type[SuiteError], ...] = (Unauthorized, Forbidden, Unreadable)
        return [
            Route(
                method="POST",
                path="/alerts/v1/alertmanager",
                handler=self.alertmanager,
                summary="Alertmanager's webhook, from whoever speaks it",
                description=(
                    "Each alert is an incident under its own fingerprint; repeated notifications are only counted. Up to 16 MiB; "
                    "what is no alert is kept, counted in `not_taken` and told. Role: internal."
                ),
                request=AlertmanagerNotification,
                response=AlertsTaken,
                errors=errors,
                raw=True,
                proofs=(BEARER,),
                tags=("alerts",),
            ),
            Route(
                method="POST",
                path="/alerts/v1/sentry",
                handler=self.sentry,
                summary="Sentry's webhook",
                description=(
                    "Issues, errors, issue alerts and metric alerts of the integration platform, signed (`Sentry-Hook-Signature`), and "
                    "notifications of the older plugin, with a token of the role internal. A front end's error that carries an order "
                    "(`order`, or `basket` with `customer` and `address`, in `extra` or as contexts) becomes an endangered order. "
                    "Role: internal."
                ),
                request=SentryNotification,
                response=SentryTaken,
                errors=errors,
                raw=True,
                proofs=(BEARER, Proof.header(_SIGNATURE, "HMAC-SHA256 over the body")),
                tags=("alerts",),
            ),
            read_route(
                "/admin/v1/unread-alerts",
                self.unread,
                "What was not taken of other systems' alerts",
                Page[UnreadAlert],
                query=PageQuery,
                roles=OPERATOR,
            ),
            read_route(
                "/admin/v1/unread-alerts/{id}",
                self.one_unread,
                "One notification of another system of which not all was taken",
                UnreadAlert,
                errors=(NotFound,),
                roles=OPERATOR,
            ),
        ]


def _unread(row: Mapping[str, Any]) -> UnreadAlert:
    return UnreadAlert(**{name: row[name] for name in UnreadAlert.model_fields})


def _answer(taken: AlertsTaken | SentryTaken) -> web.Response:
    said = taken.model_dump(exclude=None if taken.not_taken else {"not_taken"})
    return web.json_response(said, headers={"Cache-Control": "no-store"})


def _hook_time(header: str | None, *, now: datetime) -> datetime:
    """Return when Sentry says that it happened: the end of its whole second, which may not be over yet."""
    if header is None or not (header.isascii() and header.isdigit() and len(header) <= 11):
        return now
    return min(now + timedelta(seconds=1), datetime.fromtimestamp(int(header) + 1, UTC))
