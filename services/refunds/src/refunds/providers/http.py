"""One HTTP call to a payment system, and what its failure means for money."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, Field, ValidationError

from refunds.providers.gateway import GatewayAway, GatewayRefused, GatewaySilent
from refunds.providers.model import GatewayStatus, new_to_us

OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, BUSY, SERVER_ERROR = 200, 401, 403, 404, 409, 429, 500
_CODE = re.compile(r"^[a-z0-9_]{1,64}$")

RefundName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,200}$")]
"""A gateway's id of a refund as a stranger may name it."""
GivenId = Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,200}$")]
"""The id that a gateway has given, whatever it looks like, as long as we can keep it."""
ModelT = TypeVar("ModelT", bound=BaseModel)


class GatewayHttp:
    """Calls one gateway. The session's own deadlines bound every call; redirects are not followed.

    No connection, 401, 403 and 429 are ``GatewayAway``: nothing happened. 5xx, 409, a reset, a time-out are ``GatewaySilent``: the
    outcome is not known. Everything else is the caller's to read.
    """

    def __init__(self, session: aiohttp.ClientSession, *, gateway: str, url: str, headers: dict[str, str]) -> None:
        self._session = session
        self._gateway = gateway
        self._url = url.rstrip("/")
        self._headers = headers

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Return status and body."""
        name = self._gateway
        try:
            async with self._session.request(
                method,
                self._url + path,
                json=json,
                params=query,
                headers={**self._headers, **(headers or {})},
                allow_redirects=False,
            ) as response:
                status, body = response.status, await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise GatewayAway(f"{name} cannot be reached ({type(error).__name__})") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise GatewaySilent(f"{name} did not answer ({type(error).__name__})") from error
        if status in {UNAUTHORIZED, FORBIDDEN, BUSY}:
            raise GatewayAway(f"{name} answered {status}")
        if status >= SERVER_ERROR or status == CONFLICT:
            raise GatewaySilent(f"{name} answered {status}")
        return status, body

    async def payment(self, path: str, model: type[ModelT], refusal: type[BaseModel]) -> ModelT:
        """Read a payment. ``GatewayRefused`` only when the gateway says in its own words that it does not know it."""
        status, body = await self.call("GET", path)
        if status == NOT_FOUND:
            self.refusal(refusal, status, body)
            raise GatewayRefused(f"{self._gateway} does not know the payment", reason="payment_unknown")
        if status != OK:
            raise GatewayAway(f"{self._gateway} answered {status}")
        return self.read(model, body)

    def read(self, model: type[ModelT], body: bytes) -> ModelT:
        """Read an answer that was expected; one that cannot be understood is ``GatewaySilent``."""
        try:
            return model.model_validate_json(body)
        except ValidationError:
            raise GatewaySilent(f"{self._gateway}'s answer cannot be understood") from None

    def refusal(self, model: type[ModelT], status: int, body: bytes) -> ModelT:
        """Read a refusal in the gateway's own words. Anything else with such a status came from something on the way: it proves nothing."""
        try:
            return model.model_validate_json(body)
        except ValidationError:
            raise GatewaySilent(f"{self._gateway} answered {status}, not in its own words") from None


def status_of(said: str, known: Mapping[str, GatewayStatus], *, gateway: str) -> GatewayStatus:
    """Return what a status means. Raises ``GatewaySilent`` for one that is new to us: nothing is concluded from it."""
    status = known.get(said)
    if status is None:
        raise GatewaySilent(f"{gateway} says {new_to_us(said)}")
    return status


def code_of(text: str, *, otherwise: str) -> str:
    """Return a gateway's code if it is one: it becomes a stable word of ours, in logs and events."""
    return text if _CODE.match(text) else otherwise


def path_part(value: str) -> str:
    """Return a value as one part of a path."""
    return quote(value, safe="")
