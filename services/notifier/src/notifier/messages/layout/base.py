"""Pages: the parts of a document that each fit into one message of a channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from notifier.messages.document import Document, Line, Span, split_line

_LONGEST_LINK = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The lines of one message's worth of a document. ``number`` of ``count``, from 1."""

    lines: tuple[Line, ...]
    number: int = 1
    count: int = 1


class Layout(Protocol):
    """What a channel allows."""

    limit: int
    """The largest total of ``cost`` of the pages that go into one message."""
    most_pages: int
    """How many pages go into one message at most."""

    def pages(self, document: Document, *, shrink: int = 0) -> tuple[Page, ...]:
        """Cut a document at line borders into pages that each fit into one message, with every line once.

        ``shrink``: how often the provider found the pages too long; each time they are half as large.
        """
        ...

    def cost(self, page: Page, mark: str | None) -> int:
        """Return what a page takes of ``limit``, its marks and its distance from the next page included."""
        ...


def with_marks(page: Page, mark: str | None) -> tuple[Line, ...]:
    """Return the page's lines with the mark before them and "(2/3)" behind the first when the notice has several pages."""
    lines = page.lines
    if page.count > 1 and lines:
        lines = ((*lines[0], Span(f" ({page.number}/{page.count})", "italic")), *lines[1:])
    return ((Span(mark, "italic"),), *lines) if mark else lines


def escape(text: str) -> str:
    """Escape what Telegram's HTML mode and Slack's mrkdwn both take as mark-up."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short_link(link: str) -> str | None:
    """Return a link escaped for mark-up, or None for one that would not leave room for a piece of a line on the page."""
    escaped = escape(link).replace('"', "&quot;")
    return escaped if len(escaped) <= _LONGEST_LINK else None


def cut(document: Document, *, cost: Callable[[Line], int], limit: int, longest_line: int) -> tuple[Page, ...]:
    """Fill pages greedily. ``cost`` is of a line as it will be sent; a line whose text is longer than ``longest_line`` is cut."""
    pages: list[list[Line]] = [[]]
    used = 0
    for whole in document.flatten():
        for line in split_line(whole, longest_line):
            price = cost(line)
            if pages[-1] and used + price > limit:
                pages.append([])
                used = 0
            pages[-1].append(line)
            used += price
    return tuple(Page(lines=tuple(lines), number=index + 1, count=len(pages)) for index, lines in enumerate(pages))
