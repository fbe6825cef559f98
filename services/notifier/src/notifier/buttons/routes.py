"""Telegram's and Slack's webhooks of pressed buttons: stored first, answered at once, carried out by a worker."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from pydantic import BaseModel, ConfigDict, SecretStr

from common.errors import InvalidInput, Unauthorized
from common.http import Proof, Route
from notifier.buttons.store import ButtonActionStore
from notifier.incidents.refused import Refusals, address_of

_SECRET = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
_LONGEST = 1000
_PRIVATE = (
    "privategroup",
    "directmessage",
    "mpdm-",
)  # what Slack calls each of these chats: nothing can be posted to that


class TelegramUpdate(BaseModel):
    """An update of the Bot API; all but a pressed button is left alone."""

    model_config = ConfigDict(extra="allow")

    update_id: int
    callback_query: dict[str, Any] | None = None


class Taken(BaseModel):
    """The press is kept."""


class ButtonRoutes:
    """The two handlers. Without a secret of its own a route lets nobody in."""

    def __init__(
        self,
        *,
        store: ButtonActionStore,
        telegram_secret: SecretStr | None,
        slack_secret: SecretStr | None,
        refusals: Refusals,
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._telegram_secret = telegram_secret
        self._slack_secret = slack_secret
        self._refusals = refusals
        self._wake = wake

    async def telegram(self, request: web.Request) -> web.StreamResponse:
        """Store a button that Telegram says was pressed."""
        given = request.headers.get(_SECRET, "").encode("utf-8", "surrogateescape")
        expected = b"" if self._telegram_secret is None else self._telegram_secret.get_secret_value().encode()
        body = await request.read()
        if not expected or not hmac.compare_digest(given, expected):
            genuine = isinstance(_or_empty(body).get("update_id"), int)
            await self._refusals.refused("telegram", genuine=genuine, address=address_of(request))
            raise Unauthorized("the secret header does not fit")
        query = _object(body).get("callback_query")
        if isinstance(query, Mapping):
            await _keep_telegram(self._store, query, request.headers.get("traceparent"))
            self._wake()
        await self._refusals.accepted("telegram", address=address_of(request))
        return web.json_response({}, headers={"Cache-Control": "no-store"})

    async def slack(self, request: web.Request) -> web.StreamResponse:
        """Store a button that Slack says was pressed; whatever is wrong about the signature is a 401."""
        body = await request.read()
        if not _signed(body, request.headers, self._slack_secret):
            genuine = "X-Slack-Signature" in request.headers and body.startswith(b"payload=")
            await self._refusals.refused("slack", genuine=genuine, address=address_of(request))
            raise Unauthorized("the signature does not fit")
        try:
            payload = parse_qs(body.decode(), strict_parsing=True)["payload"][0]
        except (UnicodeDecodeError, ValueError, KeyError, IndexError):
            raise InvalidInput("there is no payload") from None
        interaction = _object(payload)
        if interaction.get("type") == "block_actions":
            await _keep_slack(self._store, interaction, request.headers.get("traceparent"))
            self._wake()
        await self._refusals.accepted("slack", address=address_of(request))
        return web.Response(status=200, headers={"Cache-Control": "no-store"})

    def routes(self) -> list[Route]:
        """Return the table of routes."""
        return [
            Route(
                method="POST",
                path="/telegram/webhook",
                handler=self.telegram,
                summary="Telegram's updates",
                description="The header `X-Telegram-Bot-Api-Secret-Token` must be the one that the webhook was registered with.",
                request=TelegramUpdate,
                response=Taken,
                errors=(Unauthorized, InvalidInput),
                raw=True,
                proofs=(Proof.header(_SECRET, "the secret of the webhook's registration"),),
                tags=("buttons",),
            ),
            Route(
                method="POST",
                path="/slack/interactions",
                handler=self.slack,
                summary="Slack's interactions",
                description="A form with `payload`, signed as v0 (`X-Slack-Signature`, `X-Slack-Request-Timestamp`, five minutes at most).",
                errors=(Unauthorized, InvalidInput),
                raw=True,
                proofs=(Proof.header("X-Slack-Signature", "v0, over the time and the body"),),
                tags=("buttons",),
            ),
        ]


async def _keep_telegram(store: ButtonActionStore, query: Mapping[str, Any], traceparent: str | None) -> None:
    chat = _mapping(_mapping(query.get("message")).get("chat"))
    who, outside_id, data = _mapping(query.get("from")).get("id"), query.get("id"), query.get("data")
    if who is None or not outside_id or not isinstance(data, str):
        return  # a button that is none of ours (a game, an inline message)
    await store.keep(
        channel="telegram",
        outside_id=_text(outside_id),
        who=_text(who),
        data=_text(data),
        address=_text(chat.get("id", "")),
        reply_to=None,
        traceparent=traceparent,
    )


async def _keep_slack(store: ButtonActionStore, interaction: Mapping[str, Any], traceparent: str | None) -> None:
    channel, who = _mapping(interaction.get("channel")), _mapping(interaction.get("user")).get("id")
    actions = interaction.get("actions")
    if not isinstance(actions, list) or not actions or who is None:
        return
    action = _mapping(actions[0])
    name, place = _text(channel.get("name") or ""), channel.get("id", "")
    address = f"#{name}" if name and not (place and name.startswith(_PRIVATE)) else place
    reply_to = interaction.get("response_url")
    await store.keep(
        channel="slack",
        outside_id=f"{_text(interaction.get('trigger_id', ''))}:{_text(action.get('action_ts', ''))}",
        who=_text(who),
        data=_text(action.get("value") or action.get("action_id") or ""),
        address=_text(address),
        reply_to=_text(reply_to) if isinstance(reply_to, str) else None,
        traceparent=traceparent,
    )


def _signed(body: bytes, headers: Mapping[str, str], secret: SecretStr | None) -> bool:
    from slack_sdk.signature import SignatureVerifier

    stamp, signature = headers.get("X-Slack-Request-Timestamp"), headers.get("X-Slack-Signature")
    if secret is None or not stamp or not signature:
        return False
    try:
        return SignatureVerifier(secret.get_secret_value()).is_valid(body, stamp, signature)
    except (TypeError, ValueError, OverflowError):  # not ASCII, no number, no UTF-8, beyond all time
        return False


def _object(raw: bytes | str) -> Mapping[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise InvalidInput("the body is not JSON") from None
    if not isinstance(value, dict):
        raise InvalidInput("the body is no object")
    return value


def _or_empty(raw: bytes) -> Mapping[str, Any]:
    try:
        return _object(raw)
    except InvalidInput:
        return {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    """A value of somebody else's for a column of text: bounded, without what PostgreSQL's text cannot hold."""
    return str(value).replace("\x00", "").encode("utf-8", "replace").decode()[:_LONGEST]
