"""What the service answers instead of a decision, with the codes that callers may rely on."""

from __future__ import annotations

from common.errors import Conflict, NotFound, Unavailable


class UnknownOrder(NotFound):
    """There is no order of this number."""

    code = "unknown_order"


class OrderNotFinished(Conflict):
    """Tips are decided for finished orders only; the caller checks that first."""

    code = "order_not_finished"


class Contended(Unavailable):
    """The order changed under every attempt to write it; asking again is safe."""

    code = "contended"


class TooLate(Unavailable):
    """The time that the caller waits is over; a write may have happened, and asking again is safe."""

    code = "too_late"


class Overloaded(Unavailable):
    """More is asked than can be answered in time, or something needed has stopped answering; nothing was done."""

    code = "overloaded"
