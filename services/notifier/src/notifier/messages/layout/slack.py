"""Slack: blocks of rich text; about 3,000 characters a block, 50 blocks and about 13,200 characters a message.

Rich text says of each piece what it is, so nothing in a text is ever taken for mark-up, a mention, an emoji or a link: mrkdwn has no way
to write an asterisk or an underscore that stays one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from notifier.messages.document import (
    Button,
    Document,
    Keyboard,
    Line,
    Page,
    Span,
    cut,
    escape,
    short_link,
    text_of,
    with_marks,
)

_USER = re.compile("[UW][A-Z0-9]+")
_BLOCK = 3000
_MESSAGE = 12_000  # Slack refuses at about 13,200 (`msg_blocks_too_long`)
_RESERVE = 240  # for the marks
_FALLBACK = 3000
_SMALLEST = 300
_BUTTONS = 25


class SlackLayout:
    """See ``Layout``; ``cost`` is in characters of texts and links. A page becomes one block, pages are parted by dividers."""

    limit = _MESSAGE
    most_pages = 25  # a block and a divider each: 49 blocks

    def pages(self, document: Document, *, shrink: int = 0) -> tuple[Page, ...]:
        """Cut at line borders into blocks' worth; a line of more than 400 characters is cut too."""
        limit = max(_SMALLEST, (_BLOCK - _RESERVE) >> shrink)
        return cut(document, cost=_cost, limit=limit, longest_line=min(400, limit // 6))

    def cost(self, page: Page, mark: str | None) -> int:
        """Return the length of the page's texts and links with its marks."""
        return sum(map(_cost, with_marks(page, mark)))


def rich_text(line: Line) -> list[dict[str, Any]]:
    """Return a line as the elements of a rich text, its break included."""
    return [*(_element(span) for span in line if span.text or span.handle("slack")), {"type": "text", "text": "\n"}]


def compose(pages: Sequence[tuple[Page, str | None]], keyboard: Keyboard = ()) -> tuple[list[dict[str, Any]], str]:
    """Return one message as (blocks, fallback text for notifications and screen readers); at most 25 buttons, in one block at the end."""
    blocks: list[dict[str, Any]] = []
    titles: list[str] = []
    for page, mark in pages:
        lines = with_marks(page, mark)
        if blocks:
            blocks.append({"type": "divider"})
        elements = [element for line in lines for element in rich_text(line)][:-1]
        blocks.append({"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]})
        titles.append(escape(text_of(lines[0])))
    buttons = [_button(button) for row in keyboard for button in row][:_BUTTONS]
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return blocks, "\n".join(titles)[:_FALLBACK]


def _button(button: Button) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": "button",
        "text": {"type": "plain_text", "text": button.label, "emoji": True},
        "action_id": button.data,
        "value": button.data,
    }
    return shown if button.style is None else {**shown, "style": button.style}


def _element(span: Span) -> dict[str, Any]:
    handle = span.handle("slack")
    if handle is not None and _USER.fullmatch(handle):
        return {"type": "user", "user_id": handle}
    made = {"type": "text", "text": span.text or f"@{handle}"}
    if link := _shown(span):
        made |= {"type": "link", "url": link}
    return made if span.style == "plain" else made | {"style": {span.style: True}}


def _shown(span: Span) -> str:
    return span.link if span.link is not None and short_link(span.link) is not None else ""


def _cost(line: Line) -> int:
    return sum(len(span.text) + len(_shown(span)) for span in line) + 1
