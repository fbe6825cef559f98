"""What runs beside the senders: workers that repeat a piece of work while there is some, and the one for pressed buttons."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from common.errors import SuiteError
from common.http import Principal
from common.postgres import worth_repeating
from common.telemetry import get_logger
from notifier.buttons.handle import HandleButtonAction
from notifier.buttons.store import ButtonActionStore
from notifier.incidents.act import patiently
from notifier.metrics import PeopleMetrics

_log = get_logger()
_SPACING_S = 0.1
_CALL_SECONDS = 15.0
_ANSWER_LEASE = timedelta(seconds=10)
_ANSWERS_LAST = timedelta(seconds=60)  # afterwards Telegram calls the query too old, and nobody waits for it
_STRANGER = Principal(name="stranger", role="viewer")


class CarryOutButtonActions:
    """Each press is carried out once, in the order in which they came, whichever replica takes it."""

    def __init__(
        self, *, actions: ButtonActionStore, handle: HandleButtonAction, failure_text: str, watch: PeopleMetrics
    ) -> None:
        self._actions = actions
        self._handle = handle
        self._failure_text = failure_text
        self._watch = watch

    async def __call__(self) -> bool:
        """Carry the next press out; returns whether there was one."""
        return await patiently(self._once, seconds=_CALL_SECONDS)

    async def _once(self) -> bool:
        async with self._actions.next() as found:
            if found is None:
                return False
            connection, action = found
            person = self._handle.person_of(action)
            principal = _STRANGER if person is None else Principal(name=person.id, role=person.role)
            savepoint = connection.transaction()
            await savepoint.start()
            try:
                outcome, answer = await self._handle(self._actions.stores(connection, action, principal), action)
            except Exception as error:
                await savepoint.rollback()
                if isinstance(error, SuiteError) or worth_repeating(error):
                    raise
                # A fault of ours in one press must not stop the others behind it.
                _log.error("press_failed", press_id=str(action.id), exc_info=error)
                outcome, answer = "failed", self._failure_text
            else:
                await savepoint.commit()
            await self._actions.done(connection, action, outcome=outcome, answer=answer)
        self._watch.pressed(action.channel, outcome)
        _log.info("button_pressed", channel=action.channel, outcome=outcome, press_id=str(action.id))
        return True


class AnswerButtonActions:
    """Tells each presser what came of it, within the time in which the channel takes answers."""

    def __init__(self, *, actions: ButtonActionStore, answer: dict[str, Callable[[Any], Awaitable[bool]]]) -> None:
        self._actions = actions
        self._answer = answer

    async def __call__(self) -> bool:
        """Answer the next press; returns whether there was one."""
        action = await self._actions.to_answer(lease=_ANSWER_LEASE)
        if action is None:
            return False
        answer = self._answer.get(action.channel)
        late = datetime.now(UTC) - action.received_at > _ANSWERS_LAST
        if late or answer is None or await answer(action):
            await self._actions.answered(action.id)
        return True
