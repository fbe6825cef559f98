"""Send what is due: claim with a lease, call outside any transaction, record the outcome; as many at a time as the limits allow."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from common.postgres import Connection
from common.telemetry import extract, get_logger, span, trace_id
from notifier.delivery.at_once import ClaimAdded, lease_until
from notifier.delivery.journal import DeliveryJournal
from notifier.delivery.model import (
    ROOM,
    Added,
    ChatQueue,
    Claim,
    Digest,
    Message,
    Sender,
    StaleMessage,
    Work,
    claim_of,
    opens,
)
from notifier.delivery.next_message import NextMessage, Option
from notifier.delivery.outcomes import NotSent, Outcome, Refused, RetryPolicy, Sent, State, Unclear
from notifier.delivery.queue import DeliveryQueue, DeliveryQueues
from notifier.delivery.record import Outcomes
from notifier.messages.channels import CHANNELS
from notifier.messages.digest_notices import MOST_WORST
from notifier.messages.links import Links
from notifier.messages.words import Words
from notifier.metrics import NotifierMetrics
from notifier.people.model import Directory

_log = get_logger()


class Deliver:
    """The sender of one channel. Any number may run, in any number of replicas: a chat is used by one at a time.

    Guarantees: notices of one order reach a destination in the order of their versions; no provider's limit is exceeded; every notice ends
    ``sent``, ``failed`` (and then on-call hears of it) or ``dropped``; a notice is sent twice only when nobody can know whether the first
    attempt arrived, and then it says so. A message about a problem is edited until it says how the problem stands. In a storm one digest
    stands for all problems, but for one critical page per group.
    """

    def __init__(
        self,
        *,
        channel: str,
        queues: DeliveryQueues,
        sender: Sender,
        words: Words,
        watch: NotifierMetrics,
        environment: str = "production",
        deadline: float = 10.0,
        retry_policy: RetryPolicy | None = None,
        combine_above: int = 3,
        storm_above: int = 20,
        directory: Directory | None = None,
        links: Links | None = None,
        jitter: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.channel = self._channel = channel
        self._queues = queues
        self._sender = sender
        self._watch = watch
        self._deadline = deadline
        self._monotonic = monotonic
        self._next = NextMessage(
            channel=channel,
            words=words,
            combine_above=combine_above,
            storm_above=storm_above,
            environment=environment,
            directory=directory,
            links=links,
        )
        self._claim_added = ClaimAdded(
            channel=channel, next_message=self._next, limits=queues.limits, deadline=deadline, monotonic=monotonic
        )
        self._journal = DeliveryJournal(channel=channel, words=words)
        self._outcomes = Outcomes(
            rules=CHANNELS[channel],
            journal=self._journal,
            jitter=jitter,
            retry_policy=retry_policy or RetryPolicy(),
            words=words,
        )

    async def claim(self) -> Claim | None:
        """Take the next message of any chat, or None when nothing can be sent now."""
        while True:
            taken_at = self._monotonic()
            async with self._queues.transaction() as queue:
                chat = await queue.next_chat()
                if chat is None:
                    return None
                claim = await self._claim_in(queue, chat, taken_at=taken_at)
                if claim is not None:
                    return claim

    async def claim_added(self, connection: Connection, added: Sequence[Added], *, most: int) -> list[Claim]:
        """Take what of these deliveries may go at once, in the transaction that has added them; the rest is left to ``claim``."""
        return await self._claim_added(connection, added, most=most)

    async def _claim_in(self, queue: DeliveryQueue, chat: ChatQueue, *, taken_at: float) -> Claim | None:
        storms = self._next.storms(chat)
        if storms:
            for topic in storms:
                await queue.absorb(chat, await queue.open_digest(chat, topic))
            chat = self._next.without_absorbed(await queue.look_again(chat))
        options = self._next.options(chat)
        if not options:
            # Everything here waits for something: its time, or an earlier notice of its order.
            await queue.postpone(chat, chat.now + timedelta(seconds=0.25))
            return None
        for option in options:
            if opens(chat, option.limits) <= chat.now:
                return await self._claim_option(queue, chat, option, taken_at=taken_at)
        await self._wait(queue, chat, options)
        return None

    async def _wait(self, queue: DeliveryQueue, chat: ChatQueue, options: Sequence[Option]) -> None:
        """Leave alone what has no free place: an edit by itself; new notices with the whole chat, or with all that is not urgent."""
        for option in options:
            until = opens(chat, option.limits) + ROOM
            if isinstance(option.what, StaleMessage):
                await queue.hold_edit(option.what, until)
            elif option.what is not None:
                await queue.hold_digest(option.what, until)
            elif option.urgent or opens(chat, chat.limits) > chat.now:
                await queue.hold(chat, min(until, opens(chat, chat.limits) + ROOM))
            else:
                await queue.urgent_only(chat, until)

    async def _claim_option(
        self, queue: DeliveryQueue, chat: ChatQueue, option: Option, *, taken_at: float
    ) -> Claim | None:
        made = await self._next_work(queue, chat, option)
        if made is None:
            return None
        message, work = made
        claim, windows = claim_of(chat, message, work, deadline=timedelta(seconds=self._deadline), taken_at=taken_at)
        await queue.claim(chat, claim, windows=windows, lease_until=lease_until(chat.now, deadline=self._deadline))
        return claim

    async def _next_work(self, queue: DeliveryQueue, chat: ChatQueue, option: Option) -> tuple[Message, Work] | None:
        if isinstance(option.what, Digest):
            return await self._digest(queue, chat, option.what), option.what
        if isinstance(option.what, StaleMessage):
            return await self._edit(queue, chat, option.what)
        entries, unrenderable = self._next.entries(chat)
        if unrenderable:
            await queue.fail_permanently({waiting.id: reason for waiting, reason in unrenderable})
            await queue.add_to_outbox(*self._journal.unrenderable(chat.key, unrenderable, chat.now))
            for waiting, reason in unrenderable:
                await queue.end_listed(waiting, state=State.FAILED, reason=reason, message_id=None, at=chat.now)
                self._watch.delivered(
                    channel=self._channel, kind=waiting.kind, outcome=State.FAILED.value, seconds=None
                )
        return (self._next.post(chat, entries), entries) if entries else None

    async def _digest(self, queue: DeliveryQueue, chat: ChatQueue, digest: Digest) -> Message:
        """Numbers that the digest's own message has no room for go into lists, messages of their own."""
        _, before = await queue.listed(digest)
        lists, rest = self._next.lists(await queue.unlisted(digest))
        for part, named in enumerate(lists, start=before + 1):
            document = self._next.list_of([number for _, number in named], part=part)
            await queue.add_list(digest, part, document, [delivery for delivery, _ in named], now=chat.now)
        return self._next.digest(
            chat,
            digest,
            tally=await queue.tally(digest),
            worst=await queue.worst(digest, MOST_WORST),
            orders=rest,
            listed=await queue.listed(digest),
        )

    async def _edit(self, queue: DeliveryQueue, chat: ChatQueue, stale: StaleMessage) -> tuple[Message, Work] | None:
        try:
            if stale.parts:  # else its notices were deleted as too old
                return self._next.edit(chat, stale), stale
        except Exception as error:  # noqa: BLE001 - a message that cannot be rendered any more must not stop the chat
            _log.error("post_not_rendered", chat=chat.key, exc_info=error)
        await queue.forget_post(stale)
        return None

    async def send(self, claim: Claim) -> Outcome:
        """Make the call. It has a deadline, counted from the claim, and holds no transaction.

        The windows' places are held until that deadline: a sender that was kept from calling for so long (a stopped process, a
        crowded machine) calls no more, for somebody else may be sending by then.
        """
        trace = claim.entries[0].waiting.traceparent if claim.entries else None
        parent = {"traceparent": trace} if trace else {}
        started = self._monotonic()
        left = claim.taken_at + self._deadline - started
        with span("notification.send", context=extract(parent), channel=self._channel):
            if left <= 0:
                outcome: Outcome = NotSent("the sender was held up for too long")
            else:
                outcome = await self._called(claim, left)
            self._log(claim, outcome)
        name = type(outcome).__name__.lower()
        self._watch.called(
            channel=self._channel, outcome=name, notices=max(1, len(claim.entries)), seconds=self._monotonic() - started
        )
        if not claim.entries:
            self._watch.edited(channel=self._channel, outcome=name)
        return outcome

    async def _called(self, claim: Claim, seconds: float) -> Outcome:
        try:
            return await self._sender.send(claim.message, deadline=seconds)
        except Exception as error:  # noqa: BLE001 - a fault of ours in one message must not stop the channel; it is tried again, then reported
            _log.error("notification_sender_failed", channel=self._channel, exc_info=error)
            return Unclear(type(error).__name__)

    async def record(self, claim: Claim, outcome: Outcome) -> bool:
        """Write the outcome down, with the journal entries and problems it means, in one transaction.

        Returns whether there may be more to send in that chat.
        """
        async with self._queues.transaction() as queue:
            recorded = await self._outcomes.record(queue, claim, outcome, pause=ROOM)
        for waiting, state in recorded.ended:
            waited = (recorded.at - waiting.created_at).total_seconds()
            self._watch.delivered(
                channel=self._channel,
                kind=waiting.kind,
                outcome=state.value,
                seconds=waited if state is State.SENT else None,
            )
        return recorded.more

    def _log(self, claim: Claim, outcome: Outcome) -> None:
        name = type(outcome).__name__.lower()
        if not claim.entries:
            _log.info(
                "notification_edited",
                channel=self._channel,
                chat=claim.chat,
                outcome=name,
                subject=claim.message.subject,
            )
        trace = trace_id()
        for entry in claim.entries:
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
