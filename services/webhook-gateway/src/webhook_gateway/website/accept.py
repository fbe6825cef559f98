"""Takes a website's order, and keeps every one that is not answered 201 as endangered (docs/requirements.md#website-orders)."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any

import orjson

from common.contracts.intake import HOOK_RECEIVED, WEBSITE_ORDER_REFUSED, IntakeMessage
from common.errors import FieldError
from common.ids import derived_id, new_id, order_number
from common.reading import phone_key
from common.telemetry import get_logger, report_exception
from webhook_gateway.durable.keep_safe import KeepSafe
from webhook_gateway.durable.model import NoStoragePath
from webhook_gateway.hooks.model import ORDER_CREATED, Outcome, Verdict
from webhook_gateway.website import callers, model
from webhook_gateway.website.basket import basket_state
from webhook_gateway.website.budget import RecordBudget
from webhook_gateway.website.limits import NamedOrder, OrderLimits
from webhook_gateway.website.metrics import WebsiteMetrics
from webhook_gateway.website.sites import Site

_log = get_logger()
_UNPROVEN = frozenset({401, 403, 413})
_OF_NGINX = "edge-"
"""So begin the keys that nginx gives to requests without one, each another: under none of them does a second order come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request to place an order. ``headers`` is JSON, secrets masked.

    ``site`` is the token's. ``manager``: the token is a manager's. ``manager_sign``: something else says that a manager placed it, a
    token of theirs that was valid before, or their mark on the request. ``anonymous``: nothing says that a website of ours sent it; its
    token is not valid and never was.
    """

    site: Site
    body: bytes
    headers: str
    received_at: datetime
    traceparent: str | None
    idempotency_key: str | None
    manager: bool
    manager_sign: bool = False
    anonymous: bool = False
    ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a website is answered instead of 201.

    ``external_id``: what the try was called by, where that is not in the request. ``category``: where to look, if not as the status says.
    """

    status: int
    code: str
    detail: str
    fields: tuple[FieldError, ...] = ()
    retry_after: int = 1
    external_id: str | None = None
    category: model.Category | None = None


class AcceptWebsiteOrder:
    """201 is given after the order is durable; anything else leaves a record that a person works on."""

    def __init__(
        self,
        keep_safe: KeepSafe,
        record_directly: Callable[[IntakeMessage], Awaitable[None]],
        *,
        limits: OrderLimits,
        budget: RecordBudget,
        metrics: WebsiteMetrics,
        replica: str,
    ) -> None:
        """``record_directly`` puts a refused order straight into the database; it is called when no storage path takes it."""
        self._keep_safe = keep_safe
        self._record_directly = record_directly
        self._limits = limits
        self._budget = budget
        self._metrics = metrics
        self._replica = replica

    async def __call__(self, submission: Submission) -> Verdict:
        """Take the order of an authenticated website. Never raises: a refusal is a verdict, and has been kept."""
        try:
            return await self._take(submission)
        except Exception as error:  # noqa: BLE001 - whatever happens, the order is kept and a person is notified
            return await self.broken(submission, error)

    async def _take(self, submission: Submission) -> Verdict:
        site = submission.site
        order = model.read_order(submission.body, currency=site.currency)
        if order is None:
            fault = FieldError("", "not_json", "the body is no JSON object")
            refusal = Refusal(status=400, code="invalid_input", detail="the body is not a JSON object", fields=(fault,))
            return await self.refuse(submission, refusal)
        if order.problems:
            refusal = Refusal(status=422, code="unprocessable", detail="the order does not fit", fields=order.problems)
            return await self.refuse(submission, refusal)
        named = _external_id(submission, order)
        refused = await self._not_admitted(submission, order, named)
        if refused is not None:
            return await self.refuse(submission, refused)
        hook = self._hook(submission, digest=order.digest)
        external_id = named or hook.delivery_id
        number = order_number(site.source, external_id)
        created = replace(
            hook,
            type=HOOK_RECEIVED,
            event_id=derived_id("hook", site.source, external_id, ORDER_CREATED),
            external_id=external_id,
            number=number,
            status=HTTPStatus.CREATED,
        )
        try:
            path = await self._keep_safe(created)
        except NoStoragePath as error:
            refusal = Refusal(
                status=503,
                code=error.code,
                detail="the order cannot be stored now; try again",
                external_id=external_id,  # the broker may have it all the same: a resubmission must be the same order
            )
            self._report(error, submission, refusal)
            return await self.refuse(submission, refusal)
        return Verdict(
            status=HTTPStatus.CREATED,
            event=ORDER_CREATED,
            outcome=Outcome.CONFIRMED if path == "broker" else Outcome.SPOOLED,
            body={"number": number},
        )

    async def _not_admitted(
        self, submission: Submission, order: model.WebsiteOrder, named: str | None
    ) -> Refusal | None:
        """Ask whether the caller orders too often, and whether another order came under this name. A manager is never limited."""
        source = submission.site.source
        caller = callers.Caller() if submission.manager else _caller(submission, order)
        key = submission.idempotency_key
        beside = None
        if key is not None and order.external_id is not None and not key.startswith(_OF_NGINX):
            beside = model.external_id_from_key(key)
        name = None
        if named is not None:
            by_key = None if beside is None else (beside, order.identity(source, beside))
            name = NamedOrder(source, named, order.identity(source, named), by_key)
        admission = await self._limits.admit(caller, order=name, source=source)
        self._metrics.admitted(admission)
        if admission.outcome == "reused":
            by_id = order.external_id is not None and not admission.by
            field = "externalId" if by_id else "Idempotency-Key"
            fault = FieldError(field, "key_reused", "another order came under this name; a new order needs a new one")
            return Refusal(
                status=422,
                code="key_reused",
                detail="this name belongs to an order with another customer, basket or address",
                fields=(fault,),
                category=model.Category.KEY_REUSED,
            )
        if admission.outcome == "limited":
            return Refusal(
                status=429,
                code="too_many_requests",
                detail="too many orders by one " + " and ".join(admission.by),
                retry_after=admission.retry_after,
            )
        return None

    async def broken(self, submission: Submission, error: Exception) -> Verdict:
        """Answer what nobody expected: 503, reported with stack, answer and basket, and kept."""
        refusal = Refusal(
            status=503, code="internal_error", detail="an unexpected error; it has been reported; try again"
        )
        _log.error("intake_failed", source=submission.site.source, exc_info=error)
        self._report(error, submission, refusal)
        return await self.refuse(submission, refusal)

    async def refuse(self, submission: Submission, refusal: Refusal) -> Verdict:
        """Keep a refused order: by a storage path, else straight into the database. Never raises."""
        category = refusal.category or model.category_of(
            refusal.status,
            manager=submission.manager or submission.manager_sign or model.marked_by_manager(submission.body),
        )
        self._metrics.endangered("anonymous" if submission.anonymous else category)
        proven = not submission.anonymous and refusal.status not in _UNPROVEN
        if self._budget.take(proven=proven, ip=submission.ip, size=len(submission.body)):
            await self._keep_refused(self._refused_hook(submission, refusal, category))
        else:
            self._metrics.not_kept("anonymous_flood" if submission.anonymous else "flood")
        return Verdict(
            status=refusal.status,
            event=ORDER_CREATED,
            outcome=Outcome.REFUSED,
            code=refusal.code,
            detail=refusal.detail,
            fields=refusal.fields,
            retry_after=refusal.retry_after,
        )

    def _refused_hook(self, submission: Submission, refusal: Refusal, category: model.Category) -> IntakeMessage:
        answer = _answer(refusal)
        answer["fields"] = [{"field": f.field, "code": f.code, "message": f.message} for f in refusal.fields]
        site = submission.site
        external_id = refusal.external_id or _external_id(
            submission, model.read_order(submission.body, currency=site.currency)
        )
        # The number that the order gets when the customer, or an operator, tries again: not that of another's order.
        unnumbered = external_id is None or category is model.Category.KEY_REUSED
        return replace(
            self._hook(submission, digest=hashlib.sha256(submission.body).hexdigest()),
            external_id=external_id,
            number=None if unnumbered or external_id is None else order_number(site.source, external_id),
            network=callers.neighbourhood_of(submission.ip),
            anonymous=submission.anonymous,
            status=refusal.status,
            reason=category.value,
            answer=orjson.dumps(answer).decode(),
        )

    async def _keep_refused(self, hook: IntakeMessage) -> None:
        try:
            await self._keep_safe(hook)
        except Exception as refused:  # noqa: BLE001 - also what nobody expected of the storage paths leaves the database to try
            try:
                await self._record_directly(hook)
            except Exception as error:  # noqa: BLE001 - the website has its answer to get; its own record is all that is left
                self._metrics.not_kept("nowhere")
                _log.error(
                    "endangered_order_not_kept",
                    storage_error=type(refused).__name__,
                    error=type(error).__name__,
                    delivery_id=hook.delivery_id,
                )

    def _report(self, error: Exception, submission: Submission, refusal: Refusal) -> None:
        source = submission.site.source
        report_exception(error, source=source, answer=_answer(refusal), basket_state=basket_state(submission.body))

    def _hook(self, submission: Submission, *, digest: str) -> IntakeMessage:
        """Return a delivery as it is kept of a refused order, but for what was answered."""
        delivery_id = new_id()
        return IntakeMessage(
            type=WEBSITE_ORDER_REFUSED,
            event_id=derived_id("delivery", delivery_id),
            delivery_id=delivery_id,
            source=submission.site.source,
            event=ORDER_CREATED,
            body_form="payload",
            body=submission.body,
            received_at=submission.received_at,
            replica=self._replica,
            digest=digest,
            headers=submission.headers,
            currency=submission.site.currency,
            traceparent=submission.traceparent,
        )


def _answer(refusal: Refusal) -> dict[str, Any]:
    return {"status": refusal.status, "code": refusal.code, "detail": refusal.detail}


def _external_id(submission: Submission, order: model.WebsiteOrder | None) -> str | None:
    """Return what the order is called by, None when nothing names it."""
    if order is not None and order.external_id is not None:
        return order.external_id
    if submission.idempotency_key is not None:
        return model.external_id_from_key(submission.idempotency_key)
    return None


def _caller(submission: Submission, order: model.WebsiteOrder) -> callers.Caller:
    """Return whom the order is counted for, by what its site is limited by."""
    by, said = submission.site.limit_by, order.content
    return callers.Caller(
        phone=phone_key(said.customer.phone or "") if "phone" in by and said.customer is not None else None,
        address=callers.words_of(said.address.full) if "address" in by and said.address is not None else None,
        ip=callers.network_of(submission.ip) if "ip" in by else None,
    )
