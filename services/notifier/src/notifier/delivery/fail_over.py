"""Fail over: what a channel does not take about a problem is told by the next one (research/notifier.md, design 11)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from notifier.delivery.failover_store import FailoverStore
from notifier.routing.model import Routes

_AT_A_TIME = 100


class FailOver:
    """A notice goes to the first fallback that it does not go to anyway. The receipt is written when it arrived there (``Outcomes``).

    The delivery that is stuck is still tried for as long as any other: people look for it where it belongs.
    """

    def __init__(
        self,
        *,
        open_failovers: Callable[[], AbstractAsyncContextManager[FailoverStore]],
        routes: Routes,
        patience: timedelta,
    ) -> None:
        self._open = open_failovers
        self._routes = routes
        self._patience = patience
        self._chains = {name: chain for name in routes.destinations if (chain := routes.fallbacks(name))}

    async def __call__(self) -> int:
        """Fail over what has to; returns how many notices were told elsewhere."""
        if not self._chains:
            return 0
        told = 0
        async with self._open() as failovers:
            for stuck in await failovers.stuck(list(self._chains), patience=self._patience, limit=_AT_A_TIME):
                chain = () if stuck.over else self._chains[stuck.destination]
                following = next((each for each in chain if (each.lane, each.topic) not in stuck.told), None)
                if following is None:
                    await failovers.leave(stuck)
                    continue
                why = stuck.reason or "not sent in time"
                await failovers.tell(
                    stuck,
                    following,
                    route=f"fallback of {stuck.destination}",
                    text=f"{stuck.destination}: {why} → {following.name}",
                )
                told += 1
        return told
