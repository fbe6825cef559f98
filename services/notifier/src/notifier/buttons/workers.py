"""What runs beside the senders: workers that repeat a piece of work while there is some, and the one for pressed buttons."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from common.errors import SuiteError
from common.http import Principal
from common.postgres import worth_repeating
from common.telemetry import get_logger
from notifier.buttons.handle import HandlePress
from notifier.buttons.store import ButtonActionStore
from notifier.incidents.act import patiently
from notifier.metrics import PeopleMetrics

_log = get_logger()
_SPACING_S = 0.1
_CALL_SECONDS = 15.0
_ANSWER_LEASE = timedelta(seconds=10)
_ANSWERS_LAST = timedelta(seconds=60)  # afterwards Telegram calls the query too old, and nobody waits for it
_STRANGER = Principal(name="stranger", role="viewer")


class CarryOutPresses:
    """Each press is carried out once, in the order in which they came, whichever replica takes it."""

    def __init__(self, *, presses: ButtonActionStore, handle: HandlePress, sorry: str, watch: PeopleMetrics) -> None:
        self._presses = presses
        self._handle = handle
        self._sorry = sorry
        self._watch = watch

    async def __call__(self) -> bool:
        """Carry the next press out; returns whether there was one."""
        return await patiently(self._once, seconds=_CALL_SECONDS)

    async def _once(self) -> bool:
        async with self._presses.next() as found:
            if found is None:
                return False
            connection, press = found
            person = self._handle.person_of(press)
            principal = _STRANGER if person is None else Principal(name=person.id, role=person.role)
            savepoint = connection.transaction()
            await savepoint.start()
            try:
                outcome, answer = await self._handle(self._presses.hands(connection, press, principal), press)
            except Exception as error:
                await savepoint.rollback()
                if isinstance(error, SuiteError) or worth_repeating(error):
                    raise
                # A fault of ours in one press must not stop the others behind it.
                _log.error("press_failed", press_id=str(press.id), exc_info=error)
                outcome, answer = "failed", self._sorry
            else:
                await savepoint.commit()
            await self._presses.done(connection, press, outcome=outcome, answer=answer)
        self._watch.pressed(press.channel, outcome)
        _log.info("button_pressed", channel=press.channel, outcome=outcome, press_id=str(press.id))
        return True


class AnswerPresses:
    """Tells each presser what came of it, within the time in which the channel takes answers."""

    def __init__(self, *, presses: ButtonActionStore, answer: dict[str, Callable[[Any], Awaitable[bool]]]) -> None:
        self._presses = presses
        self._answer = answer

    async def __call__(self) -> bool:
        """Answer the next press; returns whether there was one."""
        press = await self._presses.to_answer(lease=_ANSWER_LEASE)
        if press is None:
            return False
        answer = self._answer.get(press.channel)
        late = datetime.now(UTC) - press.received_at > _ANSWERS_LAST
        if late or answer is None or await answer(press):
            await self._presses.answered(press.id)
        return True
