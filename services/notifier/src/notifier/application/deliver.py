"""Send what is due: claim with a lease, call outside any transaction, write the outcome down."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol
from uuid import uuid4

from common.ids import derived_id
from common.telemetry import extract, get_logger, span, trace_id
from notifier.application.delivery_stories import Stories
from notifier.application.ports import Claim, Entry, Lane, Message, Queue, Queues, Sender, Waiting
from notifier.domain import limits as rate
from notifier.domain.deliveries import (
    After,
    Moved,
    NotSent,
    Outcome,
    Patience,
    Refused,
    Sent,
    State,
    Throttled,
    Unclear,
    after,
    pause_for,
)
from notifier.domain.document import Document
from notifier.domain.layout import Layout
from notifier.domain.packing import Candidate, must_combine, pack
from notifier.domain.wording import Words

_log = get_logger()
_ROOM = timedelta(milliseconds=50)  # the provider's clock may run a little faster than the database's


class Watch(Protocol):
    """Counts what happens to notices."""

    def delivered(self, *, channel: str, kind: str, outcome: str, seconds: float | None) -> None:
        """One notice came to an outcome; ``seconds`` since the event was taken in, when it was sent."""
        ...

    def called(self, *, channel: str, outcome: str, notices: int, seconds: float) -> None:
        """One message was tried."""
        ...


class Deliver:
    """The sender of one channel. Any number may run, in any number of replicas: a lane is used by one at a time.

    Guarantees: notices of one order reach a destination in the order of their versions; no provider's limit is exceeded; every notice ends
    ``sent`` or ``failed`` (and then on-call hears of it); a notice is sent twice only when nobody can know whether the first
    attempt arrived, and then it says so.
    """

    def __init__(
        self,
        *,
        channel: str,
        queues: Queues,
        sender: Sender,
        layout: Layout,
        words: Words,
        watch: Watch,
        deadline: float = 10.0,
        patience: Patience | None = None,
        combine_above: int = 3,
        jitter: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = channel
        self._queues = queues
        self._sender = sender
        self._layout = layout
        self._words = words
        self._watch = watch
        self._deadline = deadline
        self._patience = patience or Patience()
        self._combine_above = combine_above
        self._jitter = jitter
        self._monotonic = monotonic
        self._stories = Stories(channel=channel, words=words)

    async def claim(self) -> Claim | None:
        """Take the next message of any lane, or None when nothing can be sent now."""
        while True:
            taken_at = self._monotonic()
            async with self._queues.transaction() as queue:
                lane = await queue.next_lane()
                if lane is None:
                    return None
                claim = await self._claim_in(queue, lane, taken_at=taken_at)
                if claim is not None:
                    return claim

    async def _claim_in(self, queue: Queue, lane: Lane, *, taken_at: float) -> Claim | None:
        opens = max(
            (rate.opens_at(lane.windows.get(limit.key, ()), limit, lane.now) for limit in lane.limits), default=lane.now
        )
        if opens > lane.now:
            await queue.postpone(lane, opens + _ROOM)
            return None
        if not lane.waiting:
            # Everything here waits for something: its time, or an earlier notice of its order.
            await queue.postpone(lane, lane.now + timedelta(seconds=0.25))
            return None
        entries, spoilt = self._choose(lane)
        if spoilt:
            await queue.spoil({waiting.id: reason for waiting, reason in spoilt})
            await queue.promise(*self._stories.spoilt(lane.key, spoilt, lane.now))
            for waiting, _ in spoilt:
                self._watch.delivered(
                    channel=self._channel, kind=waiting.kind, outcome=State.FAILED.value, seconds=None
                )
        if not entries:
            return None
        until = lane.now + timedelta(seconds=self._deadline) + _ROOM
        windows: dict[str, tuple[datetime, ...]] = {}
        held: dict[str, datetime] = {}
        for limit in lane.limits:
            windows[limit.key], held[limit.key] = rate.take(
                lane.windows.get(limit.key, ()), limit, lane.now, until=until
            )
        head = entries[0].waiting
        claim = Claim(
            id=str(uuid4()),
            lane=lane.key,
            message=Message(
                key=derived_id("notice", *(f"{entry.waiting.id}:{entry.pages[0].number}" for entry in entries)),
                channel=self._channel,
                address=lane.address,
                topic=head.topic,
                entries=entries,
            ),
            held=held,
            taken_at=taken_at,
            refused=lane.refused,
        )
        # Twice the deadline, so that a slow sender has written its outcome down long before anyone thinks it dead.
        lease = lane.now + timedelta(seconds=2 * self._deadline + 5)
        await queue.claim(lane, claim, windows=windows, lease_until=lease)
        return claim

    def _choose(self, lane: Lane) -> tuple[tuple[Entry, ...], list[tuple[Waiting, str]]]:
        """Return what goes into the next message, and what of the lane's head can never be rendered, with the reason."""
        head = lane.waiting[0]
        mates = [waiting for waiting in lane.waiting if waiting.topic == head.topic]
        free = min(
            (rate.free(lane.windows.get(limit.key, ()), limit, lane.now) for limit in lane.limits if limit.places > 1),
            default=self._combine_above,
        )
        combine = must_combine(waiting=len(lane.waiting), free=free, patience=self._combine_above)
        candidates: dict[int, Candidate] = {}
        spoilt: list[tuple[Waiting, str]] = []
        used = 0
        for waiting in mates:
            try:
                candidates[waiting.id], price = self._candidate(waiting)
            except Exception as error:  # noqa: BLE001 - a notice that cannot be rendered must not stop the others behind it
                _log.error("notice_not_rendered", delivery_id=str(waiting.id), kind=waiting.kind, exc_info=error)
                spoilt.append((waiting, f"the notice cannot be rendered ({type(error).__name__})"))
                continue
            used += price
            if not combine or used > self._layout.limit:
                break  # writing notices out takes time, and intake shares the loop: no more than can go now
        by_id = {waiting.id: waiting for waiting in mates}
        entries = tuple(
            Entry(
                waiting=by_id[part.id],
                pages=candidates[part.id].pages[part.first : part.end],
                mark=candidates[part.id].mark,
                last=part.end == len(candidates[part.id].pages),
            )
            for part in pack(list(candidates.values()), self._layout, combine=combine)
        )
        return entries, spoilt

    def _candidate(self, waiting: Waiting) -> tuple[Candidate, int]:
        """Render a notice; returns it with what its remaining pages take of a message. Raises whatever a broken document makes."""
        pages = self._layout.pages(Document.from_json(waiting.document))
        candidate = Candidate(
            id=waiting.id,
            pages=pages,
            done=min(waiting.pages_done, len(pages) - 1),
            mark=self._words["possibly_repeated"] if waiting.possibly_repeated else None,
            alone=waiting.alone,
        )
        # Writes every line out: what cannot be written shows here, not in the call.
        return candidate, sum(self._layout.cost(page, candidate.mark) for page in pages[candidate.done :])

    async def send(self, claim: Claim) -> Outcome:
        """Make the call. It has a deadline, counted from the claim, and holds no transaction.

        The windows' places are held until that deadline: a sender that was kept from calling for so long (a stopped process, a
        crowded machine) calls no more, for somebody else may be sending by then.
        """
        head = claim.message.entries[0].waiting
        parent = {"traceparent": head.traceparent} if head.traceparent else {}
        started = self._monotonic()
        left = claim.taken_at + self._deadline - started
        with span("notification.send", context=extract(parent), channel=self._channel):
            if left <= 0:
                outcome: Outcome = NotSent("the sender was held up for too long")
            else:
                outcome = await self._called(claim, left)
            self._log(claim, outcome)
        self._watch.called(
            channel=self._channel,
            outcome=type(outcome).__name__.lower(),
            notices=len(claim.message.entries),
            seconds=self._monotonic() - started,
        )
        return outcome

    async def _called(self, claim: Claim, seconds: float) -> Outcome:
        try:
            return await self._sender.send(claim.message, deadline=seconds)
        except Exception as error:  # noqa: BLE001 - a fault of ours in one message must not stop the channel; it is tried, then told
            _log.error("notification_sender_failed", channel=self._channel, exc_info=error)
            return Unclear(type(error).__name__)

    async def record(self, claim: Claim, outcome: Outcome) -> None:
        """Write the outcome down, with the journal entries and problems it means, in one transaction."""
        async with self._queues.transaction() as queue:
            now = await queue.now()
            results = [
                (entry, self._after(entry, outcome, now, shared=len(claim.message.entries) > 1))
                for entry in claim.message.entries
            ]
            if isinstance(outcome, Throttled):
                await queue.pause(claim, now + pause_for(outcome) + _ROOM)
            if isinstance(outcome, Moved):
                await queue.move(claim, outcome.address)
            message_id = outcome.message_id if isinstance(outcome, Sent) else None
            ours = await queue.record(claim, results, message_id=message_id, at=now)
            mine = [(entry, result) for entry, result in results if entry.waiting.id in ours]
            events = self._stories.of(claim, mine, message_id=message_id, now=now)
            refused = any(result.problem == "channel" for _, result in mine)
            if refused and not claim.refused:
                await queue.refuses(claim, True)
            elif claim.refused and isinstance(outcome, Sent):
                await queue.refuses(claim, False)
                events.append(self._stories.works_again(claim, now))
            await queue.promise(*events)
        for entry, result in mine:
            if result.state in {State.SENT, State.FAILED, State.UNKNOWN}:
                waited = (now - entry.waiting.created_at).total_seconds()
                self._watch.delivered(
                    channel=self._channel,
                    kind=entry.waiting.kind,
                    outcome=result.state.value,
                    seconds=waited if result.state is State.SENT else None,
                )

    def _after(self, entry: Entry, outcome: Outcome, now: datetime, *, shared: bool) -> After:
        if isinstance(outcome, Sent) and not entry.last:
            return After(state=State.PENDING, not_before=now, reason="more pages follow")
        return after(
            outcome,
            now=now,
            created_at=entry.waiting.created_at,
            attempts=entry.waiting.attempts + 1,
            shared=shared,
            jitter=self._jitter(),
            patience=self._patience,
        )

    def _log(self, claim: Claim, outcome: Outcome) -> None:
        name = type(outcome).__name__.lower()
        trace = trace_id()
        for entry in claim.message.entries:
            waiting = entry.waiting
            fields: dict[str, object] = {
                "channel": self._channel,
                "destination": waiting.destination,
                "kind": waiting.kind,
                "order_number": waiting.order_number,
                "delivery_id": str(waiting.id),
            }
            own = _trace_of(waiting.traceparent)
            if own is not None and own != trace:
                fields["trace_id"] = own  # several orders share this message; each keeps its own trace in the log
            if isinstance(outcome, Sent):
                _log.info("notification_sent", message_id=outcome.message_id, **fields)
            else:
                reason = outcome.reason if isinstance(outcome, Refused) else name
                _log.warning("notification_not_sent", outcome=name, reason=reason, **fields)


def _trace_of(traceparent: str | None) -> str | None:
    parts = traceparent.split("-") if traceparent else []
    return parts[1] if len(parts) >= 4 else None
