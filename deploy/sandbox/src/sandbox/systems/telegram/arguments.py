"""Reading the arguments of a Bot API call as Telegram does: from the query, a form or JSON, all values loosely typed."""

import json
import re
from collections.abc import Mapping
from typing import Any

from sandbox.gate import Call
from sandbox.systems.telegram.html import EntityError, Parsed, is_web_address, parse_html, utf16_length
from sandbox.systems.telegram.state import chat_id_of_username

TEXT_LIMIT = 4096
CALLBACK_DATA_LIMIT = 64
CALLBACK_ANSWER_LIMIT = 200
BUTTON_LIMIT = 100
BUTTON_KINDS = (
    "url",
    "callback_data",
    "web_app",
    "login_url",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "copy_text",
    "callback_game",
    "pay",
)


class BotApiError(Exception):
    """A refusal: HTTP status, description, and `parameters` where Telegram gives them."""

    def __init__(self, status: int, description: str, parameters: dict[str, Any] | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters


def bad(description: str) -> BotApiError:
    """A 400 in Telegram's words."""
    return BotApiError(400, f"Bad Request: {description}")


def arguments_of(call: Call) -> dict[str, Any]:
    """All arguments by name; those of the body stand over those of the query."""
    arguments: dict[str, Any] = dict(call.query)
    if call.form is not None:
        arguments |= call.form
    elif call.raw:
        try:
            body = call.json()
        except ValueError:
            raise bad("can't parse JSON object") from None
        if not isinstance(body, dict):
            raise bad("can't parse JSON object")
        arguments |= body
    return arguments


def chat_id_from(arguments: Mapping[str, Any]) -> tuple[int, str | None]:
    """The chat's id, and its public name if it was named so."""
    value = arguments.get("chat_id")
    if value is None or value == "":
        raise bad("chat_id is empty")
    text = str(value)
    if text.startswith("@"):
        return chat_id_of_username(text), text[1:]
    if not re.fullmatch(r"-?\d{1,19}", text) or int(text) == 0:
        raise bad("chat not found")
    return int(text), None


def integer_from(arguments: Mapping[str, Any], name: str) -> int | None:
    """A whole number given as number or text; None when absent or unreadable, as Telegram treats it."""
    text = str(arguments.get(name, ""))
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else None


def flag_from(arguments: Mapping[str, Any], name: str) -> bool:
    """A boolean given as such or as text."""
    return str(arguments.get(name, "")).lower() in ("true", "1", "yes")


def text_from(arguments: Mapping[str, Any]) -> Parsed:
    """The message's text after parsing, 1 to 4096 UTF-16 units."""
    source = arguments.get("text")
    if not isinstance(source, str) or not source:
        raise bad("message text is empty")
    mode = str(arguments.get("parse_mode") or "").lower()
    if mode == "html":
        try:
            parsed = parse_html(source)
        except EntityError as error:
            raise bad(f"can't parse entities: {error}") from None
    elif mode in ("", "none"):
        parsed = Parsed(text=source, entities=_entities_from(arguments))
    else:
        raise bad("unsupported parse_mode")  # the suite speaks HTML; anything else is a mistake of ours
    parsed = trimmed(parsed)
    if not parsed.text:
        raise bad("text must be non-empty")
    if utf16_length(parsed.text) > TEXT_LIMIT:
        raise bad("message is too long")
    return parsed


def trimmed(parsed: Parsed) -> Parsed:
    """The text without white space at its ends, as Telegram keeps it, its entities moved and cut to match."""
    text = parsed.text.strip()
    start = utf16_length(parsed.text) - utf16_length(parsed.text.lstrip())
    end = start + utf16_length(text)
    entities = []
    for entity in parsed.entities:
        first, last = max(entity["offset"], start), min(entity["offset"] + entity["length"], end)
        if first < last:
            entities.append(entity | {"offset": first - start, "length": last - first})
    return Parsed(text=text, entities=entities)


def _entities_from(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    problem = "can't parse entities JSON object"
    entities = _json_of(arguments.get("entities"), problem)
    if entities is None:
        return []
    if not isinstance(entities, list) or not all(_is_entity(entity) for entity in entities):
        raise bad(problem)
    return entities


def _is_entity(entity: Any) -> bool:
    return (
        isinstance(entity, dict)
        and isinstance(entity.get("type"), str)
        and all(type(entity.get(name)) is int and entity[name] >= 0 for name in ("offset", "length"))
    )


def markup_from(arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """The inline keyboard, checked button by button; None when there is none."""
    problem = "can't parse reply keyboard markup JSON object"
    markup = _json_of(arguments.get("reply_markup"), problem)
    if markup is None:
        return None
    if not isinstance(markup, dict):
        raise bad("object expected as reply markup")
    rows = markup.get("inline_keyboard")
    if rows is None:
        return None if markup.keys() & {"keyboard", "remove_keyboard", "force_reply"} else {}
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad('field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays')
    buttons = [button for row in rows for button in row]
    if len(buttons) > BUTTON_LIMIT:
        raise bad("reply markup is too long")
    for button in buttons:
        _check_button(button)
    return {"inline_keyboard": [row for row in rows if row]}


def _check_button(button: Any) -> None:
    if not isinstance(button, dict):
        raise bad("can't parse inline keyboard button: InlineKeyboardButton must be an Object")
    text = button.get("text")
    if not isinstance(text, str) or not text.strip():
        raise bad('can\'t parse inline keyboard button: Field "text" must be of type String')
    kinds = [kind for kind in BUTTON_KINDS if button.get(kind) is not None]
    if not kinds:
        raise bad("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    if len(kinds) > 1:
        raise bad("can't parse inline keyboard button: exactly one action is allowed")
    data = button.get("callback_data")
    if kinds == ["callback_data"] and not (isinstance(data, str) and 1 <= len(data.encode()) <= CALLBACK_DATA_LIMIT):
        raise bad("BUTTON_DATA_INVALID")
    address = button.get("url")
    if kinds == ["url"] and not (isinstance(address, str) and is_web_address(address)):
        raise bad(f"inline keyboard button URL '{address}' is invalid: Wrong HTTP URL")


def _json_of(value: Any, problem: str) -> Any:
    """An argument that is JSON inside a form, or already decoded inside a JSON body."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise bad(problem) from None
