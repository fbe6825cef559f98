"""What whoever pressed a button sees: Telegram's answerCallbackQuery within the bot's limit, Slack's response_url."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta

from aiohttp import ClientError

from common.http import Calling
from common.postgres import Database
from common.telemetry import get_logger
from notifier.buttons.store import ActionToAnswer
from notifier.channels.telegram import TelegramSender
from notifier.delivery.model import Limit, opens_at, take
from notifier.messages.document import escape, shorten

_log = get_logger()
_LONGEST = 200  # Telegram's limit of an answer
_MAKE = "INSERT INTO rate_windows (key) VALUES ($1) ON CONFLICT (key) DO NOTHING"
_WINDOW = "SELECT stamps FROM rate_windows WHERE key = $1 FOR UPDATE"
_SET = "UPDATE rate_windows SET stamps = $2 WHERE key = $1"
_REFUSED = ("401", "403")
_BENIGN = ("query is too old", "query id is invalid")


class TelegramAnswers:
    """Answers pressed buttons and registers the webhook. Every call takes a place in the bot's window, which replicas and senders share."""

    def __init__(self, *, sender: TelegramSender, database: Database, limit: Limit, deadline: float) -> None:
        self._sender = sender
        self._database = database
        self._limit = limit
        self._deadline = deadline

    async def answer(self, action: ActionToAnswer) -> bool:
        """Answer one; returns False if it is to be tried again. A query that is too old can never be answered, and nobody waits for it."""
        from aiogram import exceptions as said

        bot = await self._sender.bot()
        await self._place()
        try:
            async with asyncio.timeout(self._deadline):
                await bot.answer_callback_query(
                    action.outside_id, text=shorten(action.text, _LONGEST) or None, show_alert=action.alert
                )
        except said.TelegramRetryAfter as error:
            await asyncio.sleep(min(float(error.retry_after), 5.0))
            return False
        except said.TelegramBadRequest as error:
            benign = any(sign in error.message.lower() for sign in _BENIGN)
            _log.info("button_answer_refused", benign=benign, action_id=str(action.id))
            return True
        except (TimeoutError, said.TelegramAPIError, said.ClientDecodeError) as error:
            _log.warning("button_not_answered", reason=type(error).__name__, action_id=str(action.id))
            return False
        return True

    async def register(self, *, url: str, secret: str) -> None:
        """Have Telegram send pressed buttons to us, unless it does already. Never raises for what Telegram says."""
        from aiogram import exceptions as said

        bot = await self._sender.bot()
        try:
            async with asyncio.timeout(self._deadline):
                await self._place()
                info = await bot.get_webhook_info()
                # Another secret is not shown; what it leads to is.
                heard = not info.allowed_updates or "callback_query" in info.allowed_updates
                if info.url != url or not heard or any(code in (info.last_error_message or "") for code in _REFUSED):
                    await self._place()
                    await bot.set_webhook(url, secret_token=secret, allowed_updates=["callback_query"])
                    _log.info("telegram_webhook_registered")
        except (TimeoutError, said.TelegramAPIError, said.ClientDecodeError) as error:
            _log.warning("telegram_webhook_not_registered", reason=type(error).__name__)

    async def _place(self) -> None:
        """Wait for a place in the bot's window and take it for the call's deadline."""
        while True:
            async with self._database.transaction() as connection:
                await connection.execute(_MAKE, self._limit.key)
                stamps: list[datetime] = await connection.fetchval(_WINDOW, self._limit.key)
                now: datetime = await connection.fetchval("SELECT clock_timestamp()")
                opens = opens_at(stamps, self._limit, now)
                if opens <= now:
                    # Held for a moment only: the call is short, and its place counts from about now.
                    taken, _ = take(stamps, self._limit, now, until=now + timedelta(seconds=0.5))
                    await connection.execute(_SET, self._limit.key, list(taken))
                    return
            await asyncio.sleep((opens - now).total_seconds() + 0.01)


class SlackAnswers(Calling):
    """Answers that person, and nobody else, by the interaction's response_url."""

    def __init__(self, *, deadline: float) -> None:
        self._deadline = deadline

    async def answer(self, action: ActionToAnswer) -> bool:
        """Answer one; returns False if it is to be tried again."""
        if action.reply_to is None or not action.text:
            return True
        said = {"text": escape(action.text), "mrkdwn": False, "parse": "none"}
        body = {"response_type": "ephemeral", "replace_original": False, **said}
        with contextlib.suppress(TimeoutError, ClientError, OSError):
            async with (
                asyncio.timeout(self._deadline),
                self._opened(service="notifier").post(action.reply_to, json=body, allow_redirects=False) as answer,
            ):
                return answer.status < 500 and answer.status != 429
        return False
