"""What an operator sends to change an order by hand, and sees."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from common.contracts.orders import OrderDifference, OrderStatus
from common.http import AdminChange, ChangeAnswer, PlainDecimal

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=r"\A[^\x00]*\z")]
_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255, pattern=r"\A[^\x00]*\z")]
# Money as hooks write it. A bare number would be taken for minor units by one reader and for major ones by another.
_Sum = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=30), Field(description='in major units, as text: "85.00"')
]


class OperatorEvent(AdminChange):
    """What every operator's event has. `expected_version` is the version of the order that the operator looked at."""

    expected_version: int = Field(ge=0, lt=2**63)


class CancelOrder(OperatorEvent):
    """Cancel the order, with a reason in the marketplace's own terms if there is one."""

    slug: _Name | None = None
    description: _Text | None = None


class DeliverOrder(OperatorEvent):
    """Say that the customer has the order."""


class CorrectedPosition(BaseModel):
    """A position as it is now. What is left out stays as it was for the same position."""

    model_config = ConfigDict(extra="forbid")

    id: _Name
    name: _Text | None = None
    quantity: PlainDecimal | None = Field(default=None, ge=0, max_digits=18, decimal_places=6, allow_inf_nan=False)
    originalQuantity: PlainDecimal | None = Field(  # noqa: N815 - the marketplace's spelling, which is the reader's
        default=None, ge=0, max_digits=18, decimal_places=6, allow_inf_nan=False
    )
    price: _Sum | None = None
    discountPrice: _Sum | None = None  # noqa: N815 - as above
    totalPrice: _Sum | None = None  # noqa: N815 - as above
    totalDiscountPrice: _Sum | None = None  # noqa: N815 - as above
    weight: PlainDecimal | None = Field(default=None, ge=0, max_digits=18, decimal_places=6, allow_inf_nan=False)
    replaces: _Name | None = Field(default=None, description="the id of the position that this one stands in for")


class CorrectOrder(OperatorEvent):
    """What the order is to say; what is left out stays. `positions` are all that the order has, as a hook's are.

    `address` and `delivery_window` as text or in parts, `customer` with `name`, `phone`, `email`.
    """

    positions: list[CorrectedPosition] | None = Field(default=None, min_length=1, max_length=1000)
    store_id: _Name | None = None
    address: _Text | dict[str, Any] | None = None
    customer: dict[str, Any] | None = None
    delivery_window: _Text | dict[str, Any] | None = None
    comment: _Text | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.said:
            raise ValueError("say what is to be corrected")
        return self

    @property
    def said(self) -> dict[str, Any]:
        """What is to be corrected, by its name."""
        return self.model_dump(mode="json", exclude_none=True, exclude=set(OperatorEvent.model_fields))


class OperatorEventAdded(ChangeAnswer):
    """What the event does to the order, or would do. It is carried out within moments, in the order of time.

    `version` is the order's before the event; `workflow_state` says whether something holds the order, and its notices, up (`stopped`).
    """

    number: str
    dry_run: bool
    event: str
    event_id: str
    version: int
    workflow_state: str
    status_before: OrderStatus
    status_after: OrderStatus
    currency: str
    difference: OrderDifference
    refund: str | None = Field(description="business key of the refund that is asked for")
