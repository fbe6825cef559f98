"""Has the refunds service rehearse an order's refund, too: the orchestrator passes the request on, and does not know what was captured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.client.suite import RefusedError, Suite, UnreachableError
from console.client.things import THINGS

_REFUNDS = "/refunds/v1/refunds"
DOES_NOT_FIT = frozenset(
    {
        *("exceeds_captured", "nothing_left", "nothing_captured", "currency_mismatch"),
        "line_conflict",
        "lines_do_not_add_up",
    }
)
"""What the refunds service would turn the request down with after it was accepted."""


async def require_fit(suite: Suite, said: Mapping[str, Any], *, reason: str) -> None:
    """Raise ``RefusedError`` where the refund that the orchestrator has rehearsed (its answer) does not fit what was captured.

    What nobody can tell now (the service or the payment system does not answer) raises nothing: the request would wait for it, too.
    """
    wanted = {name: said.get(name) for name in ("payment_id", "amount", "currency", "business_key")}
    if not (wanted["payment_id"] and wanted["business_key"]):
        return
    if lines := said.get("lines"):  # the refunds service works the sum out; an older orchestrator does not name them
        wanted |= {"amount": said.get("amount") if said.get("tips") else None, "lines": lines}
    elif said.get("amount_is") == "left_of_positions":
        return
    body = {**wanted, "order_number": said.get("number"), "reason": reason, "dry_run": True}
    try:
        order = await THINGS["order"].read(suite.without_customers(), str(said.get("number")))
        body["source"] = order.get("source")  # which payment system it was paid by may go by that
        await suite.send("refunds", "POST", _REFUNDS, body)
    except RefusedError as error:
        if error.code in DOES_NOT_FIT:
            raise
    except UnreachableError:
        return
