"""The life of one delivery, and what each outcome of a call means for it.

``pending`` → ``sending`` (leased) → ``sent`` | ``failed`` | ``unknown``; ``dropped`` when nobody needs it any more. Unknown means the
provider may have it: the call's answer was lost, or the sender died before it wrote the outcome down. No notice is lost, so an unknown one
is sent again and says that it may be a repeat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, TypeAlias

_FIRST_DELAY = timedelta(seconds=1)
_LONGEST_DELAY = timedelta(minutes=5)
_LONGEST_PAUSE = 3600.0  # asked to wait for longer, we ask again after an hour
_MOST_MOVES = 3
_MOST_SHRINKS = 3
THROTTLED = "the provider's limit"
"""The reason of an attempt that the provider refused because of a limit (429): nothing failed."""


class State(StrEnum):
    """Where a delivery stands. ``pending`` and ``unknown`` can be claimed; ``sent``, ``failed`` and ``dropped`` are the end."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider has it, under this id. ``place`` is where it lies when edits must name that (Slack: the channel's id)."""

    message_id: str
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """The message to edit is not there, or cannot be edited any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class TooLong:
    """The provider will not take so much in one message; it does not have it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """The provider refused because of a limit (429): it does not have it, and the chat waits that many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Moved:
    """The chat has another id from now on (a group became a supergroup); the provider does not have the message."""

    address: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider will never take it. ``whole_channel``: it takes nothing there (blocked, kicked, no such chat)."""

    reason: str
    whole_channel: bool


@dataclass(frozen=True, slots=True)
class NotSent:
    """It certainly did not arrive and may later: no connection, or a token that an operator has to mend."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """It may have arrived: no answer, or an answer that says nothing (5xx)."""

    reason: str


Outcome: TypeAlias = Sent | Gone | TooLong | Throttled | Moved | Refused | NotSent | Unclear


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long a delivery is tried: ``give_up_after`` its creation, but never before ``least_attempts``.

    What waited while nothing was running must not be given up because the first call afterwards fails.
    """

    give_up_after: timedelta = timedelta(hours=6)
    least_attempts: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """What becomes of a delivery. ``alone``: next time it goes in a message of its own; ``shrink``: in smaller pages.

    ``problem``: on-call must hear of it; ``channel`` takes nothing any more, or only this ``notice`` is refused.
    """

    state: State
    not_before: datetime
    reason: str | None = None
    alone: bool = False
    shrink: bool = False
    problem: Literal["channel", "notice"] | None = None


def after(
    outcome: Outcome,
    *,
    now: datetime,
    created_at: datetime,
    attempts: int,
    shared: bool,
    jitter: float,
    retry_policy: RetryPolicy,
    shrunk: int = 0,
) -> After:
    """Decide what an outcome means for one delivery of the message.

    ``attempts`` counts this one. ``shared``: other notices were in the same message. ``jitter`` is random in [0, 1). ``shrunk``: how often
    its pages were made smaller already.
    """
    if isinstance(outcome, Sent):
        return After(state=State.SENT, not_before=now)
    if isinstance(outcome, TooLong | Gone):
        if shared or (isinstance(outcome, TooLong) and shrunk < _MOST_SHRINKS):
            return After(state=State.PENDING, not_before=now, reason=outcome.reason, alone=True, shrink=not shared)
        return After(state=State.FAILED, not_before=now, reason=outcome.reason, problem="notice")
    if isinstance(outcome, Refused):
        if shared and not outcome.whole_channel:
            return After(state=State.PENDING, not_before=now, reason=outcome.reason, alone=True)
        return After(
            state=State.FAILED,
            not_before=now,
            reason=outcome.reason,
            problem="channel" if outcome.whole_channel else "notice",
        )
    if now - created_at >= retry_policy.give_up_after and attempts >= retry_policy.least_attempts:
        return After(state=State.FAILED, not_before=now, reason=f"given up: {_reason(outcome)}", problem="channel")
    if isinstance(outcome, Throttled):
        return After(state=State.PENDING, not_before=now, reason=THROTTLED)
    if isinstance(outcome, Moved):
        wait = backoff(attempts, jitter) if attempts > _MOST_MOVES else timedelta(0)
        return After(state=State.PENDING, not_before=now + wait, reason="the chat moved")
    state = State.UNKNOWN if isinstance(outcome, Unclear) else State.PENDING
    return After(state=state, not_before=now + backoff(attempts, jitter), reason=outcome.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterEdit:
    """What becomes of an edit, or of a digest's message.

    ``done``: it says what was wanted. ``gone``: it is to be posted anew. ``given_up``: nobody tries any more. ``unclear``: a new message
    may have arrived, and says so when it comes again.
    """

    not_before: datetime
    done: bool = False
    gone: bool = False
    given_up: bool = False
    unclear: bool = False
    message_id: str | None = None
    place: str | None = None
    reason: str | None = None
    problem: bool = False


def after_edit(
    outcome: Outcome,
    *,
    now: datetime,
    created_at: datetime,
    attempts: int,
    was_edit: bool,
    jitter: float,
    retry_policy: RetryPolicy,
) -> AfterEdit:
    """Decide what an outcome means for an edit, or for a message that is posted in place of one that is gone.

    An edit may be made any number of times, so one whose answer was lost is simply made again; only a stale one is given up.
    """
    if isinstance(outcome, Sent):
        return AfterEdit(not_before=now, done=True, message_id=outcome.message_id, place=outcome.place)
    if isinstance(outcome, Gone) and was_edit:
        return AfterEdit(not_before=now, gone=True, reason=outcome.reason)
    if isinstance(outcome, Refused | TooLong | Gone):
        whole = isinstance(outcome, Refused) and outcome.whole_channel
        return AfterEdit(not_before=now, given_up=True, reason=outcome.reason, problem=whole)
    if now - created_at >= retry_policy.give_up_after and attempts >= retry_policy.least_attempts:
        return AfterEdit(not_before=now, given_up=True, reason=f"given up: {_reason(outcome)}")
    if isinstance(outcome, Throttled | Moved):
        return AfterEdit(not_before=now, reason=_reason(outcome))
    unclear = isinstance(outcome, Unclear) and not was_edit
    return AfterEdit(not_before=now + backoff(attempts, jitter), unclear=unclear, reason=_reason(outcome))


def pause_for(outcome: Throttled) -> timedelta:
    """Return how long a chat waits after a 429: what the provider asks for, within sense (0 to an hour; a second if it is no number)."""
    seconds = outcome.seconds if math.isfinite(outcome.seconds) or outcome.seconds > 0 else 1.0
    return timedelta(seconds=min(_LONGEST_PAUSE, max(0.0, seconds)))


def backoff(attempts: int, jitter: float) -> timedelta:
    """Return the delay after this many attempts: doubling from a second, at most five minutes, between half and whole of that."""
    doublings = min(max(attempts, 1) - 1, 16)
    longest = min(_LONGEST_DELAY, _FIRST_DELAY * (1 << doublings))
    return longest * (0.5 + jitter / 2)


def _reason(outcome: Outcome) -> str:
    if isinstance(outcome, Unclear | NotSent):
        return outcome.reason
    return "the chat keeps moving" if isinstance(outcome, Moved) else THROTTLED
