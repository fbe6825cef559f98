"""Phone people, one call at a time for each: claim under the incident's lock, call outside any transaction, record the outcome."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from common.service import apart
from common.telemetry import get_logger
from notifier.duty.call_store import CallStore
from notifier.duty.call_webhook import CallWebhook
from notifier.duty.model import (
    NO_PHONE,
    CallClaim,
    CallOutcome,
    CallRequest,
    Placed,
    TryLater,
    Unreachable,
    digest_of_number,
)
from notifier.duty.twilio import TwilioCalls
from notifier.messages.document import one_line, shorten
from notifier.messages.words import Words
from notifier.metrics import PeopleMetrics
from notifier.people.model import Directory

_log = get_logger()
_GIVE_UP_AFTER = 5
_MARGIN = timedelta(seconds=2)
_LONGEST_TEXT = 400
_OUTCOMES: dict[type[CallOutcome], str] = {Placed: "placed", Unreachable: "unreachable", TryLater: "later"}


class PlaceCalls:
    """Guarantees: a call begins only while its incident is open, and an acknowledgement is committed only when none is on its way.

    Many problems at once are one call per person every ``pause``: it says how many more there are. A call whose answer was lost is
    asked for again under the same key, so that the phone rings once; under a key of its own when the person has another number by then.
    """

    def __init__(
        self,
        *,
        calls: CallStore,
        provider: CallWebhook | TwilioCalls,
        directory: Directory,
        words: Words,
        metrics: PeopleMetrics,
        deadline: float,
        pause: timedelta,
        look_up: Callable[[], Awaitable[None]],
    ) -> None:
        """``look_up`` makes the directory true: a number that was just changed is the one that rings."""
        self._calls = calls
        self._provider = provider
        self._directory = directory
        self._words = words
        self._metrics = metrics
        self._deadline = deadline
        self._pause = pause
        self._look_up = look_up

    async def __call__(self) -> bool:
        """Make one call; returns whether there was one."""
        lease = timedelta(seconds=self._deadline) + _MARGIN
        await self._look_up()
        began = time.monotonic()
        claim = await self._calls.claim(lease=lease, pause=self._pause, number_of=self._number_of)
        if claim is None:
            return False
        with apart(f"call {claim.id}"):  # its lease keeps it apart
            outcome = await self._call(claim, began=began)
            state = await self._calls.record(claim, outcome, give_up_after=_GIVE_UP_AFTER)
            self._metrics.calls.labels(_OUTCOMES[type(outcome)]).inc()
            incident = str(claim.incident_id)
            _log.info("call_made", call_id=claim.id, person=claim.person, incident_id=incident, outcome=state)
        return True

    def _number_of(self, person_id: str) -> str | None:
        person = self._directory.person(person_id)
        return None if person is None or person.phone is None else digest_of_number(person.id, person.phone)

    async def _call(self, claim: CallClaim, *, began: float) -> CallOutcome:
        person = self._directory.person(claim.person)
        if person is None or person.phone is None:
            return Unreachable(NO_PHONE)
        # The claim ends with its lease: whoever was held up for so long (a stopped process) must not ring after an acknowledgement.
        left = began + self._deadline - time.monotonic()
        if left <= 0:
            return TryLater("the caller was held up for too long")
        request = CallRequest(
            key=claim.id, phone=person.phone, text=self._text(claim), repeated=claim.attempts > 1, since=claim.since
        )
        return await self._provider.call(request, deadline=left)

    def _text(self, claim: CallClaim) -> str:
        text = one_line(claim.summary)
        if claim.order_number is not None:
            text += f". {self._words['order']} {claim.order_number}"
        if claim.others:
            text += f". {self._words['call.others'].format(count=claim.others)}"
        return shorten(text, _LONGEST_TEXT)
