"""Count orders whose tips have gone with a refund (M19), from the orders that the intake of refund events has marked."""

from __future__ import annotations

from tips.ports import Observer, Orders


class CountRefunded:
    """Each order is counted once, whoever runs this and however often: the database hands it out once."""

    def __init__(self, orders: Orders, observer: Observer) -> None:
        self._orders = orders
        self._observer = observer

    async def __call__(self) -> int:
        """Count all that are due; return how many. Raises ``Unavailable``."""
        counted, more = 0, True
        while more:
            places, more = await self._orders.take_refunded()
            for place in places:
                self._observer.refunded(place)
            counted += len(places)
        return counted
