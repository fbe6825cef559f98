"""Arguments of Bot API calls: loosely typed as Telegram takes them, refused as Telegram refuses them."""

from typing import Any

import pytest

from sandbox.systems.telegram.arguments import BotApiError, chat_id_from, markup_from, text_from, trimmed
from sandbox.systems.telegram.html import Parsed
from sandbox.systems.telegram.state import chat_id_of_username, user_of


def entity(offset: int, length: int) -> dict[str, Any]:
    return {"type": "bold", "offset": offset, "length": length}


def test_white_space_at_the_ends_goes_and_entities_follow() -> None:
    parsed = Parsed(text="\n 🍫ab \n", entities=[entity(0, 2), entity(0, 5), entity(4, 4)])
    assert trimmed(parsed) == Parsed(text="🍫ab", entities=[entity(0, 3), entity(2, 2)])


def test_text_is_kept_as_it_will_be_shown() -> None:
    assert text_from({"text": " <b>a</b> ", "parse_mode": "html"}) == Parsed(text="a", entities=[entity(0, 1)])
    assert text_from({"text": "<b>", "entities": '[{"type": "bold", "offset": 0, "length": 1}]'}) == Parsed(
        text="<b>", entities=[entity(0, 1)]
    )


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (-100, (-100, None)),
        ("42", (42, None)),
        ("@Channel", (chat_id_of_username("@channel"), "Channel")),
    ],
)
def test_a_chat_is_named_by_number_text_or_public_name(value: object, known: tuple[int, str | None]) -> None:
    assert chat_id_from({"chat_id": value}) == known


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "Bad Request: chat_id is empty"),
        ("", "Bad Request: chat_id is empty"),
        ("0", "Bad Request: chat not found"),
        ("1.5", "Bad Request: chat not found"),
        ([], "Bad Request: chat not found"),
    ],
)
def test_anything_else_is_no_chat(value: object, words: str) -> None:
    with pytest.raises(BotApiError) as refused:
        chat_id_from({"chat_id": value})
    assert refused.value.description == words


@pytest.mark.parametrize(
    "markup",
    [
        "{",
        "[]",
        {"inline_keyboard": [{}]},
        {"inline_keyboard": [["x"]]},
        {"inline_keyboard": [[{"text": "x"}]]},
        {"inline_keyboard": [[{"text": "", "callback_data": "x"}]]},
        {"inline_keyboard": [[{"text": "x", "callback_data": ""}]]},
        {"inline_keyboard": [[{"text": "x", "callback_data": "x", "url": "https://example.org"}]]},
        {"inline_keyboard": [[{"text": "x", "callback_data": "x"}]] * 101},
    ],
)
def test_a_broken_keyboard_is_refused(markup: object) -> None:
    with pytest.raises(BotApiError) as refused:
        markup_from({"reply_markup": markup})
    assert refused.value.status == 400


@pytest.mark.parametrize("value", [7, "7", {"id": 7}])
def test_a_person_is_given_by_number_or_object(value: object) -> None:
    assert user_of(value)["id"] == 7


def test_a_person_given_by_name_is_always_the_same() -> None:
    assert (
        user_of("@anna")
        == user_of("anna")
        == {
            "id": user_of("anna")["id"],
            "is_bot": False,
            "first_name": "anna",
            "username": "anna",
        }
    )
