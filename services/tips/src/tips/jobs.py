"""What runs beside the requests: counting refunded tips."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from common.errors import Unavailable
from common.telemetry import get_logger

_log = get_logger()


async def count_refunded_for_ever(count: Callable[[], Awaitable[int]], *, every: float) -> None:
    """Count, wait ``every`` seconds, and so on, in any number of replicas. To be supervised; survives the database's absence."""
    while True:
        try:
            counted = await count()
        except Unavailable as error:
            _log.warning("tips_refunds_not_counted", code=error.code)
        else:
            if counted:
                _log.info("tips_refunds_counted", orders=counted)
        await asyncio.sleep(every)
