"""Counting orders whose tips have gone with a refund, from the rows that the intake of refund events has marked."""

from __future__ import annotations

from common.telemetry import get_logger
from tips.metrics import TipsMetrics
from tips.store import TipsStore

_log = get_logger()


async def count_refunded(store: TipsStore, metrics: TipsMetrics) -> None:
    """Count all that are due, in any number of replicas: the database hands each order out once. Raises ``Unavailable``."""
    counted, more = 0, True
    while more:
        places, more = await store.take_refunded()
        for zone, tariff in places:
            metrics.refunded(zone, tariff)
        counted += len(places)
    if counted:
        _log.info("tips_refunds_counted", orders=counted)
