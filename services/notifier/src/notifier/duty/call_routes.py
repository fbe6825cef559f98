"""``POST /notifications/v1/twilio``: how a call goes on, said by Twilio and signed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs

from aiohttp import web
from pydantic import BaseModel, SecretStr

from common.errors import InvalidInput, Unauthorized
from common.http import Proof, Route
from notifier.duty.call_store import CallStore
from notifier.duty.twilio import is_signed
from notifier.incidents.refused import Refusals, address_of

_WORDS = frozenset(
    {"queued", "initiated", "ringing", "in-progress", "completed", "busy", "no-answer", "failed", "canceled"}
)
_LONGEST = 100
_SENDER = "twilio"


class Heard(BaseModel):
    """It was heard."""


class CallRoutes:
    """The handler. Without the account's token and the address that Twilio was given it lets nobody in."""

    def __init__(
        self,
        *,
        calls: CallStore,
        token: SecretStr | None,
        callback_url: str | None,
        refusals: Refusals,
        wake: Callable[[], None],
    ) -> None:
        self._calls = calls
        self._token = token
        self._callback_url = callback_url
        self._refusals = refusals
        self._wake = wake

    async def twilio(self, request: web.Request) -> web.StreamResponse:
        """Write down how a call goes on. Repeats and what comes late change nothing."""
        try:
            fields = parse_qs((await request.read()).decode(), keep_blank_values=True, strict_parsing=False)
        except (UnicodeDecodeError, ValueError):
            raise InvalidInput("the body is no form") from None
        [word, *_] = fields.get("CallStatus", [""])
        [sid, *_] = fields.get("CallSid", [""])
        try:
            self._authorize(request, fields)
        except Unauthorized:
            genuine = word in _WORDS and bool(sid)
            await self._refusals.refused(_SENDER, genuine=genuine, address=address_of(request))
            raise
        try:
            call_id = uuid.UUID(request.query.get("call", ""))
        except ValueError:
            raise InvalidInput("there is no call's key") from None
        if word in _WORDS:
            await self._calls.progress(call_id, word=word, outside_id=sid.replace("\x00", "")[:_LONGEST])
            self._wake()
        await self._refusals.accepted(_SENDER, address=address_of(request))
        return web.json_response({}, headers={"Cache-Control": "no-store"})

    def _authorize(self, request: web.Request, fields: Mapping[str, Sequence[str]]) -> None:
        if self._token is None or self._callback_url is None:
            raise Unauthorized("there is no such call provider here")
        url = self._callback_url + (f"?{request.query_string}" if request.query_string else "")
        signature = request.headers.get("X-Twilio-Signature")
        if not is_signed(url, fields, signature, token=self._token.get_secret_value()):
            raise Unauthorized("the signature does not fit")

    def routes(self) -> list[Route]:
        """Return the route."""
        return [
            Route(
                method="POST",
                path="/notifications/v1/twilio",
                handler=self.twilio,
                summary="How a phone call goes on",
                description="A form, signed with `X-Twilio-Signature` over the address that Twilio was given.",
                response=Heard,
                errors=(Unauthorized, InvalidInput),
                raw=True,
                proofs=(Proof.header("X-Twilio-Signature", "over the address that Twilio was given"),),
                tags=("calls",),
            )
        ]
