"""The feedback service, over HTTP: ``GET /feedback/v1/orders/{order_id}``, as the caller's own rules read it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, Field, ValidationError

from common.clock import Clock
from common.http import Moment, PlainDecimal
from orchestrator.tips.model import Feedback, FeedbackSilent


class _Tips(BaseModel):
    type: Literal["percent", "flat"]
    value: Annotated[PlainDecimal, Field(ge=0, le=10**9, max_digits=24, decimal_places=12, allow_inf_nan=False)]


class _Answer(BaseModel):
    rating: Annotated[int, Field(ge=0, le=100)] | None = None
    tips: _Tips | None = None
    choice: Literal["suggested", "custom", "default"] | None = None
    done: bool = False
    updated_at: Moment


class FeedbackClient:
    """The ``FeedbackSource``. One request under ``deadline`` seconds; an answer that cannot be understood is silence too.

    Feedback is never stamped later than it was asked for, or a clock that is ahead would keep what the customer says next from being newer.
    """

    def __init__(self, session: aiohttp.ClientSession, *, url: str, deadline: float, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._url = url.rstrip("/")
        self._deadline = deadline

    async def find(self, number: str) -> Feedback | None:
        """Return the feedback on an order, None when there is none. Raises ``FeedbackSilent``."""
        asked_at = self._clock.now()
        try:
            async with (
                asyncio.timeout(self._deadline),
                self._session.get(f"{self._url}/feedback/v1/orders/{quote(number, safe='')}") as response,
            ):
                status, body = response.status, await response.read()
        except TimeoutError:
            raise FeedbackSilent(f"feedback did not answer within {self._deadline:g} s") from None
        except aiohttp.ClientError as error:
            raise FeedbackSilent(f"feedback does not answer ({type(error).__name__})") from error
        if status == 404:
            return None
        if status != 200:
            raise FeedbackSilent(f"feedback answered {status}")
        try:
            answer = _Answer.model_validate_json(body)
        except ValidationError:
            raise FeedbackSilent("feedback's answer cannot be understood") from None
        return Feedback(
            rating=answer.rating,
            tips_type=None if answer.tips is None else answer.tips.type,
            tips_value=None if answer.tips is None else answer.tips.value,
            choice=answer.choice,
            done=answer.done,
            updated_at=min(answer.updated_at, asked_at),
        )
