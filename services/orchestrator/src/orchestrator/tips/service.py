"""The tips service, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Annotated, Any, TypeVar

import aiohttp
from pydantic import BaseModel, Field, StrictBool, ValidationError

from common.http import timeout_header
from common.http.sent_token import SentToken
from orchestrator.tips.metrics import TipsMetrics
from orchestrator.tips.model import Explained, Reason, TipsFailed

ModelT = TypeVar("ModelT", bound=BaseModel)
_ABOUT_THE_ORDER = frozenset({400, 404, 409})


class _Done(BaseModel):
    pass


class _Hold(BaseModel):
    need_hold_tips: StrictBool


class _Step(BaseModel):
    rule: Annotated[str, Field(max_length=100)]
    outcome: str


class _Target(BaseModel):
    amount: int
    steps: list[_Step] = []


class _ExplainedHold(_Hold):
    steps: list[_Step] = []


class _Explanation(BaseModel):
    tips: _Target
    hold: _ExplainedHold


def _deciding(steps: Sequence[_Step]) -> str | None:
    """Return the last rule that did not just let the next one speak."""
    return next((step.rule for step in reversed(steps) if step.outcome != "pass"), None)


class TipsClient:
    """The tips service. One request each, under ``deadline`` seconds in all, and never repeated: there is a fallback.

    How long the caller waits goes along in a header.
    ``token`` has the role internal, ``explain_token`` (for shadow mode; None: no shadows) viewer.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        url: str,
        token: SentToken,
        explain_token: SentToken | None,
        deadline: float,
        metrics: TipsMetrics,
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._token = token
        self._explain_token = explain_token
        self._deadline = deadline
        self._metrics = metrics

    async def set_sum(self, number: str, *, key: str) -> None:
        """Bring the order's tips to what they should be. Repeating it is safe; ``key`` is the same for a repeat. Raises ``TipsFailed``."""
        await self._call(
            "set_tips_sum",
            "POST",
            "/tips/v1/set-tips-sum",
            _Done,
            json={"order_id": number},
            headers={"Idempotency-Key": key},
        )

    async def need_hold(self, number: str) -> bool:
        """Ask whether the tips are to be held now. Raises ``TipsFailed``."""
        answer = await self._call(
            "need_hold_tips", "GET", "/tips/v1/need-hold-tips", _Hold, params={"order_id": number}
        )
        return answer.need_hold_tips

    async def explain(self, number: str) -> Explained:
        """Ask what it would do; nothing is written. Raises ``TipsFailed``."""
        if self._explain_token is None:
            raise TipsFailed(Reason.NOT_CONFIGURED)
        answer = await self._call(
            "explain",
            "GET",
            "/admin/v1/explain",
            _Explanation,
            params={"order_id": number},
            token=self._explain_token.value,
        )
        return Explained(
            answer.tips.amount,
            answer.hold.need_hold_tips,
            amount_rule=_deciding(answer.tips.steps),
            hold_rule=_deciding(answer.hold.steps),
        )

    async def _call(
        self,
        operation: str,
        method: str,
        path: str,
        model: type[ModelT],
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> ModelT:
        sent = {
            "Authorization": f"Bearer {token or self._token.value}",
            **timeout_header(self._deadline),
            **(headers or {}),
        }
        started = perf_counter()
        try:
            async with (
                asyncio.timeout(self._deadline),
                self._session.request(method, self._url + path, headers=sent, **more) as response,
            ):
                status, body = response.status, await response.read()
        except TimeoutError:
            raise TipsFailed(Reason.TIMEOUT) from None
        except aiohttp.ClientError as error:
            raise TipsFailed(Reason.CONNECTION) from error
        finally:
            self._metrics.duration.labels(operation).observe(perf_counter() - started)
        if status != 200:
            raise TipsFailed(Reason.STATUS, ill=status not in _ABOUT_THE_ORDER)
        try:
            return model.model_validate_json(body)
        except ValidationError:
            raise TipsFailed(Reason.ANSWER) from None
