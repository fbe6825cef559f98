"""Twilio's REST API for calls: places each call that it accepts, and says by signed callbacks how it goes on."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
from email.utils import format_datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import aiohttp
from aiohttp import web
from pydantic import BaseModel, ConfigDict

from sandbox.clock import Clock
from sandbox.control import body_of
from sandbox.faults import FaultMode, FaultOrder, FaultPlan
from sandbox.gate import Answer, Call, HttpSystem
from sandbox.log import Journal
from sandbox.settings import Settings

_E164 = re.compile(r"\+[1-9]\d{1,14}")
_EVENTS = {"initiated", "ringing", "answered", "completed"}
_MOST_TWIML = 4000
_ENDS = ("completed", "busy", "no-answer", "failed", "canceled")


class OutcomeOrder(BaseModel):
    """The body of `PUT /sandbox/twilio/outcome`: how calls from now on end."""

    model_config = ConfigDict(extra="forbid")

    status: str


class Twilio(HttpSystem):
    """Basic authentication by account and token; errors have Twilio's own codes.

    There is no idempotency key: each accepted request rings.
    """

    name: ClassVar[str] = "twilio"

    def __init__(self, *, settings: Settings, clock: Clock, journal: Journal, faults: FaultPlan) -> None:
        super().__init__(clock=clock, journal=journal, faults=faults)
        self._settings = settings
        self._calls: list[dict[str, Any]] = []
        self._outcome = "completed"
        self._callbacks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """The protocol, and how calls end."""
        path = "/2010-04-01/Accounts/{account}/Calls.json"
        return [
            web.post(path, self.endpoint("create_call", self._create)),
            web.get(path, self.endpoint("list_calls", self._list)),
            web.put("/sandbox/twilio/outcome", self._put_outcome),
        ]

    def refusal(self, fault: FaultOrder, call: Call) -> Answer:
        """A 500, a 429, or a number that cannot be called."""
        match fault.mode:
            case FaultMode.RATE_LIMIT:
                return _error(429, 20429, "Too Many Requests", {"Retry-After": f"{max(1, round(fault.delay))}"})
            case FaultMode.DECLINED:
                return _error(400, 21217, "Phone number does not appear to be valid")
            case _:
                return _error(500, 20500, "An internal server error has occurred")

    def reset(self) -> None:
        """Forget all calls."""
        super().reset()
        self._calls.clear()
        self._outcome = "completed"

    def _token(self, call: Call) -> str | None:
        scheme, _, encoded = call.headers.get("Authorization", "").partition(" ")
        try:
            account, _, token = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        allowed = (self._settings.twilio_account_sid or account, self._settings.twilio_auth_token or token)
        fits = scheme == "Basic" and token and (account, token) == allowed and account == call.match["account"]
        return token if fits else None

    async def _create(self, call: Call) -> Answer:
        token = self._token(call)
        if token is None:
            return _error(401, 20003, "Authenticate")
        form = parse_qs(call.raw.decode())
        to, sender = form.get("To", [""])[0], form.get("From", [""])[0]
        if not _E164.fullmatch(to):
            return _error(400, 21211, f"Invalid 'To' Phone Number: {to[:4]}XXXX")
        if not _E164.fullmatch(sender):
            return _error(400, 21212, "Invalid 'From' Phone Number")
        twiml = form.get("Twiml", [""])[0]
        if not _is_twiml(twiml):
            return _error(400, 21205, "Url parameter is required, or the TwiML is not valid")
        callback = form.get("StatusCallback", [None])[0]
        if callback is not None and urlsplit(callback).scheme not in {"http", "https"}:
            return _error(400, 21609, "Invalid 'StatusCallback' URL")
        events = form.get("StatusCallbackEvent", ["completed"])
        if not set(events) <= _EVENTS:
            return _error(400, 21626, "Invalid 'StatusCallbackEvent'")
        made = {
            "sid": f"CA{len(self._calls) + 1:032x}",
            "account_sid": call.match["account"],
            "to": to,
            "from": sender,
            "status": "queued",
            "direction": "outbound-api",
            "date_created": format_datetime(self.clock.now()),
        }
        self._calls.append(made)
        if callback is not None:
            task = asyncio.create_task(self._say(callback, token, made, events))
            self._callbacks.add(task)
            task.add_done_callback(self._callbacks.discard)
        return Answer(201, made)

    async def _list(self, call: Call) -> Answer:
        if self._token(call) is None:
            return _error(401, 20003, "Authenticate")
        found = [
            each
            for each in reversed(self._calls)
            if call.query.get("To", each["to"]) == each["to"] and call.query.get("From", each["from"]) == each["from"]
        ]
        return Answer(200, {"calls": found[: int(call.query.get("PageSize", "50"))], "next_page_uri": None})

    async def _say(self, url: str, token: str, made: dict[str, Any], events: list[str]) -> None:
        answered = self._outcome == "completed"
        steps = [("initiated", "initiated"), ("ringing", "ringing")]
        steps += [("answered", "in-progress")] if answered else []
        steps.append(("completed", self._outcome))
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            for number, (event, status) in enumerate(steps):
                made["status"] = status
                if event not in events:
                    continue
                form = {
                    "CallSid": made["sid"],
                    "AccountSid": made["account_sid"],
                    "To": made["to"],
                    "From": made["from"],
                    "CallStatus": status,
                    "SequenceNumber": str(number),
                }
                text = url + "".join(name + form[name] for name in sorted(form))
                signature = base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()
                try:
                    async with session.post(url, data=form, headers={"X-Twilio-Signature": signature}) as answer:
                        await answer.read()
                except (aiohttp.ClientError, TimeoutError):
                    continue

    async def _put_outcome(self, request: web.Request) -> web.Response:
        order = await body_of(request, OutcomeOrder)
        if order.status not in _ENDS:
            return web.json_response({"error": f"one of {', '.join(_ENDS)}"}, status=400)
        self._outcome = order.status
        return web.json_response({"status": self._outcome})


def _is_twiml(text: str) -> bool:
    if not 0 < len(text) <= _MOST_TWIML or "<!" in text:
        return False
    try:
        return ElementTree.fromstring(text).tag == "Response"  # noqa: S314 - without declarations, so no entities
    except ElementTree.ParseError:
        return False


def _error(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> Answer:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return Answer(status, {"code": code, "message": message, "more_info": more, "status": status}, headers or {})
