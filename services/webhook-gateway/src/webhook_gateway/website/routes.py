"""The address that websites place orders at. A raw route: bytes in, one parse, no model on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from time import perf_counter

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from common.clock import Clock
from common.errors import Forbidden, InvalidInput, OutOfScope, TooMany, Unauthorized, Unavailable, Unprocessable
from common.http import BEARER, Principal, Route, TokenBook
from common.http.endpoint import said_by
from common.telemetry import current_traceparent
from webhook_gateway.hooks.answer import answer
from webhook_gateway.hooks.metrics import RequestMetrics
from webhook_gateway.hooks.model import ORDER_CREATED, UNKNOWN_SOURCE, Outcome, Verdict
from webhook_gateway.hooks.reading import parse_leniently
from webhook_gateway.hooks.refusals import CountRefusals
from webhook_gateway.hooks.request import FAULTS, Body, BodyState, masked_headers, read_body, text_of
from webhook_gateway.website.accept import AcceptWebsiteOrder, Refusal, Submission
from webhook_gateway.website.callers import Network, client_ip
from webhook_gateway.website.model import Category
from webhook_gateway.website.sites import Sites

MANAGER_HEADER = "X-Manager-Id"
"""Names the manager who places an order for a customer; it gives no right, it shows when their own token was not used."""

_CHALLENGE = 'Bearer realm="suite"'
_ROLES = frozenset({"website", "website_manager"})
_SCOPE = "webhook-gateway:website"
_LONGEST_KEY = 255

_CONNECTION_LOST = Refusal(
    status=400,
    code="connection_lost",
    detail="the connection was lost before the body had arrived",
    category=Category.CUSTOMER_NETWORK,
)


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
        sites: Sites,
        role_once: Callable[[bytes], str | None],
        accept: AcceptWebsiteOrder,
        refusals: CountRefusals,
        metrics: RequestMetrics,
        clock: Clock,
        trusted: Sequence[Network],
        largest: int,
        slowest: float,
    ) -> None:
        """``role_once`` knows by its SHA-256 what role a token has or had; ``trusted`` are the proxies that are believed.

        ``largest`` is bytes of a body, ``slowest`` seconds until it has arrived.
        """
        self._tokens = tokens
        self._sites = sites
        self._role_once = role_once
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
                    f"`website_manager`, never limited. `{MANAGER_HEADER}` names the manager who places it. `externalId`, or "
                    "`Idempotency-Key`, names the order within its site: the same order again gets the same number, another customer, "
                    "basket or address under that name is 422 `key_reused`. Every other answer than 201 keeps the order as endangered. "
                    "Role: website or website_manager."
                ),
                request=WebsiteOrderBody,
                response=WebsiteOrderAnswer,
                status=201,
                errors=(InvalidInput, Unauthorized, Forbidden, Unprocessable, TooMany, Unavailable),
                idempotent=True,
                raw=True,
                proofs=(BEARER,),
                tags=("website",),
            )
        ]

    async def order(self, request: web.Request) -> web.StreamResponse:
        """Take a website's order."""
        started, at = perf_counter(), self._clock.now()
        principal = self._tokens.from_header(said_by(request))
        self._refusals.received(self._sites.of(principal).source, at)
        body = await read_body(request, limit=self._largest, kept=self._largest, deadline=self._slowest)
        submission = self._submission(request, body, principal, at)
        try:
            refusal = _refusal(request, body, principal)
            verdict = await (self._accept(submission) if refusal is None else self._accept.refuse(submission, refusal))
        except Exception as error:  # noqa: BLE001 - 503 is the only 5xx there is, and the order is kept
            verdict = await self._accept.broken(submission, error)
        return self._answer(verdict, submission.site.source, started, at)

    async def misplaced(self, request: web.Request, status: int, code: str) -> web.StreamResponse:
        """Refuse a request that came to an address, or by a method, that takes no order; one that looks like an order is endangered."""
        started, at = perf_counter(), self._clock.now()
        principal = self._tokens.from_header(said_by(request))
        known = principal is not None and principal.role in _ROLES
        source = self._sites.of(principal).source if known else UNKNOWN_SOURCE
        self._refusals.received(source, at)
        verdict = Verdict(
            status=status, event=ORDER_CREATED, outcome=Outcome.REFUSED, code=code, detail="no order is taken here"
        )
        if request.can_read_body:
            body = await read_body(request, limit=self._largest, kept=self._largest, deadline=self._slowest)
            submission = self._submission(request, body, principal, at)
            if known or looks_like_an_order(submission.body):
                refusal = Refusal(status=status, code=code, detail=verdict.detail)
                verdict = await self._accept.refuse(submission, refusal)
        return self._answer(verdict, source, started, at)

    def speaks_for_a_website(self, request: web.Request) -> bool:
        """Say whether a website's token came with a request."""
        principal = self._tokens.from_header(said_by(request))
        return principal is not None and principal.role in _ROLES

    def _submission(self, request: web.Request, body: Body, principal: Principal | None, at: datetime) -> Submission:
        headers = request.headers
        site = self._sites.of(principal)
        once = None if principal is not None else self._role_once(_token_digest(headers.get("Authorization", "")))
        return Submission(
            site=site,
            body=text_of(request, body.content) if body.state is BodyState.COMPLETE else body.content,
            headers=masked_headers(headers.items()),
            received_at=at,
            traceparent=current_traceparent(),
            idempotency_key=headers.get("Idempotency-Key", "").strip()[:_LONGEST_KEY] or None,
            manager=principal is not None and principal.role == "website_manager",
            manager_sign=MANAGER_HEADER in headers or once == "website_manager",
            anonymous=principal is None and once is None,
            ip=client_ip(request.remote, headers.getall("X-Forwarded-For", []), (*self._trusted, *site.forwarders)),
        )

    def _answer(self, verdict: Verdict, source: str, started: float, at: datetime) -> web.StreamResponse:
        if verdict.outcome is Outcome.REFUSED:
            self._refusals.count(source, verdict.code, at)
        else:
            self._refusals.taken(source, at)
        self._metrics.answered(source, verdict.event, verdict.outcome, perf_counter() - started)
        return answer(verdict, challenge=_CHALLENGE)


def _refusal(request: web.Request, body: Body, principal: Principal | None) -> Refusal | None:
    if principal is None:
        return Refusal(status=401, code="unauthorized", detail="a valid bearer token is needed")
    if principal.role not in _ROLES:
        return Refusal(status=403, code="forbidden", detail="this token's role may not do that")
    if not principal.within(_SCOPE):
        return Refusal(status=403, code=OutOfScope.code, detail=f"this token lacks the scope {_SCOPE}")
    if len(request.headers.get("Idempotency-Key", "").strip()) > _LONGEST_KEY:
        return Refusal(status=400, code="invalid_input", detail="the Idempotency-Key is too long")
    if body.state is BodyState.BROKEN and (request.transport is None or request.transport.is_closing()):
        return _CONNECTION_LOST
    fault = FAULTS.get(body.state)
    return None if fault is None else Refusal(status=fault.status, code=fault.code, detail=fault.detail)


def looks_like_an_order(body: bytes) -> bool:
    """Say whether a body that came to a wrong address has a basket or a customer in it."""
    document = parse_leniently(body)
    return isinstance(document, dict) and bool(document.get("positions") or document.get("customer"))


def _token_digest(authorization: str) -> bytes:
    token = authorization.partition(" ")[2].strip()
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
