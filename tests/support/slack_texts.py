"""Slack's rich text as a line of signs, for tests to read: `*bold*`, `_italic_`, `<@U1>`, `<address|text>`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SIGNS = {"bold": "*", "italic": "_", "code": "`", "strike": "~"}


def as_read(block: Mapping[str, Any]) -> str:
    """Return the text of a block of rich text."""
    [section] = block["elements"]
    assert (block["type"], section["type"]) == ("rich_text", "rich_text_section")
    return "".join(map(_piece, section["elements"]))


def _piece(element: Mapping[str, Any]) -> str:
    if element["type"] == "user":
        return f"<@{element['user_id']}>"
    text = str(element["text"])
    assert text, "Slack takes no empty text"
    for style in element.get("style", {}):
        text = f"{_SIGNS[style]}{text}{_SIGNS[style]}"
    return f"<{element['url']}|{text}>" if element["type"] == "link" else text
