"""What stays of an order and of a line of its timeline when the customer is taken out of it. Pure.

Goods, sums, ids and moments stay: only whose the order was is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from common.telemetry.masking import scrub_text
from common.telemetry.names import mask_names
from orchestrator.orders.model import PERSONAL, Difference, OrderState

_SAID = frozenset({"reason", "why", "mend_reason", "text", "comment"})
"""Names of what our people wrote, in the details of a line and in what is said about an event; so is all that is longer than a word."""

_IN_WORDS = frozenset({"replacement_policy", "shipment_method", "delivery_window"})
"""What an order keeps, and what may name its customer all the same."""


def blank_text(text: str | None, names: Sequence[str]) -> str | None:
    """Return a text that somebody wrote without these names, phones and mails."""
    return mask_names(scrub_text(text), names) if text else text


def blank_said(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the values with the customer's names masked in what our people said."""
    return {
        name: blank_text(value, names) if isinstance(value, str) and (name in _SAID or " " in value) else value
        for name, value in values.items()
    }


def blank_state(order: OrderState, names: Sequence[str] = ()) -> OrderState:
    """Return the order without the customer, also in the incidents that it had; when it was awaited stays, but for whom to ask for.

    ``names``: what the customer was ever called, beside the name that the order holds.
    """
    names = [*names, *([order.customer.name] if order.customer is not None and order.customer.name else [])]
    window = order.delivery_window
    return replace(
        order,
        customer=None,
        address=None,
        comment=None,
        cancel_description=None,
        replacement_policy=blank_text(order.replacement_policy, names),
        shipment_method=blank_text(order.shipment_method, names),
        delivery_window=None if window is None else replace(window, text=blank_text(window.text, names)),
        incidents=tuple(
            replace(item, difference=_blank_difference(item.difference, names)) for item in order.incidents
        ),
    )


def blank_attributes(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return what is said about an event with the names masked in what our people wrote; ids and who it was stay."""
    written = _SAID | {"detail"}
    return {
        name: blank_text(value, names) if name in written and isinstance(value, str) else value
        for name, value in values.items()
    }


def blank_details(details: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the details of a line of a timeline without what is a customer's."""
    return blank_said({name: value for name, value in details.items() if name not in PERSONAL}, names)


def _blank_difference(difference: Difference, names: Sequence[str]) -> Difference:
    fields = tuple(
        (name, None, None)
        if name in PERSONAL
        else (name, blank_text(before, names), blank_text(after, names))
        if name in _IN_WORDS
        else (name, before, after)
        for name, before, after in difference.fields
    )
    return replace(difference, fields=fields)
