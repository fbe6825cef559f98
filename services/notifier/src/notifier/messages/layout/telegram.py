"""Telegram: HTML of at most 4096 characters a message (research/notifier.md).

The Bot API counts after parsing the entities; we count the mark-up too, and in UTF-16 units, so we are always on the safe side.
"""

from __future__ import annotations

from collections.abc import Sequence

from notifier.messages.document import Document, Line, Page, Span, cut, escape, short_link, with_marks

_TAGS = {"bold": "b", "italic": "i", "code": "code", "strike": "s"}
_LIMIT = 4096
_RESERVE = 240  # for the marks: "possibly repeated", who took the problem, and "(2/3)"
_SEPARATOR = "\n\n"
_SMALLEST = 300


class TelegramLayout:
    """See ``Layout``; ``cost`` is in UTF-16 units of the HTML."""

    limit = _LIMIT
    most_pages = 100

    def pages(self, document: Document, *, shrink: int = 0) -> tuple[Page, ...]:
        """Cut at line borders; a line of more than 600 characters is cut too (six escaped characters each still fit)."""
        limit = max(_SMALLEST, (_LIMIT - _RESERVE) >> shrink)
        return cut(document, cost=lambda line: _units(html(line)) + 1, limit=limit, longest_line=min(600, limit // 6))

    def cost(self, page: Page, mark: str | None) -> int:
        """Return the length of the page's HTML with its marks and the separator."""
        return sum(_units(html(line)) + 1 for line in with_marks(page, mark)) + len(_SEPARATOR) - 1


def html(line: Line) -> str:
    """Return a line as Telegram's HTML: ``& < >`` escaped, quotes in links too."""
    return "".join(_span(span) for span in line)


def compose(pages: Sequence[tuple[Page, str | None]]) -> tuple[str, str]:
    """Return one message as (HTML, the same without mark-up) from pages, each with a mark to put before it or none."""
    marked: list[str] = []
    bare: list[str] = []
    for page, mark in pages:
        lines = with_marks(page, mark)
        marked.append("\n".join(html(line) for line in lines))
        bare.append("\n".join(_bare(line) for line in lines))
    return _SEPARATOR.join(marked), _SEPARATOR.join(bare)


def _bare(line: Line) -> str:
    return "".join(
        span.text if (handle := span.handle("telegram")) is None or handle.isdigit() else f"@{handle.lstrip('@')}"
        for span in line
    )


def _span(span: Span) -> str:
    text = escape(span.text)
    handle = span.handle("telegram")
    if handle is not None:
        return f'<a href="tg://user?id={handle}">{text}</a>' if handle.isdigit() else escape(f"@{handle.lstrip('@')}")
    tag = _TAGS.get(span.style)
    if tag is not None:
        text = f"<{tag}>{text}</{tag}>"
    link = None if span.link is None else short_link(span.link)
    if link is not None:
        text = f'<a href="{link}">{text}</a>'
    return text


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
