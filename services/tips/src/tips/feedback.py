"""The feedback service, over HTTP: ``GET /feedback/v1/orders/{order_id}``."""

from __future__ import annotations

from datetime import datetime
from time import monotonic
from typing import Annotated
from urllib.parse import quote

import aiohttp
from opentelemetry.trace import SpanKind
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from yarl import URL

from common.clock import Clock
from common.errors import Unavailable
from common.http import Moment, PlainDecimal, outgoing_headers
from common.telemetry import span
from tips.errors import TooLate
from tips.metrics import TipsMetrics
from tips.overload.bulkhead import Bulkhead
from tips.rules.order import Choice, ChosenTips, Feedback, TipsType

_OK, _NOT_FOUND = 200, 404


class _Tips(BaseModel):
    model_config = ConfigDict(extra="ignore")
    type: TipsType
    # Bounded, so that no answer can make the arithmetic of the rules expensive or inexact.
    value: Annotated[PlainDecimal, Field(ge=0, le=10**9, max_digits=24, decimal_places=12, allow_inf_nan=False)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")
    rating: Annotated[int, Field(ge=0, le=100)] | None = None
    tips: _Tips | None = None
    choice: Choice | None = None
    done: bool = False
    updated_at: Moment


class FeedbackClient:
    """Asks for the customer's feedback.

    One request of at most ``deadline`` seconds, or what the caller has left, connecting included; no repeats: the caller has a fallback
    and no time. An answer that cannot be understood is ``Unavailable`` too: deciding without the customer's choice would take their tips
    away. Feedback is never stamped later than it was asked for, or a clock that is ahead would keep what the customer says next from
    being newer.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        url: str,
        deadline: float,
        bulkhead: Bulkhead,
        metrics: TipsMetrics,
        clock: Clock,
    ) -> None:
        self._session = session
        self._clock = clock
        self._url = f"{url.rstrip('/')}/feedback/v1/orders/"
        self._deadline = deadline
        self._bulkhead = bulkhead
        self._metrics = metrics

    async def find(self, number: str, *, until: float) -> Feedback | None:
        """Return the feedback on an order, None when there is none.

        Raises ``TooLate`` when there is no answer by ``until``, a moment of ``time.monotonic()``, ``Overloaded`` when the bulkhead lets
        nobody in, ``Unavailable`` when feedback fails.
        """
        started, asked_at = monotonic(), self._clock.now()
        left = min(self._deadline, until - started)
        if left <= 0:
            raise TooLate("no time was left to ask for the feedback", retry_after=1.0)
        self._bulkhead.enter(started)
        outcome, answered = "failed", False
        try:
            status, body = await self._ask(number, left)
            answered = True
            found = _feedback_in(status, body, asked_at=asked_at)
            outcome = "none" if found is None else "found"
        finally:
            now = monotonic()
            self._bulkhead.leave(now, waited=now - started, answered=answered)
            self._metrics.observe_feedback(outcome, now - started)
        return found

    async def _ask(self, number: str, left: float) -> tuple[int, bytes]:
        try:
            with span("GET feedback", kind=SpanKind.CLIENT):
                async with self._session.get(
                    URL(self._url + quote(number, safe=""), encoded=True),
                    headers=outgoing_headers(),
                    timeout=aiohttp.ClientTimeout(total=left),
                ) as response:
                    return response.status, await response.read()
        except TimeoutError:
            raise TooLate(f"feedback did not answer within {left:.3g} s", retry_after=1.0) from None
        except aiohttp.ClientError as error:
            raise Unavailable(f"feedback does not answer ({type(error).__name__})", retry_after=1.0) from error


def _feedback_in(status: int, body: bytes, *, asked_at: datetime) -> Feedback | None:
    if status == _NOT_FOUND:
        return None
    if status != _OK:
        raise Unavailable(f"feedback answered {status}", retry_after=1.0)
    try:
        answer = _Answer.model_validate_json(body)
    except ValidationError:
        raise Unavailable("feedback's answer cannot be understood", retry_after=1.0) from None
    return Feedback(
        rating=answer.rating,
        tips=None if answer.tips is None else ChosenTips(answer.tips.type, answer.tips.value),
        choice=answer.choice,
        done=answer.done,
        updated_at=min(answer.updated_at, asked_at),
    )
