"""What cannot be read of a body that is kept: what the intake itself would find in it today."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from common.errors import FieldError
from webhook_gateway.hooks.reading import order_problems, parse_leniently, read_hook
from webhook_gateway.rescue.mend import NO_OBJECT


def faults(
    body: bytes, *, body_form: str, event: str, currency: str | None, received_at: datetime
) -> Sequence[FieldError]:
    """Return the fields at fault, none where everything can be read. ``field`` is the place in the body (``payload.positions.0.price``)."""
    currency = currency or "RUB"
    if body_form == "envelope":
        return read_hook(body, currency=currency, now=received_at).problems
    payload = parse_leniently(body)
    if not isinstance(payload, dict):
        return (NO_OBJECT,)
    return order_problems(payload, event=event, currency=currency)
