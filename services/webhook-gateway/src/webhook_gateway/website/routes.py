"""The address that websites place orders at. A raw route: bytes in, one parse, no model on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from common.clock import Clock
from common.errors import Forbidden, InvalidInput, TooMany, Unauthorized, Unavailable, Unprocessable
from common.http import Principal, Route, TokenBook
from common.telemetry import current_traceparent
from webhook_gateway.hooks.answer import answer
from webhook_gateway.hooks.metrics import RequestMetrics
from webhook_gateway.hooks.model import WEBSITE, Outcome, Verdict
from webhook_gateway.hooks.refusals import CountRefusals
from webhook_gateway.hooks.request import Body, BodyState, masked_headers, read_body
from webhook_gateway.website.accept import AcceptWebsiteOrder, Refusal, Submission
from webhook_gateway.website.callers import Network, client_ip

MANAGER_HEADER = "X-Manager-Id"
"""Names the manager who places an order for a customer; it gives no right, it shows when their own token was not used."""

_CHALLENGE = 'Bearer realm="suite"'
_ROLES = frozenset({"website", "website_manager"})
_LONGEST_KEY = 255
_REFUSED_BODIES: Mapping[BodyState, Refusal] = {
    BodyState.TOO_LARGE: Refusal(status=413, code="payload_too_large", detail="the order is too large"),
    BodyState.TOO_SLOW: Refusal(status=408, code="request_timeout", detail="the body did not arrive in time"),
    BodyState.BROKEN: Refusal(status=400, code="broken_body", detail="the body did not arrive whole"),
}


class WebsiteOrderBody(BaseModel):
    """A website's order; unknown fields are kept."""

    model_config = ConfigDict(extra="allow")

    externalId: str | None = None  # noqa: N815 - the field's name on the wire
    positions: list[dict[str, object]]


class WebsiteOrderAnswer(BaseModel):
    """The order is safe; this is its number."""

    number: str


class WebsiteRoutes:
    """Serves ``POST /api/v1/orders/``. Whatever is not answered 201 has been kept as endangered."""

    def __init__(
        self,
        *,
        tokens: TokenBook,
        was_manager: Callable[[bytes], bool],
        accept: AcceptWebsiteOrder,
        refusals: CountRefusals,
        metrics: RequestMetrics,
        clock: Clock,
        trusted: Sequence[Network],
        largest: int,
        slowest: float,
    ) -> None:
        """``was_manager`` knows the SHA-256 of every manager token that was ever valid; ``trusted`` are the proxies that are believed.

        ``largest`` is bytes of a body, ``slowest`` seconds until it has arrived.
        """
        self._tokens = tokens
        self._was_manager = was_manager
        self._accept = accept
        self._refusals = refusals
        self._metrics = metrics
        self._clock = clock
        self._trusted = trusted
        self._largest = largest
        self._slowest = slowest

    def routes(self) -> list[Route]:
        """Return the one address."""
        return [
            Route(
                method="POST",
                path="/api/v1/orders/",
                handler=self.order,
                summary="Place an order from a website",
                description=(
                    "Bearer token with role `website`, limited by the customer's phone, address and IP (429 with `Retry-After`), or "
                    f"`website_manager`, never limited. `{MANAGER_HEADER}` names the manager who places it. Every other answer than "
                    "201 keeps the order as endangered."
                ),
                request=WebsiteOrderBody,
                response=WebsiteOrderAnswer,
                status=201,
                errors=(InvalidInput, Unauthorized, Forbidden, Unprocessable, TooMany, Unavailable),
                idempotent=True,
                raw=True,
                tags=("website",),
            )
        ]

    async def order(self, request: web.Request) -> web.StreamResponse:
        """Take a website's order."""
        started = perf_counter()
        principal = self._tokens.from_header(request.headers.get("Authorization"))
        body = await read_body(request, limit=self._largest, kept=self._largest, deadline=self._slowest)
        submission = self._submission(request, body, principal)
        try:
            refusal = _refusal(request, body, principal)
            verdict = await (self._accept(submission) if refusal is None else self._accept.refuse(submission, refusal))
        except Exception as error:  # noqa: BLE001 - 503 is the only 5xx there is, and the order is kept
            verdict = await self._accept.broken(submission, error)
        return self._answer(verdict, started)

    def _submission(self, request: web.Request, body: Body, principal: Principal | None) -> Submission:
        headers = request.headers
        return Submission(
            body=body.content,
            headers=masked_headers(headers.items()),
            received_at=self._clock.now(),
            traceparent=current_traceparent(),
            idempotency_key=headers.get("Idempotency-Key", "").strip()[:_LONGEST_KEY] or None,
            manager=principal is not None and principal.role == "website_manager",
            manager_sign=MANAGER_HEADER in headers
            or (principal is None and self._was_manager(_token_digest(headers.get("Authorization", "")))),
            ip=client_ip(request.remote, headers.getall("X-Forwarded-For", []), self._trusted),
        )

    def _answer(self, verdict: Verdict, started: float) -> web.StreamResponse:
        if verdict.outcome is Outcome.REFUSED:
            self._refusals.count(WEBSITE, verdict.code)
        self._metrics.answered(WEBSITE, verdict.event, verdict.outcome, perf_counter() - started)
        return answer(verdict, challenge=_CHALLENGE)


def _refusal(request: web.Request, body: Body, principal: Principal | None) -> Refusal | None:
    if principal is None:
        return Refusal(status=401, code="unauthorized", detail="a valid bearer token is needed")
    if principal.role not in _ROLES:
        return Refusal(status=403, code="forbidden", detail="this token's role may not do that")
    if len(request.headers.get("Idempotency-Key", "").strip()) > _LONGEST_KEY:
        return Refusal(status=400, code="invalid_input", detail="the Idempotency-Key is too long")
    return _REFUSED_BODIES.get(body.state)


def _token_digest(authorization: str) -> bytes:
    token = authorization.partition(" ")[2].strip()
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
