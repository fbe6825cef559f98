"""Slack: section blocks of mrkdwn; at most 3,000 characters a section, 50 blocks and about 13,200 characters a message."""

from __future__ import annotations

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

_MARKS = {"bold": "*", "italic": "_", "code": "`", "strike": "~"}
_SECTION = 3000
_MESSAGE = 12_000  # Slack refuses at about 13,200 (`msg_blocks_too_long`)
_RESERVE = 240  # for the marks
_FALLBACK = 3000
_SMALLEST = 300
_BUTTONS = 25


class SlackLayout:
    """See ``Layout``; ``cost`` is in characters of mrkdwn. A page becomes one section, pages are parted by dividers."""

    limit = _MESSAGE
    most_pages = 25  # a section and a divider each: 49 blocks

    def pages(self, document: Document, *, shrink: int = 0) -> tuple[Page, ...]:
        """Cut at line borders into sections' worth; a line of more than 400 characters is cut too."""
        limit = max(_SMALLEST, (_SECTION - _RESERVE) >> shrink)
        return cut(document, cost=lambda line: len(mrkdwn(line)) + 1, limit=limit, longest_line=min(400, limit // 6))

    def cost(self, page: Page, mark: str | None) -> int:
        """Return the length of the page's mrkdwn with its marks."""
        return sum(len(mrkdwn(line)) + 1 for line in with_marks(page, mark))


def mrkdwn(line: Line) -> str:
    """Return a line as mrkdwn: ``& < >`` escaped; a style whose own sign stands in the text is dropped, there is no escape for it."""
    return "".join(_span(span) for span in line)


def compose(pages: Sequence[tuple[Page, str | None]], keyboard: Keyboard = ()) -> tuple[list[dict[str, Any]], str]:
    """Return one message as (blocks, fallback text for notifications and screen readers); at most 25 buttons, in one block at the end."""
    blocks: list[dict[str, Any]] = []
    titles: list[str] = []
    for page, mark in pages:
        lines = with_marks(page, mark)
        if blocks:
            blocks.append({"type": "divider"})
        text = "\n".join(mrkdwn(line) for line in lines)
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": text}})
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


def _span(span: Span) -> str:
    handle = span.handle("slack")
    if handle is not None:
        return f"<@{handle}>"
    text = escape(span.text)
    mark = _MARKS.get(span.style)
    bare = text.strip()
    if mark is not None and bare and mark not in text:
        lead, tail = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
        text = f"{lead}{mark}{bare}{mark}{tail}"
    link = None if span.link is None else short_link(span.link.replace("|", "%7C").replace('"', "%22"))
    if link is not None:
        text = f"<{link}|{text.replace('|', '/')}>"
    return text
