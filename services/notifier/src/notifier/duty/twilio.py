"""Twilio's REST API for calls (``POST /2010-04-01/Accounts/{sid}/Calls.json``), and the signature of its callbacks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from aiohttp import ClientConnectorError, ClientError, ClientSession, encode_basic_auth

from common.http import Calling, retry_after
from common.reading.people import phone_key
from notifier.duty.model import CallOutcome, CallRequest, Placed, TryLater, Unreachable

_EVENTS = ("initiated", "ringing", "answered", "completed")
_VOICES = {"ru": "ru-RU", "en": "en-US"}
_SKEW = timedelta(seconds=30)
_LATER = frozenset({408, 425, 429})


class TwilioCalls(Calling):
    """One account; never raises for what Twilio says.

    Twilio knows no idempotency key. So a call that is asked for again is looked for first, among those from our number to that person
    since it was first asked for; only a call that Twilio begins after that look would ring a second time. 429 and 5xx may work later;
    another 4xx (a number that does not exist, no credit) never will.
    """

    def __init__(
        self, *, url: str, account: str, token: str, sender: str, callback_url: str | None, language: str
    ) -> None:
        self._url = f"{url.rstrip('/')}/2010-04-01/Accounts/{quote(account, safe='')}/Calls.json"
        self._headers = {"Authorization": encode_basic_auth(account, token)}
        self._sender = sender
        self._callback_url = callback_url
        self._voice = _VOICES.get(language, "en-US")

    async def call(self, request: CallRequest, *, deadline: float) -> CallOutcome:
        """Ask for one call: the text is said twice."""
        session = self._opened(service="notifier")
        phone = phone_key(request.phone) or f"+{request.phone}"
        try:
            async with asyncio.timeout(deadline):
                if request.repeated and (known := await self._placed(session, phone, request.since)) is not None:
                    return Placed(known)
                return await self._place(session, phone, request)
        except ClientConnectorError:
            return TryLater("no connection to Twilio")
        except TimeoutError:
            return TryLater(f"no answer of Twilio within {deadline:.1f} s")
        except (ClientError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return TryLater("Twilio's answer could not be read")

    async def _place(self, session: ClientSession, phone: str, request: CallRequest) -> CallOutcome:
        fields = [("To", phone), ("From", self._sender), ("Twiml", self._twiml(request.text))]
        if self._callback_url is not None:
            fields += [("StatusCallback", f"{self._callback_url}?call={request.key}"), ("StatusCallbackMethod", "POST")]
            fields += [("StatusCallbackEvent", event) for event in _EVENTS]
        async with session.post(self._url, data=fields, headers=self._headers) as answer:
            body = await answer.json(content_type=None)
            said = body if isinstance(body, Mapping) else {}
            if answer.status < 300:
                return Placed(str(said["sid"]))
            reason = f"Twilio refuses ({answer.status}, code {said.get('code')})"
            if answer.status in _LATER or answer.status >= 500:
                return TryLater(reason, retry_after(answer.headers.get("Retry-After")))
            return Unreachable(reason)

    async def _placed(self, session: ClientSession, phone: str, since: datetime) -> str | None:
        params = {"To": phone, "From": self._sender, "PageSize": "20"}
        async with session.get(self._url, params=params, headers=self._headers) as answer:
            if answer.status != 200:
                raise ValueError("the calls cannot be read")
            calls = (await answer.json(content_type=None))["calls"]
        ours = (each for each in calls if parsedate_to_datetime(each["date_created"]) >= since - _SKEW)
        return next((str(each["sid"]) for each in ours), None)

    def _twiml(self, text: str) -> str:
        say = f'<Say language="{self._voice}">{escape(text)}</Say>'
        return f'<Response>{say}<Pause length="1"/>{say}</Response>'


def signature_of(url: str, fields: Mapping[str, Sequence[str]], *, token: str) -> str:
    """Return ``X-Twilio-Signature``: the address as Twilio was given it, then each field's name and values in their order, as HMAC-SHA1."""
    text = url + "".join(name + value for name in sorted(fields) for value in sorted(set(fields[name])))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def is_signed(url: str, fields: Mapping[str, Sequence[str]], signature: Any, *, token: str) -> bool:
    """Whether a callback is signed with the account's token."""
    expected = signature_of(url, fields, token=token).encode()
    return hmac.compare_digest(expected, str(signature or "").encode("utf-8", "surrogateescape"))
