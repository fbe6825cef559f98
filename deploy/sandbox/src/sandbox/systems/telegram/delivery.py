"""Updates on their way to a bot: to its webhook with the secret header and repeats, or kept for getUpdates."""

import contextlib
import email
import json
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from sandbox.clock import Clock
from sandbox.settings import Settings
from sandbox.systems.telegram.state import Bot

Reply = Callable[[Bot, dict[str, Any]], None]
"""Carries out a method call that came in the answer to an update; its result goes nowhere, as at Telegram."""


class UpdateDelivery:
    """Sends updates as Telegram does: JSON, `X-Telegram-Bot-Api-Secret-Token`, repeats until a 2xx."""

    def __init__(self, *, settings: Settings, clock: Clock, reply: Reply) -> None:
        self._settings = settings
        self._clock = clock
        self._reply = reply

    async def send(
        self, bot: Bot, content: dict[str, Any], *, url: str | None = None, secret: str | None = None
    ) -> dict[str, Any]:
        """Give `content` a new update id and deliver it.

        Returns `{"update_id", "attempts": [{"status", "body", "error"}], "delivered"}`. Without a webhook the update
        waits for getUpdates and `attempts` is empty. `url` and `secret` stand in for what setWebhook registered.
        """
        bot.last_update += 1
        update = {"update_id": 700_000_000 + bot.last_update, **content}
        target = url or bot.webhook
        report: dict[str, Any] = {"update_id": update["update_id"], "attempts": [], "delivered": False}
        if target is None:
            bot.pending.append(update)
            return report
        headers = {"Content-Type": "application/json"}
        if key := secret or bot.secret:
            headers["X-Telegram-Bot-Api-Secret-Token"] = key
        timeout = aiohttp.ClientTimeout(total=self._settings.telegram_webhook_timeout_s)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for pause in (0.0, *self._settings.telegram_webhook_schedule):
                if pause:
                    await self._clock.sleep(pause)
                attempt = await _post(session, target, json.dumps(update, ensure_ascii=False).encode(), headers)
                call = attempt.pop("call")
                report["attempts"].append(attempt)
                if attempt["status"] is not None and 200 <= attempt["status"] < 300:
                    report["delivered"] = True
                    if call is not None:
                        self._reply(bot, call)
                    return report
                bot.last_error = attempt["error"] or f"Wrong response from the webhook: {attempt['status']}"
                bot.last_error_at = self._clock.now()
        return report


async def _post(session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    try:
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            raw = await response.read()
            call = _call_in(raw, response.headers)
            return {"status": response.status, "body": raw.decode("utf-8", "replace"), "error": None, "call": call}
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return {"status": None, "body": None, "error": type(error).__name__, "call": None}


def _call_in(raw: bytes, headers: Mapping[str, str]) -> dict[str, Any] | None:
    """The method call that an answer carries, as JSON or multipart with a field `method`; None when it carries none."""
    fields: Any = None
    kind = headers.get("Content-Type", "")
    if kind.startswith("application/json"):
        with contextlib.suppress(ValueError):
            fields = json.loads(raw)
    elif kind.startswith("multipart/"):
        whole = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + raw)
        fields = {}
        for part in whole.walk():
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(content, bytes):
                fields[name] = content.decode("utf-8", "replace")
    return fields if isinstance(fields, dict) and isinstance(fields.get("method"), str) else None
