"""Slack as one outside system: the Web API at `/api/{method}`, and a person's presses under `/sandbox/slack/`."""

import hashlib
import hmac
import json
import zlib
from typing import Any, ClassVar
from urllib.parse import urlencode

import aiohttp
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from sandbox.clock import Clock
from sandbox.control import ControlError, body_of
from sandbox.faults import FaultMode, FaultOrder, FaultPlan
from sandbox.gate import Answer, Call, HttpSystem
from sandbox.kept import Kept
from sandbox.log import Journal
from sandbox.settings import Settings
from sandbox.systems.slack.blocks import action_ids
from sandbox.systems.slack.methods import BOT, TEAM, ChannelState, Methods, Post, SlackError, Workspace

_INTERACTION_TIMEOUT_S = 3.0
"""Slack shows the presser an error when no answer came by then."""


class ChannelOrder(BaseModel):
    """The body of `PUT /sandbox/slack/channels/{channel}`, by id or by name."""

    model_config = ConfigDict(extra="forbid")

    state: ChannelState


class SlackPressOrder(BaseModel):
    """The body of `POST /sandbox/slack/press`.

    `url` and `signing_secret` stand in for the settings; `skew_s` shifts the signed time stamp, `bad_signature` spoils
    the signature, `twice` sends the interaction again, `force` presses what the message never had.
    """

    model_config = ConfigDict(extra="forbid")

    channel: str = Field(min_length=1)
    ts: str = Field(min_length=1)
    action_id: str = Field(min_length=1)
    value: str | None = None
    user: str = "user"
    url: str | None = None
    signing_secret: str | None = None
    skew_s: float = 0
    bad_signature: bool = False
    twice: bool = False
    force: bool = False


class Slack(HttpSystem):
    """The Web API; every refusal is a 200 with `ok: false`, but for the 429."""

    name: ClassVar[str] = "slack"

    def __init__(
        self, *, settings: Settings, clock: Clock, journal: Journal, faults: FaultPlan, kept: Kept | None
    ) -> None:
        super().__init__(clock=clock, journal=journal, faults=faults)
        self._settings = settings
        self.workspace = Workspace(kept=kept)
        self._methods = Methods(settings=settings, clock=clock, workspace=self.workspace)

    def routes(self) -> list[web.RouteDef]:
        """The Web API, and presses and channel states ordered by a check."""
        serve = self.endpoint(lambda request: request.match_info["api_method"], self._serve)
        return [
            web.get("/api/{api_method}", serve),
            web.post("/api/{api_method}", serve),
            web.post("/sandbox/slack/response/{id}", self.endpoint("response_url", self._take_response)),
            web.post("/sandbox/slack/press", self._press),
            web.put("/sandbox/slack/channels/{channel}", self._put_channel),
            web.get("/sandbox/slack/messages", self._list_messages),
        ]

    def refusal(self, fault: FaultOrder, call: Call) -> Answer:
        """A 500, a 429, or `channel_not_found`."""
        match fault.mode:
            case FaultMode.RATE_LIMIT:
                return _refused(SlackError("ratelimited", retry_after=fault.delay))
            case FaultMode.DECLINED:
                return _refused(SlackError("channel_not_found"))
            case _:
                return Answer(500, {"ok": False, "error": "internal_error"})

    def reset(self) -> None:
        """Forget channels, messages and limits."""
        super().reset()
        self.workspace.forget()
        self._methods.reset()

    async def _serve(self, call: Call) -> Answer:
        try:
            arguments = _arguments(call)
            self._check_token(call, arguments)
            return Answer(200, {"ok": True} | self._methods.call(call.operation, arguments))
        except SlackError as error:
            return _refused(error)

    def _check_token(self, call: Call, arguments: dict[str, Any]) -> None:
        scheme, _, token = call.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            token = str(arguments.pop("token", "") or "")
        if not token:
            raise SlackError("not_authed")
        allowed = self._settings.slack_tokens
        if not token.startswith(("xoxb-", "xoxp-")) or (allowed and token not in allowed):
            raise SlackError("invalid_auth")

    async def _take_response(self, call: Call) -> Answer:
        """A `response_url`: whatever is posted there is kept in the log."""
        try:
            call.json()
        except ValueError:
            return Answer(400, {"ok": False, "error": "invalid_payload"})
        return Answer(200, {"ok": True})

    async def _press(self, request: web.Request) -> web.Response:
        order = await body_of(request, SlackPressOrder)
        post = self.workspace.posts.get((self.workspace.channel(order.channel).id, order.ts))
        if post is None:
            raise ControlError(404, "no such message")
        known = [
            element
            for element in action_ids(post.blocks + post.past_blocks)
            if element["action_id"] == order.action_id and order.value in (None, element.get("value"))
        ]
        if not known and not order.force:
            raise ControlError(409, "the message never had an element with this action_id and value")
        url = order.url or self._settings.slack_interactions_url
        secret = order.signing_secret or self._settings.slack_signing_secret
        if url is None or secret is None:
            raise ControlError(409, "the interactions' address or the signing secret is not set")
        element = known[-1] if known else {"action_id": order.action_id, "type": "button", "block_id": ""}
        here = self._settings.public_url or f"{request.scheme}://{request.host}"
        payload = self._interaction(order, post, element, here)
        deliveries = [await self._deliver(url, secret, payload, order) for _ in range(2 if order.twice else 1)]
        return web.json_response({"deliveries": deliveries})

    def _interaction(self, order: SlackPressOrder, post: Post, element: dict[str, Any], here: str) -> dict[str, Any]:
        stamp = f"{self.clock.now().timestamp():.6f}"
        trigger = f"{zlib.crc32(f'{post.ts}{stamp}'.encode())}.sandbox"
        action = {
            "type": element.get("type", "button"),
            "action_id": order.action_id,
            "block_id": element.get("block_id", ""),
            "value": order.value if order.value is not None else element.get("value", ""),
            "text": element.get("text", {"type": "plain_text", "text": ""}),
            "action_ts": stamp,
        }
        user_id = f"U{zlib.crc32(order.user.encode()):08X}"
        return {
            "type": "block_actions",
            "user": {"id": user_id, "username": order.user, "name": order.user, "team_id": TEAM["id"]},
            "api_app_id": BOT["app_id"],
            "token": "deprecated",
            "container": {"type": "message", "message_ts": post.ts, "channel_id": post.channel.id},
            "trigger_id": trigger,
            "team": TEAM,
            "channel": {"id": post.channel.id, "name": post.channel.name},
            "message": post.as_json(),
            "response_url": f"{here}/sandbox/slack/response/{trigger}",
            "actions": [action],
        }

    async def _deliver(self, url: str, secret: str, payload: dict[str, Any], order: SlackPressOrder) -> dict[str, Any]:
        """Sign as v0 does (HMAC-SHA256 of `v0:{ts}:{body}`) and post; the presser sees a failure after 3 s."""
        body = urlencode({"payload": json.dumps(payload, ensure_ascii=False)})
        stamp = str(int(self.clock.now().timestamp() + order.skew_s))
        digest = hmac.new(secret.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": f"v0={'0' * 64 if order.bad_signature else digest}",
        }
        timeout = aiohttp.ClientTimeout(total=_INTERACTION_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(url, data=body, headers=headers) as response,
            ):
                return {"status": response.status, "body": await response.text(errors="replace"), "error": None}
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return {"status": None, "body": None, "error": type(error).__name__}

    async def _put_channel(self, request: web.Request) -> web.Response:
        order = await body_of(request, ChannelOrder)
        channel = self.workspace.channel(request.match_info["channel"])
        channel.state = order.state
        return web.json_response({"id": channel.id, "name": channel.name, "state": channel.state})

    async def _list_messages(self, request: web.Request) -> web.Response:
        wanted = request.query.get("channel")
        channel_id = self.workspace.channel(wanted).id if wanted else None
        items = [
            post.as_json() | {"channel": post.channel.id, "deleted": post.deleted, "edits": post.edits}
            for post in self.workspace.posts.values()
            if channel_id in (None, post.channel.id)
        ]
        return web.json_response({"items": items, "next_cursor": None})


def _arguments(call: Call) -> dict[str, Any]:
    """All arguments by name; blocks and attachments inside a form are JSON text."""
    arguments: dict[str, Any] = dict(call.query)
    if call.form is not None:
        arguments |= call.form
    elif call.raw:
        try:
            body = call.json()
        except ValueError:
            raise SlackError("invalid_json") from None
        if not isinstance(body, dict):
            raise SlackError("json_not_object")
        arguments |= body
    for name in ("blocks", "attachments"):
        if isinstance(arguments.get(name), str):
            try:
                arguments[name] = json.loads(arguments[name])
            except ValueError:
                raise SlackError(f"invalid_{name}_format") from None
    return arguments


def _refused(error: SlackError) -> Answer:
    body: dict[str, Any] = {"ok": False, "error": error.code}
    if error.messages:
        body["errors"] = [message.removeprefix("[ERROR] ") for message in error.messages]
        body["response_metadata"] = {"messages": error.messages}
    if error.retry_after is not None:
        return Answer(429, body, {"Retry-After": str(error.retry_after)})
    return Answer(200, body)
