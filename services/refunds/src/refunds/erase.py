"""What refunds holds of a customer, and how it is erased (``common.service.erasure_routes``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from common.service import Erase, TextPlace, erase_dead_letters, erase_texts

PLACES: Mapping[str, Erase] = {
    "reasons": partial(
        erase_texts, place=TextPlace(table="refunds", columns=("reason",), of_order="t.order_number = $1")
    ),
    "dead_letters": erase_dead_letters,
}
"""By kind, in the order in which they are asked."""

KEPT = {"refunds": "sums, payments, attempts and their history are records of money, which the law wants kept"}
"""What stays, and why."""
