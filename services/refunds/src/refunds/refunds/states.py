"""The state machine of a refund: total, so that every state × event has an answer (docs/requirements.md#refunds-against-trust).

```
CREATE(2) → SENDING → PENDING → SUCCESS → REVERSED
CREATE → REJECTED             (it does not fit what was captured; nothing was sent)
CREATE → CANCELLED            (nothing was captured: the payment is cancelled, not refunded)
SENDING → UNKNOWN             (time-out, reset, 5xx, undecodable)
UNKNOWN → PENDING | SUCCESS | SENDING (same key) | ERROR(7)
SENDING/PENDING/UNKNOWN → DECLINED (definite) → CREATE (bounded) | ERROR + problem
ERROR → CREATE                (operator, after the gateway was asked), or what the gateway says became of it
ERROR → CLOSED                (operator: settled outside, or given up); CLOSED → PENDING | SUCCESS when the gateway says so after all,
                              and back when it failed there: for a refund that people closed nothing is ever sent again
ERROR/CLOSED/REVERSED → SUCCESS (operator adopts that the gateway has paid)
```
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class RefundState(IntEnum):
    """``CREATE`` and ``ERROR`` have the numbers that operators and other systems know (RS_CREATE = 2, RS_ERROR = 7)."""

    CREATE = 2
    SENDING = 3
    PENDING = 4
    SUCCESS = 5
    UNKNOWN = 6
    ERROR = 7
    DECLINED = 8
    REVERSED = 9
    REJECTED = 10
    CANCELLED = 11
    CLOSED = 12


class Happened(StrEnum):
    """What can happen to a refund, whoever learned of it: the worker, a poll, a notification, an operator."""

    FITS = "fits"
    DOES_NOT_FIT = "does_not_fit"
    CANCELLED = "cancelled"
    NOT_STARTED = "not_started"
    ACCEPTED = "accepted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NO_ANSWER = "no_answer"
    RETRIED = "retried"
    GAVE_UP = "gave_up"
    RESTARTED = "restarted"
    CLOSED = "closed"
    FAILED_AFTER_CLOSE = "failed_after_close"
    ADOPTED = "adopted"


OPEN = frozenset(
    {RefundState.CREATE, RefundState.SENDING, RefundState.PENDING, RefundState.UNKNOWN, RefundState.DECLINED}
)
"""States that the service itself carries on from."""
TERMINAL = frozenset(
    {RefundState.SUCCESS, RefundState.REVERSED, RefundState.REJECTED, RefundState.CANCELLED, RefundState.CLOSED}
)
"""States in which nothing is left to do, for the service or for a person restarting it."""


@dataclass(frozen=True, slots=True)
class Move:
    """The refund goes into another state."""

    to: RefundState


@dataclass(frozen=True, slots=True)
class Stay:
    """A named no-op: the refund stays as it is."""

    why: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """This must not happen in this state; whoever says so is wrong, or the gateway contradicts itself."""

    why: str


Ruling = Move | Stay | Refuse

_S, _H = RefundState, Happened
_LATE = Stay("an older answer came late")
_SAME = Stay("nothing new")
_WAIT = Stay("no answer is no news: ask again later")
_NOT_SENT = Refuse("nothing was sent in this attempt")
_NOT_CHECKED = Refuse("the sum was checked before")
_SENT = Refuse("a refund may have been sent: the payment was captured")
_NOT_DECLINED = Refuse("only a declined refund is tried again by itself")
_NOT_ERROR = Refuse("only a refund in RS_ERROR can be restarted")
_NOT_CLOSABLE = Refuse("only a refund in RS_ERROR can be closed")
_NOT_CLOSED = Refuse("the refund was not closed by people")
_UNDER_WAY = Refuse("the refund is under way: its end has to be waited for")
_TIME = Refuse("time alone never means failure")
_OVER = Refuse("the refund is over")
_NEWER = Refuse("this release does not know the state")
_TRANSIENT = Refuse("a declined refund is either tried again or given up")

TABLE: dict[RefundState, dict[Happened, Ruling]] = {
    _S.CREATE: {
        _H.FITS: Move(_S.SENDING),
        _H.DOES_NOT_FIT: Move(_S.REJECTED),
        _H.CANCELLED: Move(_S.CANCELLED),
        _H.NOT_STARTED: _NOT_SENT,
        _H.ACCEPTED: _NOT_SENT,
        _H.SUCCEEDED: _NOT_SENT,
        _H.FAILED: _NOT_SENT,
        _H.NO_ANSWER: _WAIT,
        _H.RETRIED: _NOT_DECLINED,
        _H.GAVE_UP: Move(_S.ERROR),
        _H.RESTARTED: _NOT_ERROR,
        _H.CLOSED: _NOT_CLOSABLE,
        _H.FAILED_AFTER_CLOSE: _NOT_CLOSED,
        _H.ADOPTED: _UNDER_WAY,
    },
    _S.SENDING: {
        _H.FITS: _NOT_CHECKED,
        _H.DOES_NOT_FIT: _NOT_CHECKED,
        _H.CANCELLED: _SENT,
        _H.NOT_STARTED: _SAME,
        _H.ACCEPTED: Move(_S.PENDING),
        _H.SUCCEEDED: Move(_S.SUCCESS),
        _H.FAILED: Move(_S.DECLINED),
        _H.NO_ANSWER: Move(_S.UNKNOWN),
        _H.RETRIED: _NOT_DECLINED,
        _H.GAVE_UP: Move(_S.ERROR),
        _H.RESTARTED: _NOT_ERROR,
        _H.CLOSED: _NOT_CLOSABLE,
        _H.FAILED_AFTER_CLOSE: _NOT_CLOSED,
        _H.ADOPTED: _UNDER_WAY,
    },
    _S.PENDING: {
        _H.FITS: _NOT_CHECKED,
        _H.DOES_NOT_FIT: _NOT_CHECKED,
        _H.CANCELLED: _SENT,
        _H.NOT_STARTED: _LATE,
        _H.ACCEPTED: _SAME,
        _H.SUCCEEDED: Move(_S.SUCCESS),
        _H.FAILED: Move(_S.DECLINED),
        _H.NO_ANSWER: _WAIT,
        _H.RETRIED: _NOT_DECLINED,
        _H.GAVE_UP: _TIME,
        _H.RESTARTED: _NOT_ERROR,
        _H.CLOSED: _NOT_CLOSABLE,
        _H.FAILED_AFTER_CLOSE: Move(_S.CLOSED),
        _H.ADOPTED: _UNDER_WAY,
    },
    _S.UNKNOWN: {
        _H.FITS: _NOT_CHECKED,
        _H.DOES_NOT_FIT: _NOT_CHECKED,
        _H.CANCELLED: _SENT,
        _H.NOT_STARTED: Move(_S.SENDING),
        _H.ACCEPTED: Move(_S.PENDING),
        _H.SUCCEEDED: Move(_S.SUCCESS),
        _H.FAILED: Move(_S.DECLINED),
        _H.NO_ANSWER: _WAIT,
        _H.RETRIED: _NOT_DECLINED,
        _H.GAVE_UP: Move(_S.ERROR),
        _H.RESTARTED: _NOT_ERROR,
        _H.CLOSED: _NOT_CLOSABLE,
        _H.FAILED_AFTER_CLOSE: _NOT_CLOSED,
        _H.ADOPTED: _UNDER_WAY,
    },
    _S.DECLINED: {
        _H.FITS: _NOT_CHECKED,
        _H.DOES_NOT_FIT: _NOT_CHECKED,
        _H.CANCELLED: _SENT,
        _H.NOT_STARTED: _LATE,
        _H.ACCEPTED: _LATE,
        _H.SUCCEEDED: _TRANSIENT,
        _H.FAILED: _SAME,
        _H.NO_ANSWER: _WAIT,
        _H.RETRIED: Move(_S.CREATE),
        _H.GAVE_UP: Move(_S.ERROR),
        _H.RESTARTED: _NOT_ERROR,
        _H.CLOSED: _NOT_CLOSABLE,
        _H.FAILED_AFTER_CLOSE: _NOT_CLOSED,
        _H.ADOPTED: _UNDER_WAY,
    },
    _S.SUCCESS: {
        _H.FITS: _OVER,
        _H.DOES_NOT_FIT: _OVER,
        _H.CANCELLED: _OVER,
        _H.NOT_STARTED: _LATE,
        _H.ACCEPTED: _LATE,
        _H.SUCCEEDED: _SAME,
        _H.FAILED: Move(_S.REVERSED),
        _H.NO_ANSWER: _SAME,
        _H.RETRIED: _OVER,
        _H.GAVE_UP: _OVER,
        _H.RESTARTED: _NOT_ERROR,
        _H.CLOSED: _NOT_CLOSABLE,
        _H.FAILED_AFTER_CLOSE: Move(_S.CLOSED),
        _H.ADOPTED: _SAME,
    },
    _S.ERROR: {
        _H.FITS: _NOT_CHECKED,
        _H.DOES_NOT_FIT: _NOT_CHECKED,
        _H.CANCELLED: _SENT,
        _H.NOT_STARTED: _SAME,
        _H.ACCEPTED: Move(_S.PENDING),
        _H.SUCCEEDED: Move(_S.SUCCESS),
        _H.FAILED: _SAME,
        _H.NO_ANSWER: _WAIT,
        _H.RETRIED: _NOT_DECLINED,
        _H.GAVE_UP: _SAME,
        _H.RESTARTED: Move(_S.CREATE),
        _H.CLOSED: Move(_S.CLOSED),
        _H.FAILED_AFTER_CLOSE: _NOT_CLOSED,
        _H.ADOPTED: Move(_S.SUCCESS),
    },
    _S.REVERSED: {
        _H.FITS: _OVER,
        _H.DOES_NOT_FIT: _OVER,
        _H.CANCELLED: _OVER,
        _H.NOT_STARTED: _LATE,
        _H.ACCEPTED: _LATE,
        _H.SUCCEEDED: _LATE,
        _H.FAILED: _SAME,
        _H.NO_ANSWER: _SAME,
        _H.RETRIED: _OVER,
        _H.GAVE_UP: _OVER,
        _H.RESTARTED: _NOT_ERROR,
        _H.CLOSED: _NOT_CLOSABLE,
        _H.FAILED_AFTER_CLOSE: _NOT_CLOSED,
        _H.ADOPTED: Move(_S.SUCCESS),
    },
    _S.REJECTED: {
        _H.FITS: _OVER,
        _H.DOES_NOT_FIT: _SAME,
        _H.CANCELLED: _OVER,
        _H.NOT_STARTED: _NOT_SENT,
        _H.ACCEPTED: _NOT_SENT,
        _H.SUCCEEDED: _NOT_SENT,
        _H.FAILED: _NOT_SENT,
        _H.NO_ANSWER: _SAME,
        _H.RETRIED: _OVER,
        _H.GAVE_UP: _OVER,
        _H.RESTARTED: _NOT_ERROR,
        _H.CLOSED: _NOT_CLOSABLE,
        _H.FAILED_AFTER_CLOSE: _NOT_CLOSED,
        _H.ADOPTED: _NOT_SENT,
    },
    _S.CANCELLED: {
        _H.FITS: _OVER,
        _H.DOES_NOT_FIT: _OVER,
        _H.CANCELLED: _SAME,
        _H.NOT_STARTED: _NOT_SENT,
        _H.ACCEPTED: _NOT_SENT,
        _H.SUCCEEDED: _NOT_SENT,
        _H.FAILED: _NOT_SENT,
        _H.NO_ANSWER: _SAME,
        _H.RETRIED: _OVER,
        _H.GAVE_UP: _OVER,
        _H.RESTARTED: _NOT_ERROR,
        _H.CLOSED: _NOT_CLOSABLE,
        _H.FAILED_AFTER_CLOSE: _NOT_CLOSED,
        _H.ADOPTED: _NOT_SENT,
    },
    _S.CLOSED: {
        _H.FITS: _OVER,
        _H.DOES_NOT_FIT: _OVER,
        _H.CANCELLED: _OVER,
        _H.NOT_STARTED: _SAME,
        _H.ACCEPTED: Move(_S.PENDING),
        _H.SUCCEEDED: Move(_S.SUCCESS),
        _H.FAILED: _SAME,
        _H.NO_ANSWER: _SAME,
        _H.RETRIED: _OVER,
        _H.GAVE_UP: _OVER,
        _H.RESTARTED: _NOT_ERROR,
        _H.CLOSED: Move(_S.CLOSED),
        _H.FAILED_AFTER_CLOSE: Move(_S.CLOSED),
        _H.ADOPTED: Move(_S.SUCCESS),
    },
}


def rule(state: RefundState, happened: Happened) -> Ruling:
    """Return what the event means in the state. Never raises: the table is total (a test walks all of it)."""
    return TABLE[state][happened] if state in TABLE else _NEWER


def releases(state: RefundState, to: RefundState) -> bool:
    """Return whether this move proves that no money went out, so that the sum no longer counts as spent.

    Everything else counts, UNKNOWN and an ERROR that came of it included. What closing releases depends on how it was settled: whoever
    closes says it (``close.held``).
    """
    if to in {_S.REJECTED, _S.CANCELLED, _S.REVERSED}:
        return True
    return to is _S.ERROR and state in {_S.CREATE, _S.DECLINED}
