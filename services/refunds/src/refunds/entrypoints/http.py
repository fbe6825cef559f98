"""``POST /refunds/v1/refunds`` and ``GET /refunds/v1/refunds/{id}`` (CONTRACT "refunds")."""

from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from common.clock import Clock
from common.errors import InvalidInput, Unavailable, Unprocessable
from common.http import INTERNAL, OPERATOR, VIEWER, Request, Route
from common.money import exponent
from common.telemetry import inject
from refunds.application.errors import (
    BusinessKeyReused,
    CurrencyMismatch,
    ExceedsCaptured,
    NoPayment,
    NothingCaptured,
    NothingLeft,
    UnknownRefund,
)
from refunds.application.ports import Transactions
from refunds.application.request_refund import Wish, request_refund
from refunds.entrypoints.views import RefundAccepted, RefundView, accepted, view


class RefundBody(BaseModel):
    """What is to go back."""

    order_number: Annotated[str, Field(min_length=1, max_length=64)]
    payment_id: Annotated[str | None, Field(max_length=128)] = None
    amount: Annotated[int, Field(gt=0, le=10**15, strict=True, description="minor units")] | None = Field(
        default=None, description="null: everything that is captured and not refunded"
    )
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]
    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    business_key: Annotated[str, Field(min_length=1, max_length=200, description="the same key gives the same refund")]

    @field_validator("currency")
    @classmethod
    def _known(cls, value: str) -> str:
        exponent(value)
        return value


def refund_routes(*, transactions: Transactions, clock: Clock, gateway: str) -> list[Route]:
    """Return the two routes."""

    async def make(request: Request[RefundBody, None]) -> RefundAccepted:
        """Take a refund in."""
        body = request.body
        headers: dict[str, str] = {}
        inject(headers)
        wish = Wish(
            order_number=body.order_number,
            payment_id=body.payment_id,
            amount=body.amount,
            currency=body.currency,
            reason=body.reason,
            business_key=body.business_key,
            traceparent=headers.get("traceparent"),
        )
        async with transactions.begin() as store:
            refund = await request_refund(store, wish, gateway=gateway, actor=request.principal.name, now=clock.now())
        return accepted(refund)

    async def show(request: Request[None, None]) -> RefundView:
        """Answer one refund."""
        refund_id = str(request.path_uuid("id"))
        async with transactions.begin() as store:
            refund = await store.find(refund_id)
        if refund is None:
            raise UnknownRefund(f"there is no refund {refund_id}")
        return view(refund)

    return [
        Route(
            method="POST",
            path="/refunds/v1/refunds",
            handler=make,
            summary="Give money back, once",
            description="Answers when the wish is committed; the money moves afterwards. The same `business_key` gives the same refund. "
            "When what was captured is known, a sum that does not fit is refused at once; otherwise before anything is sent.",
            request=RefundBody,
            response=RefundAccepted,
            status=202,
            errors=(
                InvalidInput,
                Unprocessable,
                NoPayment,
                BusinessKeyReused,
                ExceedsCaptured,
                NothingLeft,
                NothingCaptured,
                CurrencyMismatch,
                Unavailable,
            ),
            roles=INTERNAL | OPERATOR,
            tags=("refunds",),
        ),
        Route(
            method="GET",
            path="/refunds/v1/refunds/{id}",
            handler=show,
            summary="One refund",
            response=RefundView,
            errors=(UnknownRefund, Unavailable),
            roles=INTERNAL | VIEWER,
            tags=("refunds",),
        ),
    ]
