"""Block Kit as Slack checks it: what is refused, and in which words."""

from typing import Any

BLOCK_LIMIT = 50
SECTION_TEXT_LIMIT = 3000
HEADER_TEXT_LIMIT = 150
FIELD_LIMIT = 10
FIELD_TEXT_LIMIT = 2000
ACTION_LIMIT = 25
CONTEXT_LIMIT = 10
ID_LIMIT = 255
BUTTON_TEXT_LIMIT = 75
BUTTON_VALUE_LIMIT = 2000
TOTAL_TEXT_LIMIT = 13_200
_ELEMENTS = {"button", "static_select", "overflow", "datepicker", "users_select", "radio_buttons", "checkboxes"}


class BlockError(Exception):
    """The blocks are refused: Slack's error code, and its messages with JSON pointers."""

    def __init__(self, code: str, message: str = "", pointer: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.messages = [f"[ERROR] {message} [json-pointer:{pointer}]"] if message else []


def check_blocks(blocks: Any) -> None:
    """Raise BlockError for the first thing Slack would refuse."""
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise BlockError("invalid_blocks_format")
    if len(blocks) > BLOCK_LIMIT:
        raise BlockError("invalid_blocks", f"no more than {BLOCK_LIMIT} items allowed", "/blocks")
    seen: set[str] = set()
    for index, block in enumerate(blocks):
        pointer = f"/blocks/{index}"
        _check_id(block, "block_id", pointer, seen)
        _check_block(block, pointer)
    if text_length(blocks) > TOTAL_TEXT_LIMIT:
        raise BlockError("msg_blocks_too_long")


def text_length(blocks: Any) -> int:
    """Characters of every text in the blocks."""
    if isinstance(blocks, list):
        return sum(text_length(part) for part in blocks)
    if isinstance(blocks, dict):
        own = len(blocks["text"]) if isinstance(blocks.get("text"), str) else 0
        return own + sum(text_length(part) for part in blocks.values() if isinstance(part, dict | list))
    return 0


def action_ids(blocks: Any) -> list[dict[str, Any]]:
    """Every element that can be pressed, with its block id."""
    found: list[dict[str, Any]] = []
    for block in blocks if isinstance(blocks, list) else []:
        elements = list(block.get("elements", [])) if block.get("type") == "actions" else []
        if isinstance(block.get("accessory"), dict):
            elements.append(block["accessory"])
        found += [element | {"block_id": block.get("block_id", "")} for element in elements if "action_id" in element]
    return found


def _check_block(block: dict[str, Any], pointer: str) -> None:
    match block.get("type"):
        case "section":
            _check_section(block, pointer)
        case "header":
            _check_text(block.get("text"), f"{pointer}/text", HEADER_TEXT_LIMIT, kinds=("plain_text",))
        case "divider":
            pass
        case "actions":
            elements = _list_of(block, "elements", pointer, ACTION_LIMIT)
            seen: set[str] = set()
            for index, element in enumerate(elements):
                _check_element(element, f"{pointer}/elements/{index}", seen)
        case "context":
            elements = _list_of(block, "elements", pointer, CONTEXT_LIMIT)
            for index, element in enumerate(elements):
                if element.get("type") != "image":
                    _check_text(element, f"{pointer}/elements/{index}", SECTION_TEXT_LIMIT)
        case "image" | "rich_text" | "markdown":
            pass
        case kind:
            raise BlockError("invalid_blocks", f"unsupported type: {kind}", f"{pointer}/type")


def _check_section(block: dict[str, Any], pointer: str) -> None:
    if "text" not in block and not block.get("fields"):
        raise BlockError("invalid_blocks", "missing required field: text", pointer)
    if "text" in block:
        _check_text(block["text"], f"{pointer}/text", SECTION_TEXT_LIMIT)
    if "fields" in block:
        for index, field in enumerate(_list_of(block, "fields", pointer, FIELD_LIMIT)):
            _check_text(field, f"{pointer}/fields/{index}", FIELD_TEXT_LIMIT)
    if "accessory" in block:
        if not isinstance(block["accessory"], dict):
            raise BlockError("invalid_blocks", "must provide an object", f"{pointer}/accessory")
        _check_element(block["accessory"], f"{pointer}/accessory", set())


def _check_element(element: dict[str, Any], pointer: str, seen: set[str]) -> None:
    kind = element.get("type")
    if kind == "image":
        return
    if kind not in _ELEMENTS:
        raise BlockError("invalid_blocks", f"unsupported type: {kind}", f"{pointer}/type")
    _check_id(element, "action_id", pointer, seen)
    if kind != "button":
        return
    _check_text(element.get("text"), f"{pointer}/text", BUTTON_TEXT_LIMIT, kinds=("plain_text",))
    value = element.get("value", "")
    if not isinstance(value, str) or len(value) > BUTTON_VALUE_LIMIT:
        raise BlockError("invalid_blocks", f"must be less than {BUTTON_VALUE_LIMIT + 1} characters", f"{pointer}/value")
    if element.get("style", "primary") not in ("primary", "danger"):
        raise BlockError("invalid_blocks", "must be a valid enum value", f"{pointer}/style")
    address = element.get("url", "http://")
    if not isinstance(address, str) or "://" not in address:
        raise BlockError("invalid_blocks", "must be a valid url", f"{pointer}/url")


def _check_text(text: Any, pointer: str, limit: int, kinds: tuple[str, ...] = ("mrkdwn", "plain_text")) -> None:
    if not isinstance(text, dict):
        raise BlockError("invalid_blocks", "must provide an object", pointer)
    if text.get("type") not in kinds:
        raise BlockError("invalid_blocks", "must be a valid enum value", f"{pointer}/type")
    value = text.get("text")
    if not isinstance(value, str) or not value:
        raise BlockError("invalid_blocks", "must be more than 0 characters", f"{pointer}/text")
    if len(value) > limit:
        raise BlockError("invalid_blocks", f"must be less than {limit + 1} characters", f"{pointer}/text")


def _check_id(item: dict[str, Any], name: str, pointer: str, seen: set[str]) -> None:
    value = item.get(name)
    if value is None:
        return
    if not isinstance(value, str) or not 1 <= len(value) <= ID_LIMIT:
        raise BlockError("invalid_blocks", f"must be less than {ID_LIMIT + 1} characters", f"{pointer}/{name}")
    if value in seen:
        raise BlockError("invalid_blocks", f"`{name}` must be unique", f"{pointer}/{name}")
    seen.add(value)


def _list_of(block: dict[str, Any], name: str, pointer: str, limit: int) -> list[dict[str, Any]]:
    items = block.get(name)
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise BlockError("invalid_blocks", "no less than 1 items allowed", f"{pointer}/{name}")
    if len(items) > limit:
        raise BlockError("invalid_blocks", f"no more than {limit} items allowed", f"{pointer}/{name}")
    return items
