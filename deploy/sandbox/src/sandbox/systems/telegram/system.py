"""Telegram as one outside system: the Bot API, and a person's side of it under `/sandbox/telegram/`."""

import asyncio
import json
import re
from typing import Any, ClassVar, Literal, Self

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sandbox.clock import Clock
from sandbox.control import ControlError, body_of
from sandbox.faults import FaultMode, FaultOrder, FaultPlan
from sandbox.gate import Answer, Call, HttpSystem
from sandbox.kept import Kept
from sandbox.log import Journal
from sandbox.settings import Settings
from sandbox.systems.telegram.arguments import BotApiError, arguments_of, bad
from sandbox.systems.telegram.delivery import UpdateDelivery
from sandbox.systems.telegram.methods import Methods, too_many
from sandbox.systems.telegram.state import Bot, Message, Press, TelegramState, user_of

_TOKEN = re.compile(r"\d{1,16}:[A-Za-z0-9_-]{3,}")


class ChatOrder(BaseModel):
    """The body of `PUT /sandbox/telegram/chats/{chat_id}`."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["active", "blocked", "kicked", "missing", "migrated", "no_rights"]
    migrate_to_chat_id: int | None = None

    @model_validator(mode="after")
    def _target(self) -> Self:
        if (self.state == "migrated") != (self.migrate_to_chat_id is not None):
            raise ValueError("migrate_to_chat_id belongs to the state migrated")
        return self


class PressOrder(BaseModel):
    """The body of `POST /sandbox/telegram/press`. `twice` delivers the press under two update ids at the same moment.

    `chat_id` is needed only to press on a message the sandbox never saw; `force` presses a button the message never
    had. `url` and `secret` stand in for a webhook that was not registered.
    """

    model_config = ConfigDict(extra="forbid")

    message_id: int
    callback_data: str = Field(min_length=1)
    user: int | str | dict[str, Any] = "user"
    chat_id: int | None = None
    twice: bool = False
    force: bool = False
    url: str | None = None
    secret: str | None = None


class SayOrder(BaseModel):
    """The body of `POST /sandbox/telegram/say`: a person writes `text` into a chat the bot reads."""

    model_config = ConfigDict(extra="forbid")

    chat_id: int
    text: str = Field(min_length=1)
    user: int | str | dict[str, Any] = "user"
    reply_to_message_id: int | None = None
    bot_id: int | None = None
    url: str | None = None
    secret: str | None = None


class Telegram(HttpSystem):
    """The Bot API at `/bot{token}/{method}`."""

    name: ClassVar[str] = "telegram"

    def __init__(
        self, *, settings: Settings, clock: Clock, journal: Journal, faults: FaultPlan, kept: Kept | None
    ) -> None:
        super().__init__(clock=clock, journal=journal, faults=faults)
        self._settings = settings
        self.state = TelegramState(started=int(clock.now().timestamp()), kept=kept)
        self._methods = Methods(settings=settings, clock=clock, state=self.state)
        self._delivery = UpdateDelivery(settings=settings, clock=clock, reply=self._replied)

    def routes(self) -> list[web.RouteDef]:
        """The Bot API, and presses, words and chat states ordered by a check."""
        serve = self.endpoint(lambda request: request.match_info["api_method"], self._serve)
        path = "/bot{token}/{api_method}"
        return [
            web.get(path, serve),
            web.post(path, serve),
            web.post("/sandbox/telegram/press", self._press),
            web.post("/sandbox/telegram/say", self._say),
            web.put("/sandbox/telegram/chats/{chat_id}", self._put_chat),
            web.get("/sandbox/telegram/messages", self._list_messages),
        ]

    def refusal(self, fault: FaultOrder, call: Call) -> Answer:
        """A 500, a 429, or the 403 of somebody who blocked the bot."""
        match fault.mode:
            case FaultMode.RATE_LIMIT:
                return _refused(too_many(fault.delay))
            case FaultMode.DECLINED:
                return _refused(BotApiError(403, "Forbidden: bot was blocked by the user"))
            case _:
                return _refused(BotApiError(500, "Internal Server Error"))

    def reset(self) -> None:
        """Forget messages, chats, presses and limits; registered webhooks stay, for the bots still run."""
        super().reset()
        self.state.forget()
        self._methods.reset()

    def shown_path(self, path: str) -> str:
        """The path with the bot's id and without its key."""
        return re.sub(r"^/bot(\d*)[^/]*", r"/bot\1", path)

    async def _serve(self, call: Call) -> Answer:
        try:
            bot = self._bot(call.match["token"])
            result = self._methods.call(call.operation, bot, _with_reply(arguments_of(call)))
            return Answer(200, {"ok": True, "result": result})
        except BotApiError as error:
            return _refused(error)

    def _replied(self, bot: Bot, arguments: dict[str, Any]) -> None:
        """Carry out a call that came as the answer to an update: its limits count, its failure is seen by nobody."""
        method = str(arguments.pop("method"))
        try:
            result = self._methods.call(method, bot, _with_reply(arguments))
            answer = Answer(200, {"ok": True, "result": result})
        except BotApiError as error:
            answer = _refused(error)
        self.journal.record(
            time=self.clock.now(),
            operation=method,
            method="REPLY",
            path=f"/bot{bot.id}/{method}",
            request=arguments,
            status=answer.status,
            answer=answer.body,
            effect=answer.accepted,
        )

    def _bot(self, token: str) -> Bot:
        allowed = self._settings.telegram_tokens
        if not _TOKEN.fullmatch(token) or (allowed and token not in allowed):
            raise BotApiError(401, "Unauthorized")
        return self.state.bot(token)

    async def _press(self, request: web.Request) -> web.Response:
        order = await body_of(request, PressOrder)
        message = self.state.messages.get(order.message_id)
        if message is None or (order.chat_id is not None and message.chat.id != order.chat_id):
            raise ControlError(404, "no such message")
        if order.callback_data not in message.presses and not order.force:
            raise ControlError(409, "the message never had a button with this callback_data")
        if message.bot.webhook is None and order.url is None and not message.bot.polled:
            raise ControlError(409, "the bot has registered no webhook")
        press = Press(id=self.state.next_press_id(), bot=message.bot, at=self.clock.monotonic())
        self.state.presses[press.id] = press
        content = {"callback_query": _callback_query(press, message, order)}
        deliveries = await asyncio.gather(
            *(
                self._delivery.send(message.bot, content, url=order.url, secret=order.secret)
                for _ in range(2 if order.twice else 1)
            )
        )
        return web.json_response(
            {"callback_query_id": press.id, "deliveries": deliveries, "answers": press.answers},
            status=200 if all(delivery["delivered"] for delivery in deliveries) else 202,
        )

    async def _say(self, request: web.Request) -> web.Response:
        order = await body_of(request, SayOrder)
        bots = [bot for bot in self.state.bots.values() if order.bot_id in (None, bot.id)]
        if not bots:
            raise ControlError(409, "no bot has called yet")
        message = {
            "message_id": self.state.next_message_id(),
            "from": user_of(order.user),
            "chat": self.state.chat(order.chat_id).as_json(),
            "date": int(self.clock.now().timestamp()),
            "text": order.text,
        }
        replied = self.state.messages.get(order.reply_to_message_id or 0)
        if replied is not None:
            message["reply_to_message"] = replied.as_json()
        deliveries = [
            await self._delivery.send(bot, {"message": message}, url=order.url, secret=order.secret) for bot in bots
        ]
        return web.json_response({"message_id": message["message_id"], "deliveries": deliveries})

    async def _put_chat(self, request: web.Request) -> web.Response:
        order = await body_of(request, ChatOrder)
        try:
            chat = self.state.chat(int(request.match_info["chat_id"]))
        except ValueError:
            raise ControlError(400, "a chat id is a number") from None
        chat.state, chat.migrate_to = order.state, order.migrate_to_chat_id
        return web.json_response({"id": chat.id, "state": chat.state, "migrate_to_chat_id": chat.migrate_to})

    async def _list_messages(self, request: web.Request) -> web.Response:
        wanted = request.query.get("chat_id")
        items = [
            message.as_json() | {"deleted": message.deleted, "edits": message.edits, "reply_to": message.reply_to}
            for message in self.state.messages.values()
            if wanted is None or str(message.chat.id) == wanted
        ]
        return web.json_response({"items": items, "next_cursor": None})


def _callback_query(press: Press, message: Message, order: PressOrder) -> dict[str, Any]:
    shown = message.as_json()
    if message.deleted:
        shown = {"message_id": message.id, "chat": message.chat.as_json(), "date": 0}
    return {
        "id": press.id,
        "from": user_of(order.user),
        "message": shown,
        "chat_instance": str(message.chat.id),
        "data": order.callback_data,
    }


def _with_reply(arguments: dict[str, Any]) -> dict[str, Any]:
    """`reply_parameters` in the words of the older arguments."""
    parameters = arguments.get("reply_parameters")
    if isinstance(parameters, str) and parameters:
        try:
            parameters = json.loads(parameters)
        except ValueError:
            raise bad("can't parse reply parameters JSON object") from None
    if not isinstance(parameters, dict):
        return arguments
    return arguments | {
        "reply_to_message_id": parameters.get("message_id"),
        "allow_sending_without_reply": parameters.get("allow_sending_without_reply", False),
    }


def _refused(error: BotApiError) -> Answer:
    body: dict[str, Any] = {"ok": False, "error_code": error.status, "description": error.description}
    if error.parameters is not None:
        body["parameters"] = error.parameters
    return Answer(error.status, body)
