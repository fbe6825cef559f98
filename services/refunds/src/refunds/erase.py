"""What refunds holds of a customer, and how it is erased (``common.service.erasure_routes``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from common.service import Erase, TextPlace, erase_dead_letters, erase_texts
from common.telemetry import MASK

# What a payment system says is written by the service itself. A restart or a closing that finds the refund paid is written by the person,
# as what the payment system said of it: accepted or succeeded.
_SAID_BY_PEOPLE = """
(t.happened IN ('wanted', 'restarted', 'closed', 'adopted') OR t.actor <> 'refunds') AND t.detail NOT IN ('', '[masked]')
"""


def _erased(_: Any) -> str:
    """Return what stays of a reason: refunds knows no customer's name, so nobody can tell whether one stands in it."""
    return MASK


PLACES: Mapping[str, Erase] = {
    "reasons": partial(
        erase_texts,
        place=TextPlace(table="refunds", columns=("reason",), of_order="t.order_number = $1", blank=_erased),
    ),
    "history": partial(
        erase_texts,
        place=TextPlace(
            table="refund_history",
            columns=("detail",),
            of_order="t.refund_id IN (SELECT r.id FROM refunds AS r WHERE r.order_number = $1)",
            among=_SAID_BY_PEOPLE,
            blank=_erased,
            whole=True,
        ),
    ),
    "dead_letters": erase_dead_letters,
}
"""By kind, in the order in which they are asked."""

KEPT = {
    "refunds": "sums, payments, attempts and what payment systems said are records of money, which the law wants kept"
}
"""What stays, and why."""
