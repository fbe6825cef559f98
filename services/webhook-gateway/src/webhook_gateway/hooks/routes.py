"""The addresses that marketplaces call. Raw routes: bytes in, one parse, no model on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from common.clock import Clock
from common.errors import Forbidden, InvalidInput, NotFound, Unauthorized, Unavailable, Unprocessable
from common.http import Route
from common.telemetry import current_traceparent, get_logger, report_exception
from webhook_gateway.countdowns.model import Reason
from webhook_gateway.countdowns.watch import WatchAnswers
from webhook_gateway.durable.model import NoStoragePath
from webhook_gateway.hooks.accept import AcceptHook
from webhook_gateway.hooks.answer import answer
from webhook_gateway.hooks.authentication import UNAUTHORIZED
from webhook_gateway.hooks.metrics import RequestMetrics
from webhook_gateway.hooks.model import UNKNOWN_SOURCE, UNREADABLE, Outcome, Source, Verdict
from webhook_gateway.hooks.reading import created_order
from webhook_gateway.hooks.refusals import CountRefusals
from webhook_gateway.hooks.request import BodyState, masked_headers, read_body

_log = get_logger()
_SBERMARKET = "sbermarket"
_NOT_GOOD = 300
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
        metrics: RequestMetrics,
        clock: Clock,
        largest: int,
        kept: int,
        slowest: float,
    ) -> None:
        """``largest`` and ``kept`` are bytes (of a larger hook only ``kept`` bytes are stored), ``slowest`` is seconds for a whole body."""
        self._sources = sources
        self._accept = accept
        self._refusals = refusals
        self._watch = watch
        self._metrics = metrics
        self._clock = clock
        self._read_body = partial(read_body, limit=largest, kept=kept, deadline=slowest)

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
            tags=("hooks",),
        )
        return [
            hook(path="/hooks/v1/{source}", handler=self.hook, summary="Take a marketplace's hook"),
            hook(path="/sbermarket/orders/hook/", handler=self.sbermarket_hook, summary="Take a hook of SberMarket"),
        ]

    async def hook(self, request: web.Request) -> web.StreamResponse:
        """Take a hook of the source named in the path."""
        return await self._take(request, request.match_info["source"])

    async def sbermarket_hook(self, request: web.Request) -> web.StreamResponse:
        """Take a hook at the address that SberMarket's own documentation prescribes."""
        return await self._take(request, _SBERMARKET)

    async def _take(self, request: web.Request, name: str) -> web.StreamResponse:
        started = perf_counter()
        arrival = _Arrival(self._clock.now())
        source = self._sources.get(name)
        if source is None:
            return self._answer(_refusal(404, "not_found", "no such source"), UNKNOWN_SOURCE, started)
        try:
            verdict = await self._judge(request, source, arrival)
        except NoStoragePath:
            verdict = _refusal(503, "no_lane", "the hook cannot be stored now; try again")
        except Exception as error:  # noqa: BLE001 - 503 is the only 5xx there is
            verdict = _unexpected(error, name)
        response = self._answer(verdict, name, started)
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
            return _not_genuine(authenticator.refusal)
        body = await self._read_body(request)
        proven = not authenticator.signs_body
        if proven:
            arrival.genuine = body.content  # also when it is not whole
        if body.state is BodyState.TOO_SLOW:
            return _refusal(408, "request_timeout", "the body did not arrive in time")
        if body.state is BodyState.BROKEN:
            return _refusal(400, "broken_body", "the body did not arrive whole")
        if body.state is BodyState.TOO_LARGE and not proven:
            # Its signature covers all of it, so nobody can say whose it is: not kept.
            return _refusal(413, "payload_too_large", "the body is larger than what one hook may be")
        if not authenticator.body_is_genuine(headers, body.content, now=arrival.at):
            return _not_genuine(authenticator.refusal)
        arrival.genuine = body.content
        take = self._accept if body.state is BodyState.COMPLETE else self._accept.oversized
        return await take(
            source,
            body.content,
            headers=masked_headers(headers.items(), authenticator.secret_headers),
            received_at=arrival.at,
            traceparent=current_traceparent(),
        )

    def _answer(self, verdict: Verdict, source: str, started: float) -> web.StreamResponse:
        if verdict.outcome is Outcome.REFUSED:
            self._refusals.count(source, verdict.code)
        self._metrics.answered(source, verdict.event, verdict.outcome, perf_counter() - started)
        return answer(verdict, challenge=_CHALLENGE)


def _refusal(status: int, code: str, detail: str) -> Verdict:
    return Verdict(status=status, event=UNREADABLE, outcome=Outcome.REFUSED, code=code, detail=detail)


def _not_genuine(status: int) -> Verdict:
    code = "unauthorized" if status == UNAUTHORIZED else "forbidden"
    return _refusal(status, code, "the request does not prove that it comes from this source")


def _unexpected(error: Exception, source: str) -> Verdict:
    _log.error("intake_failed", source=source, exc_info=error)
    report_exception(error, source=source)
    return _refusal(503, "internal_error", "an unexpected error; it has been reported; try again")
