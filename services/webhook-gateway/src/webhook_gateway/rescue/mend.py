"""A person mends the body of an endangered order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import orjson

from common.errors import ChangedSince, FieldError, Unprocessable
from common.http import Change
from common.service import add_act
from webhook_gateway.hooks.model import SERVICE
from webhook_gateway.rescue.model import Act, LockedOrder, State, after
from webhook_gateway.rescue.said import said
from webhook_gateway.rescue.store import EndangeredStore
from webhook_gateway.rescue.views import Rescued, Understood
from webhook_gateway.website.model import WebsiteOrder, read_order

NO_OBJECT = FieldError("", "not_json", "the body is no JSON object")
CurrencyOf = Callable[[str], str]
"""The currency of a website."""


async def mend(
    change: Change,
    store: EndangeredStore,
    endangered_id: str,
    *,
    body: object,
    expected_version: int | None,
    currency_of: CurrencyOf,
    now: datetime,
) -> Rescued:
    """Keep a mended body beside the original, to be resubmitted later.

    Raises ``NotFound``, ``ChangedSince`` when it is not at ``expected_version``, ``Conflict`` when it is a real order already or closed,
    ``Unprocessable`` with the fields at fault when it still could not become one.
    """
    found = await store.lock(change.connection, endangered_id)
    ChangedSince.require(f"endangered order {endangered_id}", at=found.version, expected=expected_version)
    raw, state, order = mended(found, body, currency=currency_of(found.order.source))
    await store.save_mended(change.connection, endangered_id, body=raw, state=state, at=now)
    await change.record(
        "endangered_order.mend", f"endangered:{endangered_id}", before={"state": found.state}, after={"state": state}
    )
    await add_act(
        change,
        "endangered_order.mended",
        found.number,
        "The endangered order was mended",
        service=SERVICE,
        reason=said(found, change.reason),
        now=now,
    )
    return Rescued(id=endangered_id, state=state, dry_run=change.dry_run, **Understood.of(order).model_dump())


def mended(found: LockedOrder, body: object, *, currency: str) -> tuple[bytes, State, WebsiteOrder]:
    """Return the body as it is kept, the order's new state, and what was understood. Raises as ``mend`` does."""
    state = after(found.state, Act.MEND, number=found.order.number)
    raw = orjson.dumps(body)
    return raw, state, read_good_order(raw, currency=currency)


def read_good_order(body: bytes, *, currency: str) -> WebsiteOrder:
    """Read an order that can be taken. Raises ``Unprocessable`` for any other."""
    order = read_order(body, currency=currency)
    if order is None:
        raise Unprocessable("the order's body is no JSON object; send a mended one")
    if order.problems:
        raise Unprocessable("the order does not fit; send a mended body", fields=order.problems)
    return order
