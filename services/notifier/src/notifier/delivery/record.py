"""Writes the outcome of a call to the database: of deliveries, of an edited message, of a digest; in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from notifier.delivery.journal import DeliveryJournal
from notifier.delivery.model import Claim, Digest, Entry, StaleMessage, Waiting
from notifier.delivery.outcomes import (
    After,
    AfterEdit,
    Moved,
    Outcome,
    RetryPolicy,
    Sent,
    State,
    Throttled,
    after,
    after_edit,
    pause_for,
)
from notifier.delivery.queue import DeliveryQueue
from notifier.incidents.model import IncidentState
from notifier.messages.channels import ChannelRules
from notifier.messages.words import Words

_PAGES_AT_A_TIME = 5
_OTHERS_TURN = timedelta(seconds=5)
"""After so many pages a long notice lets the others in its chat go for so long: nobody's order waits for another's long comment."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was written down: the deliveries that are ``sent``, ``failed`` or ``unknown`` by it, when, and whether more waits there."""

    at: datetime
    ended: list[tuple[Waiting, State]]
    more: bool


class Outcomes:
    """Records the outcomes of one channel."""

    def __init__(
        self,
        *,
        rules: ChannelRules,
        journal: DeliveryJournal,
        jitter: Callable[[], float],
        retry_policy: RetryPolicy,
        words: Words,
    ) -> None:
        self._rules = rules
        self._journal = journal
        self._jitter = jitter
        self._retry_policy = retry_policy
        self._words = words

    async def record(self, queue: DeliveryQueue, claim: Claim, outcome: Outcome, *, pause: timedelta) -> Recorded:
        """Record an outcome, and free the chat."""
        if isinstance(claim.work, tuple) and isinstance(outcome, Sent) and self._rules.edits:
            await self._keep_post(queue, claim, outcome)  # locks incidents, and they come before chats
        now, more = await queue.free(claim)
        ended: list[tuple[Waiting, State]] = []
        if isinstance(claim.work, StaleMessage):
            await self._edited(queue, claim, claim.work, outcome, now=now)
        elif isinstance(claim.work, Digest):
            await self._digest_sent(queue, claim, claim.work, outcome, now=now)
        else:
            ended = await self._posted(queue, claim, outcome, now=now)
        if isinstance(outcome, Throttled):
            await queue.pause(claim, now + pause_for(outcome) + pause)
        if isinstance(outcome, Moved):
            await queue.move(claim, outcome.address)
        as_hoped = len(ended) == len(claim.entries) > 0 and isinstance(outcome, Sent)
        return Recorded(at=now, ended=ended, more=more or not as_hoped)

    async def _keep_post(self, queue: DeliveryQueue, claim: Claim, sent: Sent) -> None:
        seen = {
            entry.waiting.incident.id: entry.waiting.incident.version
            for entry in claim.entries
            if entry.waiting.incident is not None
        }
        if seen:
            await queue.keep_post(claim, sent=sent, seen=seen)

    async def _posted(
        self, queue: DeliveryQueue, claim: Claim, outcome: Outcome, *, now: datetime
    ) -> list[tuple[Waiting, State]]:
        entries = claim.entries
        results = [(entry, self._after(entry, outcome, now, shared=len(entries) > 1)) for entry in entries]
        message_id = outcome.message_id if isinstance(outcome, Sent) else None
        ours = await queue.record(claim, results, message_id=message_id, at=now)
        mine = [(entry, result) for entry, result in results if entry.waiting.id in ours]
        for entry, result in mine:
            if result.state in {State.SENT, State.FAILED}:
                await queue.end_listed(
                    entry.waiting, state=result.state, reason=result.reason, message_id=message_id, at=now
                )
        events = self._journal.of(claim, mine, message_id=message_id, now=now)
        refused = any(result.problem == "channel" for _, result in mine)
        if refused and not claim.refused:
            await queue.refuses(claim, True)
        elif claim.refused and isinstance(outcome, Sent):
            await queue.refuses(claim, False)
            events.append(self._journal.works_again(claim, now))
        for entry, result in mine:
            if entry.waiting.fallback_of is not None and result.state is State.SENT:
                await queue.receipt(entry, f"{self._words['instead']}: {entry.waiting.destination}, {message_id}")
        await queue.add_to_outbox(*events)
        ends = {State.SENT, State.FAILED, State.UNKNOWN}
        return [(entry.waiting, result.state) for entry, result in mine if result.state in ends]

    async def _edited(
        self, queue: DeliveryQueue, claim: Claim, post: StaleMessage, outcome: Outcome, *, now: datetime
    ) -> None:
        decided = self._after_edit(claim, outcome, now, created_at=post.created_at, attempts=post.attempts + 1)
        open_ones = [
            waiting.incident
            for waiting, _, _ in post.parts
            if waiting.incident is not None and waiting.incident.state is not IncidentState.RESOLVED
        ]
        if decided.gone and not open_ones:
            # Somebody deleted a message about problems that are over: nobody misses it.
            decided = AfterEdit(not_before=now, given_up=True, reason=decided.reason)
        await queue.record_edit(post, decided)

    async def _digest_sent(
        self, queue: DeliveryQueue, claim: Claim, digest: Digest, outcome: Outcome, *, now: datetime
    ) -> None:
        decided = self._after_edit(claim, outcome, now, created_at=digest.opened_at, attempts=digest.attempts + 1)
        ended = await queue.record_digest(
            digest, decided, at=now, again_at=now + timedelta(seconds=self._rules.digest_seconds)
        )
        if decided.problem and not claim.refused:
            await queue.refuses(claim, True)
            await queue.add_to_outbox(self._journal.digest_refused(claim, decided.reason or "", ended, now))
        elif claim.refused and decided.done:
            await queue.refuses(claim, False)
            await queue.add_to_outbox(self._journal.works_again(claim, now))

    def _after_edit(
        self, claim: Claim, outcome: Outcome, now: datetime, *, created_at: datetime, attempts: int
    ) -> AfterEdit:
        return after_edit(
            outcome,
            now=now,
            created_at=created_at,
            attempts=attempts,
            was_edit=claim.message.edits is not None,
            jitter=self._jitter(),
            retry_policy=self._retry_policy,
        )

    def _after(self, entry: Entry, outcome: Outcome, now: datetime, *, shared: bool) -> After:
        if isinstance(outcome, Sent) and not entry.last:
            before = entry.waiting.pages_done
            rests = before // _PAGES_AT_A_TIME < (before + len(entry.pages)) // _PAGES_AT_A_TIME
            not_before = now + _OTHERS_TURN if rests else now
            return After(state=State.PENDING, not_before=not_before, reason="more pages follow")
        return after(
            outcome,
            now=now,
            created_at=entry.waiting.created_at,
            attempts=entry.waiting.attempts + 1,
            shared=shared,
            jitter=self._jitter(),
            retry_policy=self._retry_policy,
            shrunk=entry.waiting.shrink,
        )
