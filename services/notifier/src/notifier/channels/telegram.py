"""Telegram through aiogram. Importing aiogram takes seconds, so it is done on the first use, in a thread."""

from __future__ import annotations

import asyncio
import json
import math
import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from common.http import retry_after, tracing_config
from common.telemetry import get_logger
from notifier.delivery.model import Limit, Message
from notifier.delivery.outcomes import Gone, Moved, NotSent, Outcome, Refused, Sent, Throttled, TooLong, Unclear
from notifier.messages.document import Keyboard, one_line, shorten
from notifier.messages.layout.telegram import compose

if TYPE_CHECKING:
    from aiogram import Bot

_log = get_logger()
_NO_TOPIC = ("message thread not found", "topic_closed", "topic_deleted", "topic_id_invalid")
_GONE = (
    *_NO_TOPIC,
    *("chat not found", "group chat was deactivated", "not enough rights", "have no rights"),
    *("need administrator rights", "chat_write_forbidden"),
    *("the group has been deleted", "user is deactivated", "peer_id_invalid"),
)
_NO_MESSAGE = (
    *("message to edit not found", "message can't be edited"),
    *("message_id_invalid", "message identifier is not specified"),
)
_TOO_LONG = ("message is too long", "message_too_long")
_WAIT = re.compile(r"retry after (\d+)")


class TelegramSender:
    """One bot. 429 waits, a migrated group is followed, a topic that is gone is its chat, a block is for good, silence is unclear.

    Errors are reported without aiogram's text where that may quote the message.
    """

    def __init__(self, *, token: str, api_url: str, connect_timeout: float = 2.0) -> None:
        self._connect_timeout = connect_timeout
        self._token = token
        self._api_url = api_url
        self._bot: Bot | None = None
        self._making = asyncio.Lock()

    async def send(self, message: Message, *, deadline: float) -> Outcome:
        """Send or edit one message; HTML first, and without mark-up when Telegram cannot parse it."""
        bot = await self._ready()
        html, bare = compose(message.pages)
        try:
            async with asyncio.timeout(deadline):
                outcome = await self._call(bot, message, html, parse_mode="HTML")
                if outcome is None:
                    outcome = await self._call(bot, message, bare, parse_mode=None)
        except TimeoutError:
            return Unclear(f"no answer within {deadline:g} s")
        return outcome if outcome is not None else Refused("Telegram cannot parse even the bare text", False)

    async def _call(self, bot: Bot, message: Message, text: str, *, parse_mode: str | None) -> Outcome | None:
        """Make one call; None means that the mark-up could not be parsed and nothing was sent."""
        from aiogram import exceptions as said

        try:
            message_id = await self._sent(bot, message, text, parse_mode=parse_mode)
        except said.TelegramRetryAfter as error:
            return Throttled(float(error.retry_after))
        except said.TelegramMigrateToChat as error:
            return Moved(str(error.migrate_to_chat_id))
        except said.TelegramForbiddenError as error:
            return Refused(_short(error.message), True)
        except said.TelegramBadRequest as error:
            text_of = error.message.lower()
            if "can't parse entities" in text_of and parse_mode is not None:
                return None
            if message.edits is not None and "message is not modified" in text_of:
                return Sent(message.edits)
            if message.edits is not None and any(sign in text_of for sign in _NO_MESSAGE):
                return Gone(_short(error.message))
            if message.topic is not None and any(sign in text_of for sign in _NO_TOPIC):
                _log.warning("telegram_topic_gone", chat=message.address, topic=message.topic)
                return await self._call(bot, replace(message, topic=None), text, parse_mode=parse_mode)
            if any(sign in text_of for sign in _TOO_LONG):
                return TooLong(_short(error.message))
            return Refused(_short(error.message), any(sign in text_of for sign in _GONE))
        except (said.TelegramUnauthorizedError, said.TelegramNotFound):
            return NotSent("Telegram does not know the bot's token")
        except said.TelegramNetworkError as error:
            return _network(error)
        except said.TelegramServerError:
            return Unclear("Telegram answered 5xx")
        except said.ClientDecodeError:
            return Unclear("Telegram's answer could not be read")
        except said.TelegramAPIError as error:
            return Unclear(type(error).__name__)
        return Sent(message_id)

    async def _sent(self, bot: Bot, message: Message, text: str, *, parse_mode: str | None) -> str:
        """Post or edit; returns the message's id. Raises what aiogram raises."""
        markup = _markup(message.buttons)
        if message.edits is None:
            sent = await bot.send_message(
                chat_id=_chat(message.address),
                text=text,
                parse_mode=parse_mode,
                message_thread_id=message.topic,
                disable_web_page_preview=True,
                reply_markup=markup,
            )
            return str(sent.message_id)
        await bot.edit_message_text(
            chat_id=_chat(message.address),
            message_id=int(message.edits),
            text=text,
            parse_mode=parse_mode,
            disable_web_page_preview=True,
            reply_markup=markup,  # none clears the buttons
        )
        return message.edits

    async def _ready(self) -> Bot:
        async with self._making:
            if self._bot is None:
                make = await asyncio.to_thread(_import_maker)
                self._bot = make(self._token, self._api_url, self._connect_timeout)
            return self._bot

    async def bot(self) -> Any:
        """Return the bot, for what is no message."""
        return await self._ready()

    async def prepare(self) -> None:
        """Import aiogram ahead of the first message."""
        await self._ready()

    async def close(self) -> None:
        """Close the connections."""
        if self._bot is not None:
            await self._bot.session.close()


def telegram_limits(*, bot: str, chat: str) -> tuple[Limit, ...]:
    """Return Telegram's limits for a chat: one per second; 20 per minute in a group; 30 per second for the bot.

    Ids of groups, supergroups and channels are negative; ``@name`` is a channel or a public group.
    """
    second, minute = timedelta(seconds=1), timedelta(minutes=1)
    limits = [
        Limit(key=f"telegram:bot:{bot}", places=30, period=second),
        Limit(key=f"telegram:chat:{chat}", places=1, period=second),
    ]
    if chat.startswith(("-", "@")):
        limits.append(Limit(key=f"telegram:group:{chat}", places=20, period=minute))
    return tuple(limits)


def bot_id(token: str) -> str:
    """Return the public part of a bot's token: limits are counted by it."""
    return token.partition(":")[0]


def _markup(keyboard: Keyboard) -> Any:
    if not keyboard:
        return None
    from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

    return InlineKeyboardMarkup(
        inline_keyboard=[
            [InlineKeyboardButton(text=button.label, callback_data=button.data) for button in row] for row in keyboard
        ]
    )


def _import_maker() -> Any:
    from aiogram import Bot
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.telegram import TelegramAPIServer
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar

    class TracedSession(AiohttpSession):
        """aiogram's session, whose requests carry the trace."""

        def check_response(self, bot: Bot, method: Any, status_code: int, content: str) -> Any:
            """Check an answer as its own body means it."""
            return super().check_response(bot, method, *_as_meant(status_code, content))

        async def create_session(self) -> ClientSession:
            """Return the open session, or make one; as the parent does, with tracing."""
            if self._should_reset_connector:
                await self.close()
            if self._session is None or self._session.closed:
                self._session = ClientSession(
                    connector=self._connector_type(**self._connector_init),
                    cookie_jar=DummyCookieJar(),
                    headers={"User-Agent": "notifier"},
                    trace_configs=[tracing_config()],
                )
                self._should_reset_connector = False
            return self._session

    def make(token: str, api_url: str, connect_timeout: float) -> Bot:
        session = TracedSession(api=TelegramAPIServer.from_base(api_url))
        # aiogram hands this to aiohttp as it is; a plain number would leave connecting without a limit of its own.
        session.timeout = ClientTimeout(total=60, connect=connect_timeout)  # type: ignore[assignment]  # it says float
        return Bot(token, session=session)

    return make


def _as_meant(status: int, content: str) -> tuple[int, str]:
    """Return a refusal in the form that aiogram knows: with the body's own code, and 429 with whole seconds, also where none are told."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        said = {} if status == 429 else None
    if not isinstance(said, dict) or (status < 300 and said.get("ok") is True):
        return status, content
    code, text, told = said.get("error_code"), str(said.get("description") or ""), said.get("parameters")
    status = code if status < 300 and isinstance(code, int) else status
    parameters = told if isinstance(told, dict) else {}
    if status == 429:
        wait = parameters.get("retry_after") or next(iter(_WAIT.findall(text)), None)
        parameters["retry_after"] = math.ceil(retry_after(wait) or 1)
    return status, json.dumps({"ok": False, "description": text, "parameters": parameters})


def _network(error: Any) -> Outcome:
    """A connection that could not be made carried nothing; anything later is unclear."""
    from aiohttp import ClientConnectorError, ConnectionTimeoutError

    if isinstance(error.__cause__, ClientConnectorError | ConnectionTimeoutError):
        return NotSent("no connection to Telegram")
    return Unclear("the connection to Telegram was lost")


def _chat(address: str) -> int | str:
    return int(address) if address.lstrip("-").isdigit() else address


def _short(text: str) -> str:
    return shorten(one_line(text), 200)
