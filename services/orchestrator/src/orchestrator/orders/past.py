"""An order as it was at a moment: the fold of the events that had happened by then, by the marketplace's clock."""

from __future__ import annotations

from datetime import datetime

from orchestrator.orders.fold import fold
from orchestrator.orders.hooks import UnreadableHook, read_all
from orchestrator.orders.life import HistoryPruned, HistoryUnreadable
from orchestrator.orders.model import OrderState
from orchestrator.orders.store import OrderStore


async def order_at(orders: OrderStore, now: OrderState, at: datetime) -> OrderState | None:
    """Return an order, which is ``now`` like this, as it was at a moment; None when it did not exist yet.

    What came late counts for the moment at which it happened. Raises ``HistoryPruned`` when the events are no longer kept,
    ``HistoryUnreadable`` when today's reader refuses one that took effect once.
    """
    if at >= now.last.moment and at >= now.created_at:
        return now
    events = await orders.history(now.number)
    if events is None:
        raise HistoryPruned(f"the events of order {now.number} are no longer kept: only what it is now is known")
    try:
        facts = read_all(events)
    except UnreadableHook as error:
        raise HistoryUnreadable(f"an event of order {now.number} cannot be read any more: {error.detail}") from None
    steps = fold(now.number, [fact for fact in facts if fact.moment <= at])
    return steps[-1].after if steps else None
