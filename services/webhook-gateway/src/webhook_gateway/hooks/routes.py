"""The addresses that marketplaces call. Raw routes: bytes in, one parse, no model on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from common.clock import Clock
from common.errors import Forbidden, InvalidInput, NotFound, Unauthorized, Unavailable, Unprocessable
from common.http import Proof, Route
from common.telemetry import current_traceparent, get_logger, report_exception
from webhook_gateway.countdowns.model import Reason
from webhook_gateway.countdowns.watch import WatchAnswers
from webhook_gateway.durable.model import NoStoragePath
from webhook_gateway.hooks.accept import AcceptHook
from webhook_gateway.hooks.answer import answer
from webhook_gateway.hooks.authentication import UNAUTHORIZED
from webhook_gateway.hooks.metrics import RequestMetrics
from webhook_gateway.hooks.model import UNKNOWN_SOURCE, UNREADABLE, Outcome, Source, Verdict
from webhook_gateway.hooks.reading import created_order, read_hook
from webhook_gateway.hooks.refusals import CountRefusals
from webhook_gateway.hooks.request import FAULTS, BodyFault, BodyState, masked_headers, read_body, text_of
from webhook_gateway.source_watch.budget import ReadingBudget
from webhook_gateway.source_watch.model import Claim, Refused

_log = get_logger()
_SBERMARKET = "sbermarket"
_NOT_GOOD = 300
_CLAIM_DEADLINE_S = 1.0
_PROOFS = (
    Proof.header("Client-token", "a token of the source"),
    Proof.header("webhook-signature", "Standard Webhooks, over id, time and body"),
    Proof("basic", {"type": "http", "scheme": "basic", "description": "the source's name and password"}),
)
_CHALLENGE = 'Basic realm="hooks", charset="UTF-8"'


class HookBody(BaseModel):
    """A hook, as far as the gateway needs it; unknown fields are kept."""

    model_config = ConfigDict(extra="allow")

    event_type: str
    timestamp: str | None = None
    payload: dict[str, object]


class HookAnswer(BaseModel):
    """What a marketplace is answered: always the same number for the same order."""

    status: Literal["created", "ok", "ignored"]
    number: str | None = None


@dataclass(slots=True)
class _Arrival:
    """When a request came, and what was read of it once it was known to be genuine."""

    at: datetime
    genuine: bytes | None = None


class HookRoutes:
    """Serves the two addresses. Every request ends with exactly one outcome, counted when it is answered."""

    def __init__(
        self,
        *,
        sources: Mapping[str, Source],
        accept: AcceptHook,
        refusals: CountRefusals,
        watch: WatchAnswers,
        refused: Callable[[Refused], None],
        reading: ReadingBudget,
        metrics: RequestMetrics,
        clock: Clock,
        largest: int,
        kept: int,
        slowest: float,
    ) -> None:
        """``refused`` is called with requests that proved nothing, as far as ``reading`` allows to look into them.

        ``largest`` and ``kept`` are bytes (of a larger hook only ``kept`` bytes are stored), ``slowest`` is seconds for a whole body."""
        self._sources = sources
        self._accept = accept
        self._refusals = refusals
        self._watch = watch
        self._metrics = metrics
        self._clock = clock
        self._refused = refused
        self._reading = reading
        self._read_body = partial(read_body, limit=largest, kept=kept, deadline=slowest)
        self._read_claim = partial(read_body, limit=kept, kept=kept, deadline=_CLAIM_DEADLINE_S)

    def routes(self) -> list[Route]:
        """Return the two addresses, which differ in how the source is named."""
        hook = partial(
            Route,
            method="POST",
            description="Authentication is the source's own: `Client-token`, Standard Webhooks, or HTTP Basic.",
            request=HookBody,
            response=HookAnswer,
            errors=(InvalidInput, Unauthorized, Forbidden, NotFound, Unprocessable, Unavailable),
            raw=True,
            proofs=_PROOFS,
            tags=("hooks",),
        )
        return [
            hook(path="/hooks/v1/{source}", handler=self.hook, summary="Take a marketplace's hook"),
            hook(path="/sbermarket/orders/hook/", handler=self.sbermarket_hook, summary="Take a hook of SberMarket"),
        ]

    async def hook(self, request: web.Request) -> web.StreamResponse:
        """Take a hook of the source named in the path."""
        return await self.take(request, request.match_info["source"])

    async def sbermarket_hook(self, request: web.Request) -> web.StreamResponse:
        """Take a hook at the address that SberMarket's own documentation prescribes."""
        return await self.take(request, _SBERMARKET)

    async def take(self, request: web.Request, name: str) -> web.StreamResponse:
        """Take a hook of a source, wherever its name came from."""
        started = perf_counter()
        arrival = _Arrival(self._clock.now())
        source = self._sources.get(name)
        if source is None:
            return await self.misplaced(request, HTTPStatus.NOT_FOUND, "not_found")
        self._refusals.received(name, arrival.at)
        try:
            verdict = await self._judge(request, source, arrival)
        except NoStoragePath:
            verdict = _refusal(503, "no_lane", "the hook cannot be stored now; try again")
        except Exception as error:  # noqa: BLE001 - 503 is the only 5xx there is
            verdict = _unexpected(error, name)
        response = self._answer(verdict, name, started, arrival.at)
        late: Reason | None = None
        if perf_counter() - started > source.schedule.answer_within:
            late = "slow"
        elif request.transport is None:
            late = "hung_up"
        body = arrival.genuine
        if body is not None and (late or verdict.status >= _NOT_GOOD or self._watch.waiting):
            self._watch.answered(name, created_order(body), received_at=arrival.at, status=verdict.status, late=late)
        return response

    async def _judge(self, request: web.Request, source: Source, arrival: _Arrival) -> Verdict:
        headers = request.headers
        authenticator = source.authenticator
        if not authenticator.head_is_genuine(headers):
            return await self._refuse_unproven(request, source, arrival)
        body = await self._read_body(request)
        proven = not authenticator.signs_body
        if proven:
            arrival.genuine = body.content  # also when it is not whole
        if body.state is not BodyState.COMPLETE:
            fault = FAULTS[body.state]
            whole = body.state is BodyState.UNSUPPORTED
            if not proven and not (whole and authenticator.body_is_genuine(headers, body.content, now=arrival.at)):
                # The signature covers all of a body, so nobody can say whose a part is: not kept, but noted, as it may well be genuine.
                await self._note_refused(request, source, fault.status, arrival.at, body.content)
                return _refusal(fault.status, fault.code, fault.detail)
            return await self._keep_incomplete(request, source, body.content, fault, arrival)
        if not authenticator.body_is_genuine(headers, body.content, now=arrival.at):
            return await self._refuse_unproven(request, source, arrival, body.content)
        arrival.genuine = content = text_of(request, body.content)
        return await self._accept(
            source,
            content,
            headers=masked_headers(headers.items(), authenticator.secret_headers),
            received_at=arrival.at,
            traceparent=current_traceparent(),
        )

    async def _keep_incomplete(
        self, request: web.Request, source: Source, content: bytes, fault: BodyFault, arrival: _Arrival
    ) -> Verdict:
        arrival.genuine = content
        return await self._accept.incomplete(
            source,
            content,
            fault,
            headers=masked_headers(request.headers.items(), source.authenticator.secret_headers),
            received_at=arrival.at,
            traceparent=current_traceparent(),
        )

    async def _refuse_unproven(
        self, request: web.Request, source: Source, arrival: _Arrival, content: bytes | None = None
    ) -> Verdict:
        """Answer 401 or 403. What the body says it is is noted: it may be a genuine hook whose proof is right no more."""
        authenticator = source.authenticator
        await self._note_refused(request, source, authenticator.refusal, arrival.at, content)
        return _not_genuine(authenticator.refusal)

    async def _note_refused(
        self, request: web.Request, source: Source | None, status: int, at: datetime, content: bytes | None
    ) -> None:
        if content is None and request.can_read_body and self._reading.take():
            content = (await self._read_claim(request)).content
        claim = None if not content else _claim(content)
        presented = source is not None and any(name in request.headers for name in source.authenticator.secret_headers)
        if claim is not None or presented:
            name = None if source is None else source.name
            self._refused(Refused(source=name, status=status, at=at, claim=claim))

    async def misplaced(self, request: web.Request, status: int, code: str) -> web.StreamResponse:
        """Refuse a request that came to an address, or by a method, that takes no hook.

        A genuine one is quarantined all the same, whatever source it is of. Counted as every request is.
        """
        started = perf_counter()
        arrival = _Arrival(self._clock.now())
        source = self.sender(request)
        name = UNKNOWN_SOURCE if source is None else source.name
        self._refusals.received(name, arrival.at)
        verdict = _refusal(status, code, "no hook is taken here")
        try:
            if source is not None and request.can_read_body:
                body = await self._read_body(request)
                fault = BodyFault(status, code, verdict.detail, "wrong_address")
                verdict = await self._keep_incomplete(request, source, body.content, fault, arrival)
                created = created_order(body.content)
                self._watch.answered(name, created, received_at=arrival.at, status=status, late=None)
            elif source is None:
                await self._note_refused(request, None, status, arrival.at, None)
        except Exception as error:  # noqa: BLE001 - it is refused anyhow
            verdict = _unexpected(error, name)
        return self._answer(verdict, name, started, arrival.at)

    def sender(self, request: web.Request) -> Source | None:
        """Return the source whose head proves itself, wherever it was sent; a signature needs the body and is not looked for."""
        for source in self._sources.values():
            if not source.authenticator.signs_body and source.authenticator.head_is_genuine(request.headers):
                return source
        return None

    def _answer(self, verdict: Verdict, source: str, started: float, at: datetime) -> web.StreamResponse:
        if verdict.outcome is Outcome.REFUSED:
            self._refusals.count(source, verdict.code, at)
        else:
            self._refusals.taken(source, at)
        self._metrics.answered(source, verdict.event, verdict.outcome, perf_counter() - started)
        return answer(verdict, challenge=_CHALLENGE)


def _claim(content: bytes) -> Claim | None:
    """Return what an unproven body says it is, None when it reads as no hook of an order."""
    created = created_order(content)
    external_id = created or read_hook(content).external_id
    if external_id is None:
        return None
    return Claim(external_id, hashlib.sha256(content).hexdigest(), created is not None)


def _refusal(status: int, code: str, detail: str) -> Verdict:
    return Verdict(status=status, event=UNREADABLE, outcome=Outcome.REFUSED, code=code, detail=detail)


def _not_genuine(status: int) -> Verdict:
    code = "unauthorized" if status == UNAUTHORIZED else "forbidden"
    return _refusal(status, code, "the request does not prove that it comes from this source")


def _unexpected(error: Exception, source: str) -> Verdict:
    _log.error("intake_failed", source=source, exc_info=error)
    report_exception(error, source=source)
    return _refusal(503, "internal_error", "an unexpected error; it has been reported; try again")
