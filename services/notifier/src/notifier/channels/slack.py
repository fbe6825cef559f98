"""Slack through slack-sdk. Its own retries are off: the queue decides when to try again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aiohttp import ClientConnectorError, ClientError, ConnectionTimeoutError

from common.http import Calling, retry_after
from notifier.delivery.model import Limit, Message
from notifier.delivery.outcomes import Gone, NotSent, Outcome, Refused, Sent, Throttled, TooLong, Unclear
from notifier.messages.document import one_line, shorten
from notifier.messages.layout.slack import compose

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

_TOKEN = {"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive", "missing_scope"}
_TOKEN |= {"access_denied", "no_permission", "team_access_not_granted", "ekm_access_denied", "org_login_required"}
_CHANNEL = {"channel_not_found", "is_archived", "not_in_channel", "channel_is_limited_access"}
_RESTRICTED = "restricted_action"  # also with what is restricted behind it
_NO_MESSAGE = {"message_not_found", "cant_update_message", "edit_window_closed"}
_TOO_LONG = {"msg_blocks_too_long", "msg_too_long", "invalid_blocks"}
_LATER = {"ratelimited", "rate_limited", "message_limit_exceeded"}
_UNCLEAR = {"internal_error", "fatal_error", "service_unavailable", "request_timeout"}


class SlackSender(Calling):
    """One workspace. 429 waits as ``Retry-After`` says, an archived channel is for good, silence is unclear."""

    def __init__(self, *, token: str, api_url: str, connect_timeout: float = 2.0) -> None:
        self._connect_timeout = connect_timeout
        self._token = token
        self._api_url = api_url
        self._client: AsyncWebClient | None = None

    async def send(self, message: Message, *, deadline: float) -> Outcome:
        """Post or update one message of blocks. Omitted blocks would stay, so an update names all of them, buttons gone included."""
        from slack_sdk.errors import SlackApiError, SlackClientError

        blocks, text = compose(message.pages, message.buttons)
        plain: dict[str, Any] = {"text": text, "blocks": blocks, "parse": "none", "link_names": False}
        try:
            async with asyncio.timeout(deadline):
                if message.edits is None:
                    answer = await self._ready().chat_postMessage(
                        channel=message.address, mrkdwn=False, unfurl_links=False, unfurl_media=False, **plain
                    )
                else:
                    answer = await self._ready().chat_update(channel=message.address, ts=message.edits, **plain)
        except (ClientConnectorError, ConnectionTimeoutError):
            return NotSent("no connection to Slack")
        except TimeoutError:
            return Unclear(f"no answer within {deadline:g} s")
        except SlackApiError as error:
            return _outcome(error)
        except (ClientError, SlackClientError, OSError):
            return Unclear("the connection to Slack was lost")
        stamp, place = answer.get("ts"), answer.get("channel")
        if not stamp:
            return Unclear("Slack answered without a ts")
        return Sent(str(stamp), None if place is None else str(place))

    def _ready(self) -> AsyncWebClient:
        if self._client is None:
            from slack_sdk.web.async_client import AsyncWebClient

            session = self._opened(service="notifier", total=30.0, connect=self._connect_timeout)
            self._client = AsyncWebClient(token=self._token, base_url=self._api_url, session=session, retry_handlers=[])
        return self._client


def slack_limits(*, channel: str) -> tuple[Limit, ...]:
    """Return Slack's limit: one message per second and channel."""
    return (Limit(key=f"slack:channel:{channel}", places=1, period=timedelta(seconds=1)),)


def slack_edit_limits(*, workspace: str) -> tuple[Limit, ...]:
    """Return the limit of ``chat.update``: 50 a minute, whatever the channel."""
    return (Limit(key=f"slack:update:{workspace}", places=50, period=timedelta(minutes=1)),)


def token_digest(token: str) -> str:
    """Return a name for whatever a token stands for, which gives nothing of it away: limits are counted by it."""
    return hashlib.sha256(token.encode()).hexdigest()[:12]


def _outcome(error: object) -> Outcome:
    """Read what Slack said: ``error.response`` is an AsyncSlackResponse, or aiohttp's own when the body was no JSON."""
    response = getattr(error, "response", None)
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 200))
    headers = {str(name).lower(): value for name, value in (getattr(response, "headers", None) or {}).items()}
    data = getattr(response, "data", response)
    said = data if isinstance(data, Mapping) else {}
    code = str(said.get("error") or "")
    if status == 429 or code in _LATER:
        return Throttled(retry_after(headers.get("retry-after", said.get("retry_after"))) or 1.0)
    if status >= 500 or code in _UNCLEAR or (status < 300 and not code):
        return Unclear(f"Slack answered {code or status}")
    if not code:
        return NotSent(f"something before Slack answered {status}")
    if code in _NO_MESSAGE:
        return Gone(f"Slack: {code}")
    if code in _TOO_LONG:
        return TooLong(f"Slack: {code}")
    if code in _TOKEN:
        return NotSent(f"Slack refuses the token ({code})")
    return Refused(f"Slack: {shorten(one_line(code), 100)}", code in _CHANNEL or code.startswith(_RESTRICTED))
