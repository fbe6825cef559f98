"""The methods of Slack's Web API that the sandbox speaks. Channels exist as soon as they are named; messages may be kept in a file."""

import math
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sandbox.clock import Clock
from sandbox.kept import Kept
from sandbox.limits import Limit, LimitBook, SlidingWindow, TokenBucket
from sandbox.settings import Settings
from sandbox.systems.slack.blocks import BlockError, check_blocks

TEXT_LIMIT = 40_000
TEAM = {"id": "T0SANDBOX", "domain": "sandbox"}
BOT = {"bot_id": "B0SANDBOX", "user_id": "U0SANDBOX", "app_id": "A0SANDBOX"}
_CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{3,20}")
_POSTS = "slack_messages"

ChannelState = Literal["open", "archived", "missing", "not_in_channel", "restricted"]
_CHANNEL_ERRORS = {
    "archived": "is_archived",
    "missing": "channel_not_found",
    "not_in_channel": "not_in_channel",
    "restricted": "restricted_action",
}


class SlackError(Exception):
    """`{"ok": false, "error": code}`; `retry_after` seconds make it an HTTP 429."""

    def __init__(self, code: str, *, messages: list[str] | None = None, retry_after: float | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.messages = messages or []
        self.retry_after = None if retry_after is None else max(1, math.ceil(retry_after))


@dataclass(slots=True)
class Channel:
    """One channel; its last time stamp keeps the next one unique."""

    id: str
    name: str
    state: ChannelState = "open"
    last_ts: int = 0


@dataclass(slots=True)
class Post:
    """One message as it is now."""

    channel: Channel
    ts: str
    text: str
    blocks: list[Any]
    thread_ts: str | None = None
    edits: int = 0
    deleted: bool = False
    past_blocks: list[Any] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The message object of the Web API."""
        shown: dict[str, Any] = {
            "type": "message",
            "subtype": "bot_message",
            "ts": self.ts,
            "text": self.text,
            "team": TEAM["id"],
            "user": BOT["user_id"],
            "bot_id": BOT["bot_id"],
            "app_id": BOT["app_id"],
        }
        if self.blocks:
            shown["blocks"] = self.blocks
        if self.thread_ts is not None:
            shown["thread_ts"] = self.thread_ts
        return shown


@dataclass(slots=True)
class Workspace:
    """Channels by id and messages by (channel id, ts); these are ``kept`` before they are answered, where there is a file."""

    kept: Kept | None = None
    channels: dict[str, Channel] = field(default_factory=dict)
    posts: dict[tuple[str, str], Post] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Know the messages again that were kept."""
        for post in [] if self.kept is None else self.kept.all(_POSTS, Post).values():
            post.channel = self.channels.setdefault(post.channel.id, post.channel)
            self.posts[post.channel.id, post.ts] = post

    def keep(self, post: Post) -> None:
        """Keep a message as it is now."""
        self.posts[post.channel.id, post.ts] = post
        if self.kept is not None:
            self.kept.put(_POSTS, f"{post.channel.id} {post.ts}", post)

    def forget(self) -> None:
        """Forget channels and messages."""
        self.channels.clear()
        self.posts.clear()
        if self.kept is not None:
            self.kept.forget(_POSTS)

    def channel(self, named: str) -> Channel:
        """The channel of an id or of a name with or without `#`; the id of a name is always the same."""
        if _CHANNEL_ID.fullmatch(named):
            channel_id, name = named, named.lower()
        else:
            name = named.lstrip("#")
            channel_id = f"C{zlib.crc32(name.encode()):08X}"
        if channel_id not in self.channels:
            self.channels[channel_id] = Channel(id=channel_id, name=name)
        return self.channels[channel_id]


class Methods:
    """Order of checks: limits of the method, then the channel, then the content, as Slack does."""

    def __init__(self, *, settings: Settings, clock: Clock, workspace: Workspace) -> None:
        self._settings = settings
        self._clock = clock
        self._workspace = workspace
        self._limits = LimitBook()
        self._by_name: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "auth.test": self._auth_test,
            "api.test": lambda arguments: {"args": dict(arguments)},
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "chat.delete": self._delete,
            "chat.getPermalink": self._permalink,
            "conversations.info": self._channel_info,
        }

    def call(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What the method answers beside `ok`; raises SlackError."""
        method = self._by_name.get(name)
        if method is None:
            raise SlackError("unknown_method")
        return method(arguments)

    def reset(self) -> None:
        """Forget all counts of the limits."""
        self._limits.clear()

    def _auth_test(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "url": "https://sandbox.slack.com/",
            "team": TEAM["domain"],
            "team_id": TEAM["id"],
            "user": "sandbox",
            "user_id": BOT["user_id"],
            "bot_id": BOT["bot_id"],
        }

    def _post(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        channel = self._named_channel(arguments)
        settings = self._settings
        self._admit(
            f"post {channel.id}",
            lambda: TokenBucket(settings.slack_channel_per_second, settings.slack_channel_burst),
        )
        _check_state(channel)
        text, blocks = _content(arguments)
        thread_ts = arguments.get("thread_ts")
        if thread_ts is not None and (channel.id, str(thread_ts)) not in self._workspace.posts:
            raise SlackError("thread_not_found")
        post = Post(
            channel=channel,
            ts=self._next_ts(channel),
            text=text,
            blocks=blocks,
            thread_ts=None if thread_ts is None else str(thread_ts),
        )
        self._workspace.keep(post)
        return {"channel": channel.id, "ts": post.ts, "message": post.as_json()}

    def _update(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self._admit_method("chat.update")
        post = self._named_post(arguments)
        text, blocks = _content(arguments, current=post)
        if post.blocks:
            post.past_blocks += post.blocks
        post.text, post.blocks = text, blocks
        post.edits += 1
        self._workspace.keep(post)
        return {"channel": post.channel.id, "ts": post.ts, "text": post.text, "message": post.as_json()}

    def _delete(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self._admit_method("chat.delete")
        post = self._named_post(arguments)
        post.deleted = True
        self._workspace.keep(post)
        return {"channel": post.channel.id, "ts": post.ts}

    def _permalink(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        channel = self._named_channel(arguments)
        stamp = str(arguments.get("message_ts", ""))
        if (channel.id, stamp) not in self._workspace.posts:
            raise SlackError("message_not_found")
        return {
            "channel": channel.id,
            "permalink": f"https://sandbox.slack.com/archives/{channel.id}/p{stamp.replace('.', '')}",
        }

    def _channel_info(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self._admit_method("conversations.info")
        channel = self._named_channel(arguments, by_id_only=True)
        if channel.state == "missing":
            raise SlackError("channel_not_found")
        return {
            "channel": {
                "id": channel.id,
                "name": channel.name,
                "is_channel": True,
                "is_private": False,
                "is_archived": channel.state == "archived",
                "is_member": channel.state != "not_in_channel",
            }
        }

    def _named_channel(self, arguments: Mapping[str, Any], *, by_id_only: bool = False) -> Channel:
        named = str(arguments.get("channel") or "")
        if not named or (by_id_only and not _CHANNEL_ID.fullmatch(named)):
            raise SlackError("channel_not_found")
        return self._workspace.channel(named)

    def _named_post(self, arguments: Mapping[str, Any]) -> Post:
        """A post by channel id and ts; a channel's name is not enough here, as at Slack."""
        channel = self._named_channel(arguments, by_id_only=True)
        _check_state(channel)
        post = self._workspace.posts.get((channel.id, str(arguments.get("ts", ""))))
        if post is None or post.deleted:
            raise SlackError("message_not_found")
        return post

    def _admit_method(self, name: str) -> None:
        self._admit(name, lambda: SlidingWindow(self._settings.slack_update_per_minute, 60.0))

    def _admit(self, key: str, make: Callable[[], Limit]) -> None:
        limit = self._limits.get(key, make)
        now = self._clock.monotonic()
        if wait := limit.wait(now):
            raise SlackError("ratelimited", retry_after=wait)
        limit.charge(now)

    def _next_ts(self, channel: Channel) -> str:
        micros = max(int(self._clock.now().timestamp() * 1_000_000), channel.last_ts + 1)
        channel.last_ts = micros
        return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"


def _check_state(channel: Channel) -> None:
    if channel.state != "open":
        raise SlackError(_CHANNEL_ERRORS[channel.state])


def _content(arguments: Mapping[str, Any], *, current: Post | None = None) -> tuple[str, list[Any]]:
    """Text and blocks of a message. On an update, blocks that are not named stay; `[]` clears them."""
    text = arguments.get("text")
    blocks = arguments.get("blocks")
    if not text and not blocks and not arguments.get("attachments"):
        raise SlackError("no_text")
    if text is not None and len(str(text)) > TEXT_LIMIT:
        raise SlackError("msg_too_long")
    if blocks is not None:
        try:
            check_blocks(blocks)
        except BlockError as error:
            raise SlackError(error.code, messages=error.messages) from None
    if current is not None:
        return (current.text if text is None else str(text)), (current.blocks if blocks is None else blocks)
    return str(text or ""), blocks or []
