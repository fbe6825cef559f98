"""Messages published about deliveries: lines of the order's timeline, and problems for on-call people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from common.contracts import Envelope
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.journal import JournalEntryV1
from common.ids import derived_id
from notifier.delivery.model import Claim, Entry, Waiting
from notifier.delivery.outcomes import After, State
from notifier.messages.words import Words

_SOURCE = "/notifier"
_MOST_ORDERS = 10


class DeliveryJournal:
    """Makes the events of one channel. The same outcome always gives events of the same ids."""

    def __init__(self, *, channel: str, words: Words) -> None:
        self._channel = channel
        self._words = words

    def of(
        self, claim: Claim, results: Sequence[tuple[Entry, After]], *, message_id: str | None, now: datetime
    ) -> list[Envelope]:
        """Return the events of a message's outcome: one line in the timeline of each order, one problem at most of each sort."""
        events: list[Envelope] = []
        for entry, result in results:
            if result.state in {State.SENT, State.FAILED}:
                events.extend(self._journal(entry.waiting, result, message_id, now))
        whole = [(entry.waiting, result.reason or "") for entry, result in results if result.problem == "channel"]
        single = [(entry.waiting, result.reason or "") for entry, result in results if result.problem == "notice"]
        if whole:
            events.append(self._problem("channel", claim.chat, whole, key=claim.id, now=now))
        if single:
            events.append(self._problem("notice", claim.chat, single, key=claim.id, now=now))
        return events

    def unrenderable(self, chat: str, unrenderable: Sequence[tuple[Waiting, str]], now: datetime) -> list[Envelope]:
        """Return the events of notices that can never be rendered."""
        events: list[Envelope] = []
        for waiting, reason in unrenderable:
            failed = After(state=State.FAILED, not_before=now, reason=reason)
            events.extend(self._journal(waiting, failed, None, now))
        key = ",".join(str(waiting.id) for waiting, _ in unrenderable)
        return [*events, self._problem("notice", chat, unrenderable, key=key, now=now)]

    def digest_refused(self, claim: Claim, reason: str, notices: int, now: datetime) -> Envelope:
        """Return the problem that a storm's digest is refused."""
        problem = ProblemRaisedV1(
            kind="channel_refused",
            severity="critical",
            fingerprint=_fingerprint("channel", claim.chat),
            summary=f"{self._words['channel.refused']}: {claim.chat}",
            details={"why": reason, "notices": str(notices)},
            service="notifier",
            occurred_at=now,
        )
        event_id = derived_id("notifier.digest-refused", claim.id)
        return Envelope.of(problem, event_id=event_id, source=_SOURCE, subject=None, time=now)

    def works_again(self, claim: Claim, now: datetime) -> Envelope:
        """Return the end of the problem that a chat took nothing."""
        over = ProblemResolvedV1(
            fingerprint=_fingerprint("channel", claim.chat),
            summary=f"{self._words['channel.works']}: {claim.chat}",
            service="notifier",
            occurred_at=now,
        )
        event_id = derived_id("notifier.works-again", claim.id)
        return Envelope.of(over, event_id=event_id, source=_SOURCE, subject=None, time=now)

    def _journal(self, waiting: Waiting, result: After, message_id: str | None, now: datetime) -> list[Envelope]:
        if waiting.order_number is None:
            return []
        sent = result.state is State.SENT
        entry = JournalEntryV1(
            order_number=waiting.order_number,
            service="notifier",
            kind="chat_message.sent" if sent else "chat_message.failed",
            actor="notifier",
            summary=f"{waiting.kind} → {waiting.destination} ({self._channel})",
            details={
                "channel": self._channel,
                "kind": waiting.kind,
                "destination": waiting.destination,
                **({"message_id": message_id or ""} if sent else {"why": result.reason or ""}),
                **({"possibly_repeated": "true"} if waiting.possibly_repeated else {}),
            },
            occurred_at=now,
        )
        return [
            Envelope.of(
                entry,
                event_id=derived_id(f"notifier.{result.state.value}", waiting.notice_id, waiting.destination),
                source=_SOURCE,
                subject=waiting.order_number,
                time=now,
                traceparent=waiting.traceparent,
            )
        ]

    def _problem(
        self, sort: str, chat: str, failed: Sequence[tuple[Waiting, str]], *, key: str, now: datetime
    ) -> Envelope:
        """A chat that takes nothing (or not this notice) is itself a problem; people hear of it by every other channel of theirs."""
        orders = sorted({waiting.order_number for waiting, _ in failed if waiting.order_number is not None})
        problem = ProblemRaisedV1(
            kind=f"{sort}_refused",
            severity="critical",
            fingerprint=_fingerprint(sort, chat),
            summary=f"{self._words[f'{sort}.refused']}: {chat}",
            details={
                "why": failed[0][1],
                "notices": str(len(failed)),
                **({"orders": ", ".join(orders[:_MOST_ORDERS])} if orders else {}),
            },
            service="notifier",
            occurred_at=now,
        )
        event_id = derived_id(f"notifier.{sort}-refused", key)
        return Envelope.of(problem, event_id=event_id, source=_SOURCE, subject=None, time=now)


def _fingerprint(sort: str, chat: str) -> str:
    return f"notifier:{sort}-refused:{chat}"
