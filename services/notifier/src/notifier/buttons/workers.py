"""What runs beside the senders: workers that repeat a piece of work while there is some, and the one for pressed buttons."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from common.errors import SuiteError
from common.http import Principal
from common.postgres import Connection, worth_repeating
from common.telemetry import get_logger
from notifier.buttons.handle import HandlePress, Hands
from notifier.delivery.dispatcher import rest
from notifier.duty.model import Press
from notifier.incidents.act import patiently

_log = get_logger()
_SPACING_S = 0.1
_CALL_SECONDS = 15.0
_ANSWER_LEASE = timedelta(seconds=10)
_ANSWERS_LAST = timedelta(seconds=60)  # afterwards Telegram calls the query too old, and nobody waits for it
_STRANGER = Principal(name="stranger", role="viewer")


class Worker:
    """Repeats ``work`` while it says that there may be more; then waits to be woken, or for ``idle`` seconds.

    Woken often, it works ten times a second: most of what wakes everybody is somebody else's. Survives the absence of PostgreSQL.
    ``after`` is called after each piece of work that did something.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[bool]],
        *,
        name: str,
        idle: float = 1.0,
        after: Callable[[], None] | None = None,
    ) -> None:
        self._work = work
        self._name = name
        self._idle = idle
        self._after = after
        self._stopping = asyncio.Event()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._woken.set()

    async def stop(self) -> None:
        """Begin nothing more; what is under way is finished."""
        self._stopping.set()
        self._woken.set()

    async def run(self) -> None:
        """Work until ``stop``. To be supervised."""
        while not self._stopping.is_set():
            self._woken.clear()
            began = time.monotonic()
            try:
                more = await self._work()
            except Exception as error:
                if not ((isinstance(error, SuiteError) and error.retryable) or worth_repeating(error)):
                    raise
                _log.warning("job_interrupted", job=self._name, reason=type(error).__name__)
                more = False
            else:
                if more and self._after is not None:
                    self._after()
            if not more:
                await rest(self._woken, self._idle, began=began, spacing=_SPACING_S)


class PressQueue(Protocol):
    """Kept presses."""

    def next(self) -> AbstractAsyncContextManager[tuple[Connection, Press] | None]:
        """Lock the next press that was not carried out, in a transaction."""
        ...

    async def done(self, connection: Connection, press: Press, *, outcome: str, answer: str) -> None:
        """Write down what came of a press."""
        ...

    def hands(self, connection: Connection, press: Press, principal: Principal) -> Hands:
        """Return what a press works with."""
        ...

    async def to_answer(self, *, lease: timedelta) -> Any:
        """Claim the next press that is to be answered."""
        ...

    async def answered(self, press_id: int) -> None:
        """Write down that the person has the answer."""
        ...


class PressWatch(Protocol):
    """Counts presses."""

    def pressed(self, channel: str, outcome: str) -> None:
        """One press came to an outcome."""
        ...


class CarryOutPresses:
    """Each press is carried out once, in the order in which they came, whichever replica takes it."""

    def __init__(self, *, presses: PressQueue, handle: HandlePress, sorry: str, watch: PressWatch) -> None:
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

    def __init__(self, *, presses: PressQueue, answer: dict[str, Callable[[Any], Awaitable[bool]]]) -> None:
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
