"""The call webhook: `POST {url}` with ``{"phone", "text"}`` and an ``Idempotency-Key``; the same key rings once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import ClientConnectorError, ClientError, ClientResponse

from common.http import Calling, retry_after
from notifier.duty.model import CallOutcome, CallRequest, Placed, TryLater, Unreachable


class CallWebhook(Calling):
    """One call provider; never raises for what it says.

    2xx is placed, whatever its body: asked again, a provider that does not keep the key would ring again. 408, 425, 429 and 5xx may work
    later under the same key; another 4xx never will.
    """

    def __init__(self, *, url: str, token: str | None) -> None:
        self._url = url
        self._token = token

    async def call(self, request: CallRequest, *, deadline: float) -> CallOutcome:
        """Ask for one call."""
        headers = {"Idempotency-Key": request.key}
        body = {"phone": request.phone, "text": request.text}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        placed = False
        try:
            async with (
                asyncio.timeout(deadline),
                self._opened(service="notifier").post(self._url, json=body, headers=headers) as answer,
            ):
                if answer.method != "POST":  # 301 to 303 make it a GET, which a page of somebody's answers with 200
                    return Unreachable("the robot's address leads elsewhere")
                if placed := answer.status < 300:
                    return Placed(await _call_id(answer))
                if answer.status in {408, 425, 429} or answer.status >= 500:
                    return TryLater(
                        f"the robot answered {answer.status}", retry_after(answer.headers.get("Retry-After"))
                    )
                return Unreachable(f"the robot refuses ({answer.status})")
        except ClientConnectorError:
            return TryLater("no connection to the robot")
        except TimeoutError:
            return Placed("") if placed else TryLater(f"no answer within {deadline:.1f} s")
        except (ClientError, OSError):
            return TryLater("the robot's answer could not be read")


async def _call_id(answer: ClientResponse) -> str:
    """Return the provider's id of a placed call; empty when its answer tells none or does not come to its end."""
    try:
        said = await answer.json(content_type=None)
    except (ClientError, OSError, ValueError, LookupError, RecursionError):
        return ""
    return str(said.get("call_id", "")) if isinstance(said, Mapping) else ""
