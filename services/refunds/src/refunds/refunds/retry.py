"""Retries of a refund: how long to wait before the next look, and when to stop trying."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from common.clock import full_jitter
from refunds.refunds.model import Refund
from refunds.refunds.states import RefundState

_SPREAD = 0.1  # of a rung: many refunds that became unknown together are not looked up together


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waiting times, in seconds.

    ``retry_base``/``retry_cap``: full jitter while the gateway is definitely away, or a declined refund is tried again.
    ``poll_base``/``poll_cap``: while the gateway works on it. ``unknown``: the ladder for an outcome that is not known (after 30 seconds,
    5 minutes, an hour, then every 6 hours), each rung from the last look; its last rung repeats. ``give_up_after``: of trying in
    CREATE, SENDING or UNKNOWN, after which a person is needed; it never means that the refund failed. ``declines``: definite failures
    until a person is needed.
    """

    retry_base: float = 1.0
    retry_cap: float = 300.0
    poll_base: float = 1.0
    poll_cap: float = 300.0
    unknown: tuple[float, ...] = (30.0, 300.0, 3600.0, 21600.0)
    give_up_after: float = 3 * 86400.0
    declines: int = 3

    def retry_at(self, tries: int, *, now: datetime) -> datetime:
        """When to try again what definitely did not happen."""
        return now + timedelta(seconds=full_jitter(tries, base=self.retry_base, cap=self.retry_cap))

    def poll_at(self, tries: int, *, now: datetime) -> datetime:
        """When to ask again how far it is: never at once, or a fast gateway would be asked in a tight loop."""
        least = min(self.poll_base, self.poll_cap) / 2
        return now + timedelta(seconds=least + full_jitter(tries, base=least, cap=self.poll_cap))

    def look_up_at(self, *, unknown_since: datetime, now: datetime) -> datetime:
        """When to look an unknown outcome up next: the rung that its age has come to, a little earlier by jitter.

        It depends on the age alone, so that an outage of the gateway, in which nothing can be looked up, climbs no rung by itself.
        """
        age, reached = (now - unknown_since).total_seconds(), 0.0
        for rung in self.unknown:
            reached += rung * (1 - _SPREAD)
            if age < reached:
                break
        return now + timedelta(seconds=rung * (1 - _SPREAD) + full_jitter(0, base=rung * _SPREAD, cap=rung * _SPREAD))

    def exhausted(self, refund: Refund, *, trying_since: datetime, now: datetime) -> bool:
        """Return whether a person is needed. A refund that the gateway works on is waited for, however long it takes."""
        if refund.state is RefundState.PENDING:
            return False
        return now - trying_since >= timedelta(seconds=self.give_up_after)
