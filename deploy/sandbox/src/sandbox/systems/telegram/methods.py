"""The methods of the Bot API that the sandbox speaks. Each takes a bot and its arguments and returns `result`."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.clock import Clock
from sandbox.limits import Limit, LimitBook, SlidingWindow, TokenBucket, admit
from sandbox.settings import Settings
from sandbox.systems.telegram.arguments import (
    CALLBACK_ANSWER_LIMIT,
    BotApiError,
    bad,
    chat_id_from,
    flag_from,
    integer_from,
    markup_from,
    text_from,
)
from sandbox.systems.telegram.html import utf16_length
from sandbox.systems.telegram.state import Bot, Chat, Message, TelegramState

Method = Callable[[Bot, Mapping[str, Any]], Any]


class Methods:
    """Order of checks: arguments, then limits, then the chat. A refused argument costs nothing, as at Telegram."""

    def __init__(self, *, settings: Settings, clock: Clock, state: TelegramState) -> None:
        self._settings = settings
        self._clock = clock
        self._state = state
        self._limits = LimitBook()
        self._by_name: dict[str, Method] = {
            method.lower(): handler
            for method, handler in {
                "getMe": self._get_me,
                "sendMessage": self._send_message,
                "editMessageText": self._edit_text,
                "editMessageReplyMarkup": self._edit_markup,
                "deleteMessage": self._delete_message,
                "answerCallbackQuery": self._answer_press,
                "sendChatAction": self._chat_action,
                "getChat": self._get_chat,
                "setWebhook": self._set_webhook,
                "deleteWebhook": self._delete_webhook,
                "getWebhookInfo": self._webhook_info,
                "getUpdates": self._get_updates,
                "setMyCommands": self._always_true,
                "logOut": self._always_true,
                "close": self._always_true,
            }.items()
        }

    def call(self, name: str, bot: Bot, arguments: Mapping[str, Any]) -> Any:
        """The method's `result`; names count without case. Raises BotApiError."""
        method = self._by_name.get(name.lower())
        if method is None:
            raise BotApiError(404, "Not Found: method not found")
        return method(bot, arguments)

    def reset(self) -> None:
        """Forget all counts of the limits."""
        self._limits.clear()

    def _get_me(self, bot: Bot, _: Mapping[str, Any]) -> Any:
        self._admit(bot, None)
        return bot.as_json() | {
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }

    def _send_message(self, bot: Bot, arguments: Mapping[str, Any]) -> Any:
        chat_id, username = chat_id_from(arguments)
        parsed = text_from(arguments)
        markup = markup_from(arguments)
        chat = self._open_chat(bot, chat_id, username)
        reply_to = self._reply_target(arguments, chat)
        message = Message(
            id=self._state.next_message_id(),
            bot=bot,
            chat=chat,
            date=self._clock.now(),
            text=parsed.text,
            entities=parsed.entities,
            markup=markup,
            thread_id=integer_from(arguments, "message_thread_id"),
            reply_to=reply_to,
        )
        _remember_presses(message)
        self._state.keep(message)
        return message.as_json()

    def _edit_text(self, bot: Bot, arguments: Mapping[str, Any]) -> Any:
        parsed = text_from(arguments)
        markup = markup_from(arguments)
        message = self._own_message(bot, arguments, "edit")
        if (message.text, message.entities, _keyboard(message.markup)) == (
            parsed.text,
            parsed.entities,
            _keyboard(markup),
        ):
            raise _not_modified()
        message.text, message.entities, message.markup = parsed.text, parsed.entities, markup
        return self._edited(message)

    def _edit_markup(self, bot: Bot, arguments: Mapping[str, Any]) -> Any:
        markup = markup_from(arguments)
        message = self._own_message(bot, arguments, "edit")
        if _keyboard(message.markup) == _keyboard(markup):
            raise _not_modified()
        message.markup = markup
        return self._edited(message)

    def _delete_message(self, bot: Bot, arguments: Mapping[str, Any]) -> Any:
        message = self._own_message(bot, arguments, "delete")
        message.deleted = True
        self._state.keep(message)
        return True

    def _answer_press(self, bot: Bot, arguments: Mapping[str, Any]) -> Any:
        text = str(arguments.get("text") or "")
        if utf16_length(text) > CALLBACK_ANSWER_LIMIT:
            raise bad("MESSAGE_TOO_LONG")
        self._admit(bot, None)
        press = self._state.presses.get(str(arguments.get("callback_query_id", "")))
        age_limit = self._settings.telegram_callback_ttl_s
        if press is None or press.bot is not bot or self._clock.monotonic() - press.at > age_limit:
            raise bad("query is too old and response timeout expired or query ID is invalid")
        press.answers.append({"text": text, "show_alert": flag_from(arguments, "show_alert")})
        return True

    def _chat_action(self, bot: Bot, arguments: Mapping[str, Any]) -> Any:
        self._open_chat(bot, *chat_id_from(arguments))
        return True

    def _get_chat(self, bot: Bot, arguments: Mapping[str, Any]) -> Any:
        chat = self._open_chat(bot, *chat_id_from(arguments))
        return chat.as_json() | {
            "accent_color_id": 0,
            "max_reaction_count": 11,
            "accepted_gift_types": {
                "unlimited_gifts": False,
                "limited_gifts": False,
                "unique_gifts": False,
                "premium_subscription": False,
                "gifts_from_channels": False,
            },
        }

    def _set_webhook(self, bot: Bot, arguments: Mapping[str, Any]) -> Any:
        secret = str(arguments.get("secret_token") or "")
        if len(secret) > 256 or not all(sign.isascii() and (sign.isalnum() or sign in "_-") for sign in secret):
            raise bad("secret token contains unallowed characters")
        url = str(arguments.get("url") or "")
        if url and not url.startswith(("http://", "https://")):
            raise bad("bad webhook: invalid URL")  # the real one wants https; here everything is on one machine
        self._admit(bot, None)
        bot.webhook, bot.secret = url or None, secret or None
        return True

    def _delete_webhook(self, bot: Bot, arguments: Mapping[str, Any]) -> Any:
        self._admit(bot, None)
        bot.webhook = bot.secret = None
        if flag_from(arguments, "drop_pending_updates"):
            bot.pending.clear()
        return True

    def _webhook_info(self, bot: Bot, _: Mapping[str, Any]) -> Any:
        self._admit(bot, None)
        info: dict[str, Any] = {
            "url": bot.webhook or "",
            "has_custom_certificate": False,
            "pending_update_count": len(bot.pending),
        }
        if bot.last_error is not None and bot.last_error_at is not None:
            info |= {"last_error_date": int(bot.last_error_at.timestamp()), "last_error_message": bot.last_error}
        return info

    def _get_updates(self, bot: Bot, arguments: Mapping[str, Any]) -> Any:
        if bot.webhook is not None:
            raise BotApiError(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook"
                " first",
            )
        self._admit(bot, None)
        bot.polled = True
        offset = integer_from(arguments, "offset") or 0
        bot.pending[:] = [update for update in bot.pending if update["update_id"] >= offset]
        return bot.pending[: integer_from(arguments, "limit") or 100]

    def _always_true(self, bot: Bot, _: Mapping[str, Any]) -> Any:
        self._admit(bot, None)
        return True

    def _open_chat(self, bot: Bot, chat_id: int, username: str | None) -> Chat:
        """The chat, charged with one call, if the bot may write to it."""
        chat = self._state.chat(chat_id, username=username)
        self._admit(bot, chat)
        match chat.state:
            case "blocked":
                raise BotApiError(403, "Forbidden: bot was blocked by the user")
            case "kicked":
                where = "supergroup" if chat.id <= -1_000_000_000_000 else "group"
                raise BotApiError(403, f"Forbidden: bot was kicked from the {where} chat")
            case "no_rights":
                raise bad("not enough rights to send text messages to the chat")
            case "missing":
                raise bad("chat not found")
            case "migrated":
                raise BotApiError(
                    400,
                    "Bad Request: group chat was upgraded to a supergroup chat",
                    {"migrate_to_chat_id": chat.migrate_to},
                )
            case "active":
                return chat

    def _own_message(self, bot: Bot, arguments: Mapping[str, Any], act: str) -> Message:
        chat = self._open_chat(bot, *chat_id_from(arguments))
        message_id = integer_from(arguments, "message_id")
        if not message_id:
            raise bad("message identifier is not specified")
        message = self._state.messages.get(message_id)
        if message is None or message.deleted or message.chat is not chat:
            raise bad(f"message to {act} not found")
        if message.bot is not bot:
            raise bad(f"message can't be {act}ed".replace("deleteed", "deleted"))
        return message

    def _reply_target(self, arguments: Mapping[str, Any], chat: Chat) -> int | None:
        wanted = integer_from(arguments, "reply_to_message_id")
        optional = flag_from(arguments, "allow_sending_without_reply")
        if wanted is None:
            return None
        target = self._state.messages.get(wanted)
        if target is not None and not target.deleted and target.chat is chat:
            return wanted
        if optional:
            return None
        raise bad("message to be replied not found")

    def _edited(self, message: Message) -> Any:
        message.edited = self._clock.now()
        message.edits += 1
        _remember_presses(message)
        self._state.keep(message)
        return message.as_json()

    def _admit(self, bot: Bot, chat: Chat | None) -> None:
        """Charge one call to the bot and to the chat, or refuse it with the seconds to wait."""
        settings = self._settings
        limits: list[Limit] = [
            self._limits.get(f"bot {bot.token}", lambda: SlidingWindow(settings.telegram_bot_per_second, 1.0))
        ]
        if chat is not None:
            limits.append(
                self._limits.get(
                    f"chat {bot.token} {chat.id}",
                    lambda: TokenBucket(settings.telegram_chat_per_second, settings.telegram_chat_burst),
                )
            )
        if chat is not None and chat.is_group:
            limits.append(
                self._limits.get(
                    f"group {bot.token} {chat.id}", lambda: SlidingWindow(settings.telegram_group_per_minute, 60.0)
                )
            )
        if wait := admit(limits, self._clock.monotonic()):
            raise too_many(wait)


def too_many(wait_s: float) -> BotApiError:
    """The 429 with whole seconds to wait, at least one."""
    seconds = max(1, math.ceil(wait_s))
    return BotApiError(429, f"Too Many Requests: retry after {seconds}", {"retry_after": seconds})


def _keyboard(markup: dict[str, Any] | None) -> list[Any]:
    rows: list[Any] = (markup or {}).get("inline_keyboard", [])
    return rows


def _not_modified() -> BotApiError:
    return bad(
        "message is not modified: specified new message content and reply markup are exactly the same as a current"
        " content and reply markup of the message"
    )


def _remember_presses(message: Message) -> None:
    for row in _keyboard(message.markup):
        message.presses.update(button["callback_data"] for button in row if "callback_data" in button)
