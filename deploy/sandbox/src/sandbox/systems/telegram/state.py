"""What Telegram remembers: bots, chats, messages and presses. A restart forgets all but messages that are kept in a file."""

import zlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer

from sandbox.kept import Kept

_MESSAGES = "telegram_messages"
ChatState = Literal["active", "blocked", "kicked", "missing", "migrated", "no_rights"]


@dataclass(slots=True)
class Bot:
    """One bot, known by its token. `webhook` None means updates wait for getUpdates, which sets `polled`."""

    token: str
    id: int
    webhook: str | None = None
    secret: str | None = None
    polled: bool = False
    last_update: int = 0
    pending: list[dict[str, Any]] = field(default_factory=list)
    last_error: str | None = None
    last_error_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """The User object of the Bot API."""
        return {"id": self.id, "is_bot": True, "first_name": "Sandbox", "username": f"sandbox{self.id}_bot"}


def bot_of(token: str) -> Bot:
    """The bot of a well-formed token, as nobody has called it yet."""
    return Bot(token=token, id=int(token.partition(":")[0]))


@dataclass(slots=True)
class Chat:
    """One chat; it exists as soon as somebody names it, unless a check marked it otherwise."""

    id: int
    username: str | None = None
    state: ChatState = "active"
    migrate_to: int | None = None

    @property
    def is_group(self) -> bool:
        """Groups, supergroups and channels have negative ids, and the limit a minute."""
        return self.id < 0

    def as_json(self) -> dict[str, Any]:
        """The Chat object of the Bot API."""
        if self.id > 0:
            return {"id": self.id, "type": "private", "first_name": f"User {self.id}"}
        kind = "supergroup" if self.id <= -1_000_000_000_000 else "group"
        shown = {"id": self.id, "type": kind, "title": f"Chat {self.id}"}
        return shown | {"username": self.username} if self.username else shown


@dataclass(slots=True)
class Message:
    """One message as it is now. `presses` are all callback data its buttons ever had: an old screen may still show them."""

    id: int
    bot: Annotated[Bot, PlainSerializer(lambda bot: bot.token), BeforeValidator(bot_of)]
    chat: Chat
    date: datetime
    text: str
    entities: list[dict[str, Any]]
    markup: dict[str, Any] | None
    thread_id: int | None = None
    reply_to: int | None = None
    edited: datetime | None = None
    deleted: bool = False
    edits: int = 0
    presses: set[str] = field(default_factory=set)

    def as_json(self) -> dict[str, Any]:
        """The Message object of the Bot API."""
        shown: dict[str, Any] = {
            "message_id": self.id,
            "from": self.bot.as_json(),
            "chat": self.chat.as_json(),
            "date": int(self.date.timestamp()),
            "text": self.text,
        }
        if self.entities:
            shown["entities"] = self.entities
        if self.markup is not None and self.markup.get("inline_keyboard"):
            shown["reply_markup"] = self.markup
        if self.thread_id is not None:
            shown |= {"message_thread_id": self.thread_id, "is_topic_message": True}
        if self.edited is not None:
            shown["edit_date"] = int(self.edited.timestamp())
        return shown


@dataclass(slots=True)
class Press:
    """A callback query: a person pressed a button and waits for the bot's answer."""

    id: str
    bot: Bot
    at: float
    answers: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class TelegramState:
    """Everything above, by id. Message ids are unique over all chats, so that one id names one message.

    Ids begin at ``started`` (seconds since 1970): whoever outlives a restart of the sandbox, as a bot's database does, knows none of the
    new ones. Messages are ``kept`` before they are answered, where there is a file.
    """

    started: int
    kept: Kept | None = None
    bots: dict[str, Bot] = field(default_factory=dict)
    chats: dict[int, Chat] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    presses: dict[str, Press] = field(default_factory=dict)
    made: int = 0

    def __post_init__(self) -> None:
        """Know the messages again that were kept."""
        for message in [] if self.kept is None else self.kept.all(_MESSAGES, Message).values():
            message.bot = self.bot(message.bot.token)
            message.chat = self.chat(message.chat.id, username=message.chat.username)
            self.messages[message.id] = message
        self.started = max(self.started, *self.messages, 0)

    def bot(self, token: str) -> Bot:
        """The bot of a well-formed token."""
        if token not in self.bots:
            self.bots[token] = bot_of(token)
        return self.bots[token]

    def chat(self, chat_id: int, *, username: str | None = None) -> Chat:
        """The chat of this id, made when first named."""
        if chat_id not in self.chats:
            self.chats[chat_id] = Chat(id=chat_id, username=username)
        return self.chats[chat_id]

    def keep(self, message: Message) -> None:
        """Keep a message under its id, as it is now."""
        self.messages[message.id] = message
        if self.kept is not None:
            self.kept.put(_MESSAGES, str(message.id), message)

    def forget(self) -> None:
        """Forget chats, messages and presses."""
        self.chats.clear()
        self.messages.clear()
        self.presses.clear()
        if self.kept is not None:
            self.kept.forget(_MESSAGES)

    def next_message_id(self) -> int:
        """A new message id."""
        self.made += 1
        return self.started + self.made

    def next_press_id(self) -> str:
        """A new callback query id."""
        self.made += 1
        return str(self.started * 1_000_000 + self.made)


def chat_id_of_username(username: str) -> int:
    """A stable supergroup id for a public `@name`."""
    return -1_000_000_000_000 - zlib.crc32(username.lower().encode())


def user_of(value: Any) -> dict[str, Any]:
    """A User object from what a check gave: an id, a name, or the object itself."""
    if isinstance(value, dict):
        user_id = value.get("id")
        if not isinstance(user_id, int):
            user_id = zlib.crc32(str(user_id or value.get("username", "user")).encode())
        return {"first_name": str(value.get("username", "User")), **value, "id": user_id, "is_bot": False}
    if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
        return {"id": int(value), "is_bot": False, "first_name": f"User {value}"}
    name = str(value or "user").lstrip("@")
    return {"id": zlib.crc32(name.encode()), "is_bot": False, "first_name": name, "username": name}
