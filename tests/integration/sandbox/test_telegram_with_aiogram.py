"""Telegram as aiogram's own client meets it: messages, limits, refusals, presses through a real webhook."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from sandbox.testing import RunningSandbox
from tests.support.clocks import SandboxClock
from tests.support.lazily import Lazily

if TYPE_CHECKING:
    from tests.support import telegram
else:
    telegram = Lazily("tests.support.telegram")

TOKEN = "7000000001:secret-of-the-bot"
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


async def test_a_message_is_parsed_kept_and_shown(sandbox: RunningSandbox, bot: telegram.Bot) -> None:
    sent = await bot.send_message(
        GROUP, "<b>Заказ</b> &lt;1&gt;", parse_mode="HTML", reply_markup=keyboard("ack:1"), message_thread_id=5
    )
    assert sent.html_text == "<b>Заказ</b> &lt;1&gt;"
    assert (sent.text, sent.chat.id, sent.chat.type, sent.message_thread_id) == ("Заказ <1>", GROUP, "supergroup", 5)
    [entry] = await sandbox.log("telegram")
    assert (entry["operation"], entry["path"], entry["status"]) == (
        "sendMessage",
        "/bot7000000001/sendMessage",
        200,
    )
    assert entry["request"]["text"] == "<b>Заказ</b> &lt;1&gt;"
    assert entry["answer"]["result"]["message_id"] == sent.message_id
    assert TOKEN.partition(":")[2] not in json.dumps(entry)


async def test_the_three_ways_to_pass_arguments_mean_the_same(sandbox: RunningSandbox) -> None:
    url = f"{sandbox.url}/bot{TOKEN}/sendMessage"
    multipart = aiohttp.FormData({"chat_id": "1", "text": "a"})
    multipart.add_field("attachment", b"x", filename="x.txt")
    async with aiohttp.ClientSession() as session:
        bodies = []
        for arguments in (
            {"data": {"chat_id": "1", "text": "a"}},
            {"json": {"chat_id": 1, "text": "a"}},
            {"data": multipart},
            {"params": {"chat_id": "1", "text": "a"}},
        ):
            sandbox.world.clock.advance(2)  # type: ignore[attr-defined] # the fixture's clock is the manual one
            async with session.post(url, **arguments) as response:
                bodies.append((await response.json())["result"]["text"])
    assert bodies == ["a"] * 4


async def test_get_me_names_the_bot_of_the_token(bot: telegram.Bot) -> None:
    me = await bot.get_me()
    assert (me.id, me.is_bot) == (7000000001, True)


async def test_unknown_tokens_and_methods_are_refused(sandbox: RunningSandbox, bot: telegram.Bot) -> None:
    stranger = telegram.Bot("1:somebody-else", session=bot.session)
    assert await refusal(stranger.get_me(), telegram.TelegramUnauthorizedError) == "Unauthorized"
    assert await refusal(bot(telegram.SendDice(chat_id=1)), telegram.TelegramNotFound) == "Not Found: method not found"


async def test_texts_from_1_to_4096_characters_are_taken(bot: telegram.Bot, clock: SandboxClock) -> None:
    await bot.send_message(1, "x" * 4096)
    await bot.send_message(2, f"<b>{'&amp;' * 4096}</b>", parse_mode="HTML")
    assert await refusal(bot.send_message(3, "x" * 4097)) == "Bad Request: message is too long"
    assert await refusal(bot.send_message(3, "🍫" * 2049)) == "Bad Request: message is too long"
    assert await refusal(bot.send_message(3, "")) == "Bad Request: message text is empty"
    assert await refusal(bot.send_message(3, " \n")) == "Bad Request: text must be non-empty"
    assert await refusal(bot.send_message(3, "<b></b>", parse_mode="HTML")) == "Bad Request: text must be non-empty"
    assert (
        await refusal(bot.send_message(3, "1 < 2 <b>", parse_mode="HTML"))
        == 'Bad Request: can\'t parse entities: Unsupported start tag "" at byte offset 2'
    )
    assert await refusal(bot.send_message(3, "*x*", parse_mode="MarkdownV2")) == "Bad Request: unsupported parse_mode"


async def test_callback_data_has_1_to_64_bytes(bot: telegram.Bot) -> None:
    await bot.send_message(1, "x", reply_markup=keyboard("я" * 32))
    assert (
        await refusal(bot.send_message(2, "x", reply_markup=keyboard("я" * 33))) == "Bad Request: BUTTON_DATA_INVALID"
    )
    local = telegram.InlineKeyboardMarkup(
        inline_keyboard=[[telegram.InlineKeyboardButton(text="x", url="http://localhost/x")]]
    )
    assert (
        await refusal(bot.send_message(2, "x", reply_markup=local))
        == "Bad Request: inline keyboard button URL 'http://localhost/x' is invalid: Wrong HTTP URL"
    )


async def test_one_chat_takes_one_message_a_second_after_a_small_burst(bot: telegram.Bot, clock: SandboxClock) -> None:
    await bot.send_message(PERSON, "1")
    await bot.send_message(PERSON, "2")
    with pytest.raises(telegram.TelegramRetryAfter) as refused:
        await bot.send_message(PERSON, "3")
    assert refused.value.retry_after == 1
    await bot.send_message(PERSON + 1, "another chat is free")
    clock.advance(1)
    await bot.send_message(PERSON, "3")


async def test_a_group_takes_20_a_minute_edits_counted(bot: telegram.Bot, clock: SandboxClock) -> None:
    message = await bot.send_message(GROUP, "0")
    for index in range(1, 20):
        clock.advance(1)
        await bot.edit_message_text(str(index), chat_id=GROUP, message_id=message.message_id)
    clock.advance(1)
    with pytest.raises(telegram.TelegramRetryAfter) as refused:
        await bot.send_message(GROUP, "21st")
    assert refused.value.retry_after == 40
    clock.advance(40)
    await bot.send_message(GROUP, "21st")


async def test_a_bot_makes_30_calls_in_any_second(bot: telegram.Bot, clock: SandboxClock) -> None:
    for chat in range(1, 31):
        await bot.send_message(chat, "x")
    with pytest.raises(telegram.TelegramRetryAfter):
        await bot.send_message(31, "x")
    clock.advance(1)
    await bot.send_message(31, "x")


async def test_refused_chats_answer_as_telegram_does(sandbox: RunningSandbox, bot: telegram.Bot) -> None:
    async def mark(chat: int, **state: Any) -> None:
        await sandbox.control("PUT", f"/sandbox/telegram/chats/{chat}", state)

    await mark(PERSON, state="blocked")
    assert await refusal(bot.send_message(PERSON, "x"), telegram.TelegramForbiddenError) == (
        "Forbidden: bot was blocked by the user"
    )
    await mark(-5, state="migrated", migrate_to_chat_id=GROUP)
    with pytest.raises(telegram.TelegramMigrateToChat) as moved:
        await bot.send_message(-5, "x")
    assert moved.value.migrate_to_chat_id == GROUP
    await mark(-6, state="missing")
    assert await refusal(bot.send_message(-6, "x")) == "Bad Request: chat not found"
    await mark(PERSON, state="active")
    await bot.send_message(PERSON, "x")


async def test_edits_change_the_message_and_know_when_nothing_changes(
    sandbox: RunningSandbox, bot: telegram.Bot, clock: SandboxClock
) -> None:
    sent = await bot.send_message(1, "a", reply_markup=keyboard("x"))

    def edit(text: str, **more: Any) -> Any:
        clock.advance(2)
        return bot.edit_message_text(text, chat_id=1, message_id=sent.message_id, **more)

    assert (await refusal(edit("a", reply_markup=keyboard("x")))).startswith("Bad Request: message is not modified")
    await edit("b", reply_markup=keyboard("y"))
    clock.advance(2)
    await bot.edit_message_reply_markup(chat_id=1, message_id=sent.message_id, reply_markup=None)
    clock.advance(2)
    await bot.delete_message(1, sent.message_id)
    assert await refusal(edit("c")) == "Bad Request: message to edit not found"
    clock.advance(2)
    assert await refusal(bot.delete_message(1, sent.message_id)) == "Bad Request: message to delete not found"
    [shown] = (await sandbox.control("GET", "/sandbox/telegram/messages?chat_id=1"))["items"]
    assert (shown["text"], shown["edits"], shown["deleted"], "reply_markup" in shown) == ("b", 2, True, False)


async def test_a_reply_needs_the_message_it_answers(bot: telegram.Bot) -> None:
    missing = telegram.ReplyParameters(message_id=999)
    assert await refusal(bot.send_message(1, "x", reply_parameters=missing)) == (
        "Bad Request: message to be replied not found"
    )
    await bot.send_message(
        2, "x", reply_parameters=telegram.ReplyParameters(message_id=999, allow_sending_without_reply=True)
    )


async def test_every_fault_looks_to_aiogram_as_in_real_life(sandbox: RunningSandbox, bot: telegram.Bot) -> None:
    await sandbox.fault("telegram", mode="error", count=1)
    assert "Internal Server Error" in await refusal(bot.send_message(1, "a"), telegram.TelegramServerError)
    await sandbox.fault("telegram", mode="rate_limit", count=1, delay_s=7)
    with pytest.raises(telegram.TelegramRetryAfter) as refused:
        await bot.send_message(1, "b")
    assert refused.value.retry_after == 7
    await sandbox.fault("telegram", mode="declined", count=1)
    await refusal(bot.send_message(1, "c"), telegram.TelegramForbiddenError)
    await sandbox.fault("telegram", mode="reset", count=1)
    await refusal(bot.send_message(1, "d"), telegram.TelegramNetworkError)
    await sandbox.fault("telegram", mode="lost_response", count=1)
    await refusal(bot.send_message(2, "e"), telegram.TelegramNetworkError)
    await sandbox.fault("telegram", mode="timeout", count=1)
    await refusal(bot.send_message(1, "f", request_timeout=1), telegram.TelegramNetworkError)
    await sandbox.fault("telegram", mode="slow", count=1, delay_s=0.01)
    await bot.send_message(1, "g")
    entries = await sandbox.log("telegram")
    assert [(entry["request"]["text"], entry["fault"], entry["effect"], entry["status"]) for entry in entries] == [
        ("a", "error", False, 500),
        ("b", "rate_limit", False, 429),
        ("c", "declined", False, 403),
        ("d", "reset", False, None),
        ("e", "lost_response", True, None),
        ("f", "timeout", False, None),
        ("g", "slow", True, 200),
    ]
    shown = (await sandbox.control("GET", "/sandbox/telegram/messages"))["items"]
    assert [message["text"] for message in shown] == ["e", "g"]


async def test_concurrent_sends_never_get_more_through_than_the_limits_allow(
    sandbox: RunningSandbox, bot: telegram.Bot
) -> None:
    results = await asyncio.gather(*(bot.send_message(GROUP, str(i)) for i in range(40)), return_exceptions=True)
    assert sum(not isinstance(result, Exception) for result in results) == 2
    assert sum(isinstance(result, telegram.TelegramRetryAfter) for result in results) == 38
