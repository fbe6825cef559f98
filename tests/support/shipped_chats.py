"""Telegram and Slack as people use them: what stands in a chat, and pressing a button there, which comes back through the edge."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sandbox.testing import RunningSandbox
from tests.support.servers import eventually

Channel: TypeAlias = Literal["telegram", "slack"]
CHANNELS: tuple[Channel, ...] = ("telegram", "slack")
_FIELDS = {"telegram": "reply_markup", "slack": "blocks"}


@dataclass(frozen=True, slots=True)
class Chats:
    """The sandbox's chats, and how Slack is told to sign."""

    sandbox: RunningSandbox
    edge: str
    signing_secret: str

    async def having(self, channel: Channel, button: str) -> tuple[dict[str, Any], str]:
        """Wait for a message with a button whose data fits the pattern; return it and the data."""

        async def found() -> tuple[dict[str, Any], str] | None:
            page = await self.sandbox.control("GET", f"/sandbox/{channel}/messages")
            for message in reversed(page["items"]):
                data = re.search(f'"({button})"', json.dumps(message.get(_FIELDS[channel])))
                if data is not None:
                    return message, data[1]
            return None

        message = await eventually(found, what=f"{channel} has the button {button}")
        assert message is not None
        return message

    async def press(self, channel: Channel, message: Mapping[str, Any], data: str, *, user: str) -> None:
        """Press a button of a message."""
        if channel == "telegram":
            press = {"message_id": message["message_id"], "chat_id": message["chat"]["id"], "callback_data": data}
            report = await self.sandbox.control("POST", "/sandbox/telegram/press", {**press, "user": user})
            assert [each["delivered"] for each in report["deliveries"]] == [True], report
        else:
            await self._press_in_slack(message, data, user)

    async def _press_in_slack(self, message: Mapping[str, Any], data: str, user: str) -> None:
        """Press first as somebody who does not know the signing secret."""
        press = {
            "channel": message["channel"],
            "ts": message["ts"],
            "action_id": data,
            "user": user,
            "url": f"{self.edge}/slack/interactions/",
            "signing_secret": self.signing_secret,
            "force": not any(data in json.dumps(block) for block in message["blocks"]),
        }
        for forged, status in ((True, 401), (False, 200)):
            order = {**press, "bad_signature": forged}
            report = await self.sandbox.control("POST", "/sandbox/slack/press", order)
            assert [each["status"] for each in report["deliveries"]] == [status], report
