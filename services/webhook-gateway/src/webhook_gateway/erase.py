"""What the gateway holds of a customer, and how it is erased (``common.service.erasure_routes``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from common.postgres import Connection
from common.service import Erase, Subject, erase_dead_letters
from webhook_gateway.deliveries.digests import PeopleDigests
from webhook_gateway.deliveries.erase import erase_deliveries, numbers_of
from webhook_gateway.rescue.erase import erasures
from webhook_gateway.rescue.store import EndangeredStore

KEPT = {
    "spool": "a spool is relayed within a day and then empty; what it holds of this customer is recorded later: erase again then",
    "deliveries_of_former_keys": "recorded under a search key that is no longer given; not found by phone or mail: erase by number",
    "order_limits": "keyed digests of phones and addresses, forgotten within a day",
}
"""What stays, and why."""


def places(digests: PeopleDigests, endangered: EndangeredStore) -> Mapping[str, Erase]:
    """Return them by kind, in the order in which they are asked: deliveries last, because the others ask them whose orders are whose."""

    async def _dead_letters(connection: Connection, subject: Subject) -> int:
        orders = await numbers_of(connection, subject, digests=digests)
        return await erase_dead_letters(connection, subject, orders=orders)

    return {
        **erasures(endangered),
        "dead_letters": _dead_letters,
        "deliveries": partial(erase_deliveries, digests=digests),
    }
