"""Messengers and call providers whose answers come in another form: from a proxy before them, an older server, another version."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from common.postgres import Database
from notifier.buttons.answers import TelegramAnswers
from notifier.channels.slack import SlackSender
from notifier.channels.telegram import TelegramSender
from notifier.delivery.model import Limit
from notifier.delivery.outcomes import Gone, Moved, NotSent, Outcome, Refused, Sent, Throttled, TooLong, Unclear
from notifier.duty.call_webhook import CallWebhook
from notifier.duty.model import CallRequest, Placed, Unreachable
from notifier.duty.twilio import TwilioCalls
from tests.integration.notifier.factories import MakeKit
from tests.support.chat_message import a_message
from tests.support.scripted_server import answering

HTML = b"<html><h1>503 Service Temporarily Unavailable</h1></html>"
SENT = {"ok": True, "result": {"message_id": 7, "date": 1, "chat": {"id": -1, "type": "supergroup"}}}
URL = "https://example.org/telegram/webhook"


def said(status: int, body: object, content_type: str = "application/json", **headers: str) -> web.Response:
    """Return an answer; ``body`` is bytes, or a JSON value."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return web.Response(status=status, body=content, content_type=content_type, headers=headers)


class Script:
    """A server that gives these answers, one after the other, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def serve(self, request: web.Request) -> web.Response:
        """Answer."""
        self.asked.append((f"{request.method} {request.path}", dict(await request.post())))
        return self.answers.pop(0)


@pytest.fixture
async def script() -> AsyncIterator[tuple[Script, str]]:
    """The server and its address."""
    scripted = Script()
    async with answering(scripted.serve) as address:
        yield scripted, address


def refusal(code: int, description: str | None = None, **parameters: Any) -> dict[str, Any]:
    """Return a refusal as Telegram writes it."""
    return {
        "ok": False,
        "error_code": code,
        **({} if description is None else {"description": description}),
        **({"parameters": parameters} if parameters else {}),
    }


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (429, refusal(429, "Too Many Requests: retry after 3", retry_after=3), Throttled(3)),
        (429, refusal(429, "Too Many Requests", retry_after=2.2), Throttled(3)),
        (429, refusal(429, "Too Many Requests", retry_after="4"), Throttled(4)),
        (429, refusal(429, "Too Many Requests", retry_after="4.5"), Throttled(5)),
        (429, refusal(429, "Too Many Requests", retry_after=0), Throttled(1)),
        (429, refusal(429, "Too Many Requests", retry_after=None), Throttled(1)),
        (429, refusal(429, "Too Many Requests", retry_after="soon"), Throttled(1)),
        (429, refusal(429, "Too Many Requests", retry_after=[5]), Throttled(1)),
        (429, refusal(429, "Too Many Requests: retry after 35"), Throttled(35)),
        (429, refusal(429), Throttled(1)),
        (429, {"ok": False, "error_code": 429, "parameters": "none"}, Throttled(1)),
        (429, HTML, Throttled(1)),
        (429, b"", Throttled(1)),
        (200, refusal(429, "Too Many Requests: retry after 6", retry_after=6), Throttled(6)),
        (200, refusal(400, "Bad Request: chat not found"), Refused("Bad Request: chat not found", True)),
        (200, refusal(403, "Forbidden: bot was kicked"), Refused("Forbidden: bot was kicked", True)),
        (200, refusal(401, "Unauthorized"), NotSent("Telegram does not know the bot's token")),
        (200, refusal(502, "Bad Gateway"), Unclear("Telegram answered 5xx")),
        (200, {"ok": False}, Unclear("TelegramAPIError")),
        (200, {"ok": "true"}, Unclear("TelegramAPIError")),
        (400, refusal(400, "Bad Request: group is upgraded", migrate_to_chat_id="-1005"), Moved("-1005")),
        (200, refusal(400, "Bad Request: group is upgraded", migrate_to_chat_id=-1005), Moved("-1005")),
        (400, refusal(400), Refused("", False)),
        (400, refusal(400, "Bad Request: message is too long"), TooLong("Bad Request: message is too long")),
        (400, refusal(400, "Bad Request: MESSAGE_TOO_LONG"), TooLong("Bad Request: MESSAGE_TOO_LONG")),
        (500, refusal(500), Unclear("Telegram answered 5xx")),
        (502, HTML, Unclear("Telegram's answer could not be read")),
        (200, HTML, Unclear("Telegram's answer could not be read")),
        (200, SENT, Sent("7")),
    ],
)
async def test_telegram_says_in_any_form_what_it_means(
    script: tuple[Script, str], status: int, body: object, expected: Outcome
) -> None:
    server, url = script
    server.answers = [said(status, body)]
    sender = TelegramSender(token="4242:test", api_url=url)
    try:
        assert await sender.send(a_message(), deadline=10.0) == expected
    finally:
        await sender.close()


@pytest.mark.parametrize(
    "reason", ["message thread not found", "TOPIC_CLOSED", "TOPIC_DELETED", "TOPIC_ID_INVALID", "Topic_Closed"]
)
async def test_what_belongs_in_a_topic_that_is_gone_is_told_in_its_chat(
    script: tuple[Script, str], reason: str
) -> None:
    server, url = script
    server.answers = [said(400, refusal(400, f"Bad Request: {reason}")), said(200, SENT)]
    sender = TelegramSender(token="4242:test", api_url=url)
    try:
        outcome = await sender.send(replace(a_message(), address="-100123", topic=5), deadline=10.0)
    finally:
        await sender.close()
    assert outcome == Sent("7")
    assert [fields.get("message_thread_id") for _, fields in server.asked] == ["5", None]
    assert {fields["chat_id"] for _, fields in server.asked} == {"-100123"}


async def test_a_chat_without_topics_that_says_so_all_the_same_is_asked_once(script: tuple[Script, str]) -> None:
    server, url = script
    server.answers = [said(400, refusal(400, "Bad Request: message thread not found"))]
    sender = TelegramSender(token="4242:test", api_url=url)
    try:
        outcome = await sender.send(a_message(), deadline=10.0)
    finally:
        await sender.close()
    assert outcome == Refused("Bad Request: message thread not found", True)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (said(503, HTML, "text/html"), Unclear("Slack answered 503")),
        (said(503, HTML), Unclear("Slack answered 503")),
        (said(503, b""), Unclear("Slack answered 503")),
        (said(500, b"oops", "text/plain"), Unclear("Slack answered 500")),
        (said(429, HTML, **{"Retry-After": "9"}), Throttled(9)),
        (said(429, b"slow down", "text/plain", **{"Retry-After": "9"}), Throttled(9)),
        (said(429, {"ok": False, "error": "ratelimited"}), Throttled(1)),
        (said(200, {"ok": False, "error": "ratelimited", "retry_after": 12}), Throttled(12)),
        (said(200, {"ok": False, "error": "message_limit_exceeded"}), Throttled(1)),
        (said(200, b""), Unclear("Slack answered 200")),
        (said(200, HTML), Unclear("Slack answered 200")),
        (said(200, {"ok": False}), Unclear("Slack answered 200")),
        (said(200, {"ok": False, "error": None}), Unclear("Slack answered 200")),
        (said(403, HTML), NotSent("something before Slack answered 403")),
        (said(407, b"proxy", "text/plain"), NotSent("something before Slack answered 407")),
        (said(200, {"ok": False, "error": "is_archived"}), Refused("Slack: is_archived", True)),
        (
            said(200, {"ok": False, "error": "restricted_action_read_only_channel"}),
            Refused("Slack: restricted_action_read_only_channel", True),
        ),
        (
            said(200, {"ok": False, "error": "org_login_required"}),
            NotSent("Slack refuses the token (org_login_required)"),
        ),
        (said(200, {"ok": False, "error": "invalid_blocks"}), TooLong("Slack: invalid_blocks")),
        (said(200, {"ok": False, "error": "message_not_found"}), Gone("Slack: message_not_found")),
        (said(200, {"ok": True, "ts": "1.2", "channel": "C1"}), Sent("1.2", "C1")),
    ],
    ids=range(21),
)
async def test_slack_says_in_any_form_what_it_means(
    script: tuple[Script, str], answer: web.Response, expected: Outcome
) -> None:
    server, url = script
    server.answers = [answer]
    sender = SlackSender(token="xoxb", api_url=f"{url}/api/")
    try:
        assert await sender.send(a_message(), deadline=10.0) == expected
    finally:
        await sender.close()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (301, Unreachable("the robot's address leads elsewhere")),
        (302, Unreachable("the robot's address leads elsewhere")),
        (303, Unreachable("the robot's address leads elsewhere")),
        (307, Placed("call-1")),
        (308, Placed("call-1")),
    ],
)
async def test_a_call_that_a_redirect_made_a_look_at_a_page_is_no_call(
    script: tuple[Script, str], status: int, expected: object
) -> None:
    server, url = script
    server.answers = [said(status, b"", Location="/elsewhere"), said(200, {"call_id": "call-1"})]
    webhook = CallWebhook(url=f"{url}/calls", token="t")
    request = CallRequest(key="k", phone="+7", text="т", repeated=False, since=datetime.now(UTC))
    try:
        assert await webhook.call(request, deadline=10.0) == expected
    finally:
        await webhook.close()


@pytest.mark.parametrize(
    ("written", "dialled"),
    [
        ("+79161234567", "+79161234567"),
        ("79161234567", "+79161234567"),
        ("89161234567", "+79161234567"),
        ("9161234567", "+79161234567"),
        ("375291234567", "+375291234567"),
        ("+15005550006", "+15005550006"),
    ],
)
async def test_a_number_is_dialled_from_abroad_however_its_owner_wrote_it(
    script: tuple[Script, str], written: str, dialled: str
) -> None:
    server, url = script
    server.answers = [said(201, {"sid": "CA1"})]
    twilio = TwilioCalls(url=url, account="A", token="t", sender="+1", callback_url=None, language="ru")
    request = CallRequest(key="k", phone=written, text="т", repeated=False, since=datetime.now(UTC))
    try:
        assert await twilio.call(request, deadline=10.0) == Placed("CA1")
    finally:
        await twilio.close()
    assert [fields["To"] for _, fields in server.asked] == [dialled]


@pytest.mark.parametrize(
    ("info", "registered"),
    [
        ({"url": URL}, False),
        ({"url": URL, "allowed_updates": ["callback_query"]}, False),
        ({"url": URL, "last_error_date": 1, "last_error_message": "Connection refused"}, False),
        ({"url": "https://example.org/before"}, True),
        ({"url": URL, "allowed_updates": ["message"]}, True),
        (
            {
                "url": URL,
                "last_error_date": 1,
                "last_error_message": "Wrong response from the webhook: 401 Unauthorized",
            },
            True,
        ),
    ],
)
async def test_buttons_that_cannot_reach_us_any_more_are_registered_again(
    make_kit: MakeKit, script: tuple[Script, str], info: dict[str, object], registered: bool
) -> None:
    kit = await make_kit(replicas=0)
    server, url = script
    about = {"has_custom_certificate": False, "pending_update_count": 0, **info}
    server.answers = [said(200, {"ok": True, "result": about}), said(200, {"ok": True, "result": True})]
    sender = TelegramSender(token="4242:test", api_url=url)
    database = Database(kit.dsn, application_name="buttons")
    await database.open()
    limit = Limit(key="telegram:bot:4242", places=30, period=timedelta(seconds=1))
    try:
        answers = TelegramAnswers(sender=sender, database=database, limit=limit, deadline=10.0)
        await answers.register(url=URL, secret="new-secret")
    finally:
        await sender.close()
        await database.close()
    calls = [path.rpartition("/")[2] for path, _ in server.asked]
    assert calls == ["getWebhookInfo", *(["setWebhook"] if registered else [])]
    assert [fields.get("secret_token") for _, fields in server.asked[1:]] == ["new-secret"] * registered
