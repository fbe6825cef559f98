"""How much refused requests may put into the database: in memory, of this replica alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from pyrate_limiter import GCRA, Rate

_KIB = 1024
_HOUR_MS = 3600 * 1000
_ROW_KIB = 2  # what a record takes beside its body
_MOST_CALLERS = 10_000
_CALLER_SHARE = 4  # one address gets a quarter at most, so that it cannot take the others' room
_ALGORITHM = GCRA()


class RecordBudget:
    """So many bytes an hour, so that a flood cannot fill the database; unproven senders have a part of their own.

    ``proven`` and ``unproven`` are bytes an hour. A flood of strangers leaves the records of real customers alone, and one address
    leaves those of other strangers alone.
    """

    def __init__(self, *, proven: int, unproven: int, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._rates = {True: _rate(proven), False: _rate(unproven)}
        self._caller_rates = {True: _rate(proven // _CALLER_SHARE), False: _rate(unproven // _CALLER_SHARE)}
        self._spent = {True: (0.0,), False: (0.0,)}
        self._callers: OrderedDict[tuple[bool, str], tuple[float, ...]] = OrderedDict()

    def take(self, *, proven: bool, ip: str | None, size: int) -> bool:
        """Spend ``size`` bytes; False when there is no room. ``proven``: the sender had a valid token and an order of usual size."""
        now = int(self._monotonic() * 1000)
        weight = _ROW_KIB + -(-size // _KIB)
        caller = (proven, ip or "")
        before = self._callers.get(caller, (0.0,))
        mine, decision = _ALGORITHM.step([self._caller_rates[proven]], before, now, weight)
        if not decision.allowed:
            return False
        everyone, decision = _ALGORITHM.step([self._rates[proven]], self._spent[proven], now, weight)
        if not decision.allowed:
            return False
        self._spent[proven] = (everyone[0],)
        self._callers[caller] = mine
        self._callers.move_to_end(caller)
        while len(self._callers) > _MOST_CALLERS:
            self._callers.popitem(last=False)
        return True


def _rate(size: int) -> Rate:
    return Rate(max(1, size // _KIB), _HOUR_MS)
