"""Presses and words of people, delivered to a real webhook, to aiogram's own handler, and to getUpdates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from sandbox.testing import RunningSandbox
from tests.support.clocks import SandboxClock
from tests.support.lazily import Lazily

if TYPE_CHECKING:
    from tests.support import telegram
else:
    telegram = Lazily("tests.support.telegram")

GROUP = -1001234567890
PERSON = 42


def keyboard(data: str, text: str = "Беру") -> telegram.InlineKeyboardMarkup:
    return telegram.InlineKeyboardMarkup(
        inline_keyboard=[[telegram.InlineKeyboardButton(text=text, callback_data=data)]]
    )


async def refusal(call: Any, kind: type[Exception] | None = None) -> str:
    with pytest.raises(kind or telegram.TelegramBadRequest) as refused:
        await call
    return getattr(refused.value, "message", str(refused.value))


class Webhook:
    """A bot's own server; answers the queued statuses, then 200."""

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.secrets: list[str | None] = []
        self.statuses: list[int] = []

    async def take(self, request: web.Request) -> web.Response:
        self.updates.append(await request.json())
        self.secrets.append(request.headers.get("X-Telegram-Bot-Api-Secret-Token"))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
async def webhook(bot: telegram.Bot) -> AsyncIterator[Webhook]:
    hook = Webhook()
    app = web.Application()
    app.router.add_post("/telegram/webhook", hook.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await bot.set_webhook(f"http://127.0.0.1:{runner.addresses[0][1]}/telegram/webhook", secret_token="s3cret")
    try:
        yield hook
    finally:
        await runner.cleanup()


async def test_a_press_reaches_the_webhook_with_its_secret_and_can_be_answered(
    sandbox: RunningSandbox, bot: telegram.Bot, webhook: Webhook
) -> None:
    sent = await bot.send_message(GROUP, "alarm", reply_markup=keyboard("ack:7"))
    press = {"message_id": sent.message_id, "callback_data": "ack:7", "user": {"id": 9, "first_name": "Анна"}}
    report = await sandbox.control("POST", "/sandbox/telegram/press", press)
    [update] = webhook.updates
    assert webhook.secrets == ["s3cret"]
    query = update["callback_query"]
    assert (query["data"], query["from"]["id"], query["message"]["message_id"]) == ("ack:7", 9, sent.message_id)
    assert report["deliveries"][0]["delivered"] is True
    await bot.answer_callback_query(query["id"], text="Принято")
    assert await refusal(bot.answer_callback_query(query["id"], text="x" * 201)) == "Bad Request: MESSAGE_TOO_LONG"
    sandbox.world.clock.advance(61)  # type: ignore[attr-defined] # the fixture's clock is the manual one
    assert "query is too old" in await refusal(bot.answer_callback_query(query["id"]))


async def test_aiograms_own_webhook_handler_takes_a_press_and_answers_it_in_its_reply(
    sandbox: RunningSandbox, bot: telegram.Bot
) -> None:
    dispatcher = telegram.Dispatcher()
    pressed: list[tuple[str | None, int]] = []

    @dispatcher.callback_query()
    async def take(query: telegram.CallbackQuery) -> telegram.AnswerCallbackQuery:
        pressed.append((query.data, query.from_user.id))
        return query.answer("Принято")

    @dispatcher.message()
    async def read(message: telegram.Message) -> telegram.SendMessage:
        return message.answer(f"<b>{message.text}</b>", parse_mode="HTML")

    app = web.Application()
    telegram.SimpleRequestHandler(dispatcher, bot, handle_in_background=False, secret_token="s3cret").register(
        app, "/hook"
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await bot.set_webhook(f"http://127.0.0.1:{runner.addresses[0][1]}/hook", secret_token="s3cret")
        sent = await bot.send_message(GROUP, "alarm", reply_markup=keyboard("ack:7"))
        press = {"message_id": sent.message_id, "callback_data": "ack:7", "user": 9}
        report = await sandbox.control("POST", "/sandbox/telegram/press", press)
        await sandbox.control("POST", "/sandbox/telegram/say", {"chat_id": PERSON, "text": "привет", "user": 9})
    finally:
        await runner.cleanup()
    assert pressed == [("ack:7", 9)]
    assert report["answers"] == [{"text": "Принято", "show_alert": False}]
    shown = (await sandbox.control("GET", f"/sandbox/telegram/messages?chat_id={PERSON}"))["items"]
    assert [message["text"] for message in shown] == ["привет"]
    assert [entry["method"] for entry in (await sandbox.log("telegram"))[-2:]] == ["REPLY", "REPLY"]


async def test_one_press_can_arrive_twice_under_two_update_ids(
    sandbox: RunningSandbox, bot: telegram.Bot, webhook: Webhook
) -> None:
    sent = await bot.send_message(GROUP, "alarm", reply_markup=keyboard("ack:7"))
    press = {"message_id": sent.message_id, "callback_data": "ack:7", "user": "anna", "twice": True}
    await sandbox.control("POST", "/sandbox/telegram/press", press)
    assert len({update["update_id"] for update in webhook.updates}) == 2
    assert len({update["callback_query"]["id"] for update in webhook.updates}) == 1


async def test_an_update_is_repeated_under_the_same_id_until_it_is_taken(
    sandbox: RunningSandbox, bot: telegram.Bot, webhook: Webhook
) -> None:
    webhook.statuses = [500, 502]
    sent = await bot.send_message(GROUP, "alarm", reply_markup=keyboard("ack:7"))
    press = {"message_id": sent.message_id, "callback_data": "ack:7", "user": 9}
    report = await sandbox.control("POST", "/sandbox/telegram/press", press)
    assert [attempt["status"] for attempt in report["deliveries"][0]["attempts"]] == [500, 502, 200]
    assert len({update["update_id"] for update in webhook.updates}) == 1
    assert (await bot.get_webhook_info()).last_error_message == "Wrong response from the webhook: 502"


async def test_only_a_button_that_was_there_can_be_pressed(
    sandbox: RunningSandbox, bot: telegram.Bot, webhook: Webhook, clock: SandboxClock
) -> None:
    sent = await bot.send_message(GROUP, "alarm", reply_markup=keyboard("ack:7"))
    clock.advance(2)
    await bot.edit_message_text("taken", chat_id=GROUP, message_id=sent.message_id)
    old = {"message_id": sent.message_id, "callback_data": "ack:7", "user": 9}
    await sandbox.control("POST", "/sandbox/telegram/press", old)  # an old screen may still show it
    with pytest.raises(AssertionError, match="409"):
        await sandbox.control("POST", "/sandbox/telegram/press", old | {"callback_data": "other"})
    with pytest.raises(AssertionError, match="404"):
        await sandbox.control("POST", "/sandbox/telegram/press", old | {"message_id": 999})


async def test_words_of_a_person_reach_the_webhook(sandbox: RunningSandbox, webhook: Webhook) -> None:
    said = {"chat_id": GROUP, "text": "Разбираюсь с проблемой. Звонить не нужно.", "user": "anna"}
    await sandbox.control("POST", "/sandbox/telegram/say", said)
    [update] = webhook.updates
    assert (update["message"]["text"], update["message"]["from"]["username"]) == (said["text"], "anna")


async def test_without_a_webhook_updates_wait_for_get_updates(sandbox: RunningSandbox, bot: telegram.Bot) -> None:
    sent = await bot.send_message(GROUP, "alarm", reply_markup=keyboard("ack:7"))
    assert await bot.get_updates() == []
    press = {"message_id": sent.message_id, "callback_data": "ack:7", "user": 9}
    await sandbox.control("POST", "/sandbox/telegram/press", press)
    [update] = await bot.get_updates()
    assert update.callback_query is not None
    assert update.callback_query.data == "ack:7"
    assert await bot.get_updates(offset=update.update_id + 1) == []
    await bot.set_webhook("http://127.0.0.1:1/x")
    assert "can't use getUpdates" in await refusal(bot.get_updates(), telegram.TelegramConflictError)
