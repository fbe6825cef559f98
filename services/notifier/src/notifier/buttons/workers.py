"""Carry each button action out once, then answer the person who pressed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from common.http import Principal
from common.postgres import is_retryable
from common.service import apart
from common.telemetry import get_logger
from notifier.buttons.handle import HandleButtonAction
from notifier.buttons.store import ButtonActionStore
from notifier.incidents.act import patiently
from notifier.metrics import PeopleMetrics

_log = get_logger()
_CALL_SECONDS = 15.0
_ANSWER_LEASE = timedelta(seconds=10)
_ANSWERS_LAST = timedelta(seconds=60)  # afterwards Telegram calls the query too old, and nobody waits for it
_STRANGER = Principal(name="stranger", role="viewer")


class CarryOutButtonActions:
    """Each is carried out once, in the order in which they came, whichever replica takes it."""

    def __init__(
        self, *, actions: ButtonActionStore, handle: HandleButtonAction, failure_text: str, metrics: PeopleMetrics
    ) -> None:
        self._actions = actions
        self._handle = handle
        self._failure_text = failure_text
        self._metrics = metrics

    async def __call__(self) -> bool:
        """Carry the next one out; returns whether there was one."""
        return await patiently(self._once, seconds=_CALL_SECONDS)

    async def _once(self) -> bool:
        async with self._actions.next() as found:
            if found is None:
                return False
            connection, action = found
            person = self._handle.person_of(action)
            principal = _STRANGER if person is None else Principal(name=person.id, role=person.role)
            try:
                async with connection.transaction():  # a savepoint
                    outcome, answer = await self._handle(self._actions.effects(connection, action, principal), action)
            except Exception as error:
                if is_retryable(error):
                    raise
                # A fault of ours in one button action must not stop the others behind it.
                _log.error("button_action_failed", action_id=str(action.id), exc_info=error)
                outcome, answer = "failed", self._failure_text
            await self._actions.done(connection, action, outcome=outcome, answer=answer)
        self._metrics.button_actions.labels(action.channel, outcome).inc()
        _log.info("button_pressed", channel=action.channel, outcome=outcome, action_id=str(action.id))
        return True


class AnswerButtonActions:
    """Answers each person with what came of it, within the time in which the channel takes answers."""

    def __init__(self, *, actions: ButtonActionStore, answer: dict[str, Callable[[Any], Awaitable[bool]]]) -> None:
        self._actions = actions
        self._answer = answer

    async def __call__(self) -> bool:
        """Answer the next one; returns whether there was one."""
        action = await self._actions.to_answer(lease=_ANSWER_LEASE)
        if action is None:
            return False
        answer = self._answer.get(action.channel)
        late = datetime.now(UTC) - action.received_at > _ANSWERS_LAST
        with apart(f"button action {action.id}"):  # its lease keeps it apart
            if late or answer is None or await answer(action):
                await self._actions.answered(action.id)
        return True
