"""Notices that are sent at the same time: what one has set while it waits is not another's."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

from notifier.delivery.dispatch import Dispatcher

CURRENT: ContextVar[str] = ContextVar("current")  # as the current span is kept


class Sender:
    """Claims nothing by itself; two notices are on their way at the same time."""

    channel = "chat"

    def __init__(self) -> None:
        self.both = asyncio.Barrier(2)
        self.own: list[bool] = []

    async def claim(self) -> None:
        """Find nothing."""

    async def wait_until(self) -> float:
        """Know of nothing that is due."""
        return 60.0

    async def send(self, claim: Any) -> None:
        """Set something of its own while the other one does."""
        CURRENT.set(claim.chat)
        await self.both.wait()
        self.own.append(CURRENT.get() == claim.chat)

    async def record(self, _claim: Any, _outcome: Any) -> bool:
        """Leave nothing to do."""
        return False


async def test_notices_at_the_same_time_have_a_trace_each() -> None:
    sender: Any = Sender()
    dispatcher = Dispatcher(sender, sender, concurrency=2, after_commit=lambda: None)
    running = asyncio.create_task(dispatcher.run())
    await asyncio.sleep(0.01)
    claims: Any = [SimpleNamespace(chat="one"), SimpleNamespace(chat="two")]
    dispatcher.take(claims)
    await dispatcher.stop()
    await running
    assert sender.own == [True, True]
