"""A refund that was asked for is looked up in the orchestrator's record before anything of it reaches a payment system.

Whoever can publish an event can forge one, and whoever has a token can call. What the orchestrator's own database says, asked over HTTP,
neither can forge.
"""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from urllib.parse import quote

import aiohttp
from pydantic import ValidationError

from common.clock import Clock
from common.contracts.orders import RefundWantedV1
from common.http.sent_token import SentToken
from refunds.providers.gateway import GatewayAway
from refunds.refunds.errors import BusinessKeyReused
from refunds.refunds.model import Refund
from refunds.refunds.request import ensure_same, from_event
from refunds.refunds.store import RefundTransactions

ORCHESTRATOR = "orchestrator"
"""Who has asked for a refund that came as an event; the name stands in the refund's history."""
# The record of a cancelled order's refund is written a moment after the event is published; after this long it is not going to be.
_RECORDED_WITHIN = timedelta(minutes=10)


class RecordAway(GatewayAway):
    """The orchestrator does not say whether it has asked for the refund: nothing is sent, and it is asked again."""

    code = "orchestrator_away"


class NotRecorded(GatewayAway):
    """The orchestrator has not recorded that it asked for the refund, which it may still do."""

    code = "not_recorded"


class OrchestratorsRecord:
    """What the orchestrator has asked for, by business key: one request each, under ``deadline`` seconds in all."""

    def __init__(self, session: aiohttp.ClientSession, *, url: str, token: SentToken, deadline: float) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._token = token
        self._deadline = aiohttp.ClientTimeout(total=deadline)

    async def __call__(self, business_key: str) -> RefundWantedV1 | None:
        """Return what was asked for under the key, None where nothing was. Raises ``RecordAway``."""
        try:
            async with self._session.get(
                f"{self._url}/orders/v1/refunds/{quote(business_key, safe='')}",
                headers={"Authorization": f"Bearer {self._token.value}"},
                timeout=self._deadline,
                allow_redirects=False,
            ) as answer:
                content = await answer.read()
                if answer.status == HTTPStatus.NOT_FOUND and b'"no_refund_asked"' in content:
                    return None
                if answer.status != HTTPStatus.OK:
                    raise RecordAway(f"the orchestrator answered {answer.status}")
                return RefundWantedV1.model_validate_json(content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RecordAway(f"the orchestrator does not answer ({type(error).__name__})") from error
        except ValidationError as error:
            raise RecordAway("the orchestrator's answer cannot be understood") from error


class ConfirmRequest:
    """Says why a refund is not to be paid, if so. Moves nothing; asked again it may say otherwise.

    ``callers``: whether that holds for refunds that a caller of ours asked for over HTTP, too, or its token is enough.
    """

    def __init__(
        self, transactions: RefundTransactions, record: OrchestratorsRecord, clock: Clock, *, callers: bool
    ) -> None:
        self._transactions = transactions
        self._record = record
        self._clock = clock
        self._callers = callers

    async def __call__(self, refund: Refund) -> str | None:
        """Return why it is not what the orchestrator has asked for; None where it is, and where the caller's token is enough.

        Raises ``RecordAway`` and ``NotRecorded``, which both mean: not now, and nothing may be sent.
        """
        if not self._callers:
            async with self._transactions.begin() as store:
                if await store.asked_by(refund) != ORCHESTRATOR:
                    return None
        asked = await self._record(refund.business_key)
        if asked is None:
            if self._clock.now() - refund.created_at < _RECORDED_WITHIN:
                raise NotRecorded("the orchestrator has no record of asking for this refund yet")
            return "the orchestrator has not asked for it"
        async with self._transactions.begin() as store:
            try:
                await ensure_same(store, refund, from_event(asked, None))
            except BusinessKeyReused:
                return "the orchestrator has asked for something else under this business key"
        return None
