"""How often a provider lets us send: windows, kept in the database so that replicas share them and a restart forgets nothing.

A window says "at most N in any period". Each sending holds one place from the moment it is claimed; while the call is under way
the place is dated at the call's deadline, and when the call ended, at that moment. So whenever the provider counts a message as
arrived (somewhere between the start and the end of the call), no period ever holds more than N. A bucket of tokens
with N places that refills at the same rate allows twice N within a period after a rest; providers that count a sliding minute refuse that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most ``places`` sendings in any ``period``; ``key`` names the window in the database."""

    key: str
    places: int
    period: timedelta

    def __post_init__(self) -> None:
        if self.places < 1 or self.period <= timedelta(0):
            raise ValueError(f"limit {self.key} allows nothing")


def calm(limit: Limit, kept: int) -> Limit:
    """Return the limit for what is not urgent: ``kept`` places of a larger window are left to what is."""
    return replace(limit, places=limit.places - kept) if limit.places > 2 * kept else limit


def live(stamps: Sequence[datetime], limit: Limit, now: datetime) -> tuple[datetime, ...]:
    """Return the stamps that still count, oldest first."""
    return tuple(sorted(stamp for stamp in stamps if stamp > now - limit.period))


def free(stamps: Sequence[datetime], limit: Limit, now: datetime) -> int:
    """Return how many sendings may start now."""
    return max(0, limit.places - len(live(stamps, limit, now)))


def opens_at(stamps: Sequence[datetime], limit: Limit, now: datetime) -> datetime:
    """Return the first moment, not before ``now``, at which a sending may start if nothing else happens.

    A call that is under way may end before its deadline, so the true moment can be earlier; asking again at this one is safe.
    """
    counted = live(stamps, limit, now)
    if len(counted) < limit.places:
        return now
    return counted[len(counted) - limit.places] + limit.period


def take(
    stamps: Sequence[datetime], limit: Limit, now: datetime, *, until: datetime
) -> tuple[tuple[datetime, ...], datetime]:
    """Hold a place until the call's deadline: returns (the window's new stamps, the stamp that is ours).

    The stamp is unique within the window, so that it can be found again. Raises ``ValueError`` when no place is free.
    """
    counted = live(stamps, limit, now)
    if len(counted) >= limit.places:
        raise ValueError(f"no place is free in {limit.key}")
    held = until
    while held in counted:
        held += _TICK
    return (*counted, held), held


def telegram_limits(*, bot: str, chat: str) -> tuple[Limit, ...]:
    """Return Telegram's limits for a chat: one a second; 20 a minute in a group; 30 a second for the bot.

    Ids of groups, supergroups and channels are negative; ``@name`` is a channel or a public group.
    """
    second, minute = timedelta(seconds=1), timedelta(minutes=1)
    limits = [
        Limit(key=f"telegram:bot:{bot}", places=30, period=second),
        Limit(key=f"telegram:chat:{chat}", places=1, period=second),
    ]
    if chat.startswith(("-", "@")):
        limits.append(Limit(key=f"telegram:group:{chat}", places=20, period=minute))
    return tuple(limits)


def slack_limits(*, channel: str) -> tuple[Limit, ...]:
    """Return Slack's limit: one message a second a channel."""
    return (Limit(key=f"slack:channel:{channel}", places=1, period=timedelta(seconds=1)),)


def slack_edit_limits(*, workspace: str) -> tuple[Limit, ...]:
    """Return the limit of ``chat.update``: 50 a minute, whatever the channel."""
    return (Limit(key=f"slack:update:{workspace}", places=50, period=timedelta(minutes=1)),)


def mail_limits(*, address: str) -> tuple[Limit, ...]:
    """Return a limit of our own, for the reader's sake: one mail a second to an address."""
    return (Limit(key=f"mail:{address}", places=1, period=timedelta(seconds=1)),)
