"""What requests for refunds and restarts are refused with. Callers may rely on the codes."""

from __future__ import annotations

from typing import ClassVar

from common.errors import Conflict, NotFound, Unprocessable


class UnknownRefund(NotFound):
    """There is no refund of this id."""

    code = "unknown_refund"


class BusinessKeyReused(Conflict):
    """The business key belongs to a refund of another order, payment, sum, currency or lines."""

    code = "business_key_reused"


class NotAskedFor(Conflict):
    """It was asked for before the orchestrator did, and rejected for that: its business key pays nothing any more."""

    code = "not_asked_for"


class NoPayment(Conflict):
    """The order was not paid through us (the marketplace took the money), so nothing can be refunded here."""

    code = "no_payment"


class LineConflict(Conflict):
    """More of a line is to be refunded than is left of it, or a line stands twice."""

    code = "line_conflict"


class LinesDoNotAddUp(Unprocessable):
    """The lines come to another sum than the one given, or to nothing."""

    code = "lines_do_not_add_up"


class NotInError(Conflict):
    """Only a refund in RS_ERROR can be restarted."""

    code = "not_in_error"


class VersionMismatch(Conflict):
    """The refund changed since the operator looked at it."""

    code = "version_mismatch"


class GatewayNoAnswer(Conflict):
    """The gateway did not say what became of the refund, so restarting it could pay twice."""

    code = "gateway_no_answer"


class Overtaken(Conflict):
    """Somebody else changed the refund first; whoever raised this starts again from what it is now."""

    code = "overtaken"
    retryable: ClassVar[bool] = True
