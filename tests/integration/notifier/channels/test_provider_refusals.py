"""What tokens, channels and mail servers say no to; what was certainly not sent never calls itself a repeat."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from common.errors import ConfigurationError
from common.postgres import Database
from common.service import load_settings, running
from notifier.app import build
from notifier.channels.slack import SlackSender
from notifier.channels.telegram import TelegramSender, telegram_limits
from notifier.delivery.deliver import Deliver
from notifier.delivery.outcomes import NotSent
from notifier.delivery.queue import DeliveryQueues
from notifier.messages.words import Words
from notifier.metrics import NotifierMetrics
from notifier.settings import NotifierSettings
from tests.integration.notifier.factories import (
    MAIL_ONLY,
    ONE_GROUP,
    PICKERS,
    SLACK_ONLY,
    Kit,
    MakeKit,
    created,
    ended,
)
from tests.support.chat_message import a_message
from tests.support.mail_servers import HELLO, mail_server
from tests.support.servers import eventually


async def tried(kit: Kit, attempts: int) -> dict[str, Any]:
    """Wait until the only delivery was tried so often."""

    async def probe() -> dict[str, Any]:
        rows = await kit.fetch("SELECT * FROM deliveries")
        assert len(rows) == 1
        row = rows[0]
        assert row["attempts"] >= attempts
        assert row["state"] != "sending"
        return row

    return await eventually(probe)


async def test_a_bad_token_loses_nothing_and_everything_goes_out_once_it_is_mended(make_kit: MakeKit) -> None:
    kit = await make_kit(replicas=0, routes=ONE_GROUP, sandbox_telegram_tokens=("4242:right-token",))
    async with running(build, kit.settings):
        await kit.publish(created())
        row = await tried(kit, 2)
    assert (row["state"], row["reason"], row["possibly_repeated"]) == (
        "pending",
        "Telegram does not know the bot's token",
        False,
    )
    mended = kit.settings.model_copy(update={"telegram_token": SecretStr("4242:right-token")})
    async with running(build, mended):
        [row] = await ended(kit, 1)
    assert (row["state"], row["possibly_repeated"], len(await kit.texts(PICKERS))) == ("sent", False, 1)


@pytest.mark.parametrize("token", ["garbage", "4242:", "42 42:abc", "abc:def"])
def test_a_token_that_can_be_none_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("NOTIFIER_TOKENS_FILE", "tokens.json")
    monkeypatch.setenv("NOTIFIER_TELEGRAM_TOKEN", token)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(NotifierSettings)
    assert caught.value.detail == (
        "configuration: NOTIFIER_TELEGRAM_TOKEN value error, is not a bot's token (digits, a colon, a key)"
    )


async def test_a_slack_token_that_is_revoked_loses_nothing(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=SLACK_ONLY, sandbox_slack_tokens=("xoxb-right",))
    await kit.publish(created())
    row = await tried(kit, 2)
    assert (row["state"], row["reason"]) == ("pending", "Slack refuses the token (invalid_auth)")


async def test_an_archived_channel_fails_at_once_and_the_notice_is_sent_elsewhere(make_kit: MakeKit) -> None:
    kit = await make_kit()
    await kit.sandbox.control("PUT", "/sandbox/slack/channels/orders-notifications", {"state": "archived"})
    status, _ = await kit.call(
        "POST",
        "/admin/v1/test-message",
        body={"reason": "try", "destination": "orders-notifications", "text": "x"},
    )
    assert status == 202
    rows = await ended(kit, 3)  # the message; then the problem to on-call, and in vain to Slack
    assert [(row["destination"], row["state"]) for row in rows] == [
        ("orders-notifications", "failed"),
        ("on-call-production", "sent"),
        ("orders-notifications", "failed"),
    ]
    assert rows[0]["reason"] == "Slack: is_archived"


@pytest.mark.parametrize(
    ("mode", "state", "attempts", "repeated", "kept"),
    [
        ("error", "sent", 2, False, 1),  # 451
        ("rate_limit", "sent", 2, False, 1),  # 450
        ("declined", "failed", 1, False, 0),  # 550
        ("timeout", "sent", 2, True, 1),
        ("lost_response", "sent", 2, True, 2),
        ("reset", "sent", 2, True, 1),
    ],
)
async def test_what_a_mail_server_says_after_data(
    make_kit: MakeKit, mode: str, state: str, attempts: int, repeated: bool, kept: int
) -> None:
    kit = await make_kit(routes=MAIL_ONLY, call_deadline=3.0)  # which the second try keeps on a slow machine, too
    await kit.sandbox.fault("mail", mode=mode, count=1, delay_s=10)
    await kit.publish(created())
    # A refusal is notified by the same road: the mail about it shows that the road works again, which is notified as well.
    rows = await ended(kit, 3 if mode == "declined" else 1)
    row = rows[0]
    mails = [entry["request"] for entry in await kit.sandbox.log("mail") if entry["effect"] and "H123" in str(entry)]
    assert (row["state"], row["attempts"], row["possibly_repeated"], len(mails)) == (state, attempts, repeated, kept)
    assert len({mail["message_id"] for mail in mails}) <= 1
    if kept == 2:
        assert mails[1]["subject"] == f"возможно, повторно: {mails[0]['subject']}"


async def test_a_mail_that_was_taken_is_sent_even_if_the_server_never_says_goodbye(make_kit: MakeKit) -> None:
    async with mail_server((*HELLO, b"250 taken", None)) as port:
        kit = await make_kit(routes=MAIL_ONLY, smtp_host="127.0.0.1", smtp_port=port, call_deadline=3.0)
        await kit.publish(created())
        [row] = await ended(kit, 1)
    assert (row["state"], row["attempts"], row["possibly_repeated"]) == ("sent", 1, False)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ((None,), "no connection to the mail server"),
        ((b"554 no service here",), "the mail server refuses us (554)"),
        ((*HELLO[:2], None), "no connection to the mail server"),
        ((*HELLO[:3], None), "no connection to the mail server"),
        ((*HELLO[:3], b"450 greylisted, later"), "the server refuses the recipient (450)"),
    ],
)
async def test_a_mail_whose_text_was_never_handed_over_waits_and_is_no_repeat(
    make_kit: MakeKit, answers: tuple[bytes | None, ...], reason: str
) -> None:
    async with mail_server(answers) as port:
        kit = await make_kit(routes=MAIL_ONLY, smtp_host="127.0.0.1", smtp_port=port, call_deadline=2.0)
        await kit.publish(created())
        row = await tried(kit, 1)
    assert (row["state"], row["reason"], row["possibly_repeated"]) == ("pending", reason, False)


async def test_a_provider_that_lets_nobody_connect_was_never_sent_anything() -> None:
    with ExitStack() as sockets:
        listening = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # fill the queue of connections: the next ones get no answer at all
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        telegram = TelegramSender(token="4242:test", api_url=url, connect_timeout=0.3)
        slack = SlackSender(token="xoxb", api_url=f"{url}/api/", connect_timeout=0.3)
        await telegram.prepare()
        try:
            for sender in (telegram, slack):
                outcome = await sender.send(a_message(), deadline=10.0)
                assert isinstance(outcome, NotSent), outcome
        finally:
            await telegram.close()
            await slack.close()


async def test_a_sender_that_was_held_up_beyond_its_deadline_calls_no_more(make_kit: MakeKit) -> None:
    kit = await make_kit(routes=ONE_GROUP, telegram_token=None)
    await kit.publish(created())

    async def waits() -> bool:
        return bool(await kit.fetch("SELECT 1 FROM deliveries"))

    await eventually(waits)
    database = Database(kit.dsn, application_name="late")
    await database.open()
    clock = [100.0]
    sender = TelegramSender(token="4242:test-token", api_url=kit.sandbox.telegram_url)
    deliver = Deliver(
        channel="telegram",
        queues=DeliveryQueues(database, channel="telegram", limits=lambda chat: telegram_limits(bot="4242", chat=chat)),
        sender=sender,
        words=Words("ru"),
        watch=NotifierMetrics(CollectorRegistry()),
        deadline=1.0,
        monotonic=lambda: clock[0],
    )
    claim = await deliver.claim()
    assert claim is not None
    clock[0] += 1.5  # the process was stopped for a while
    outcome = await deliver.send(claim)
    await deliver.record(claim, outcome)
    assert outcome == NotSent("the sender was held up for too long")
    [row] = await kit.fetch("SELECT state, possibly_repeated FROM deliveries")
    assert (row, await kit.sandbox.log("telegram")) == ({"state": "pending", "possibly_repeated": False}, [])
    await sender.close()
    await database.close()
