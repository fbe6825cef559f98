"""Mail: plain text, no limit worth cutting for."""

from __future__ import annotations

from collections.abc import Sequence

from notifier.messages.document import Document, Page, text_of, with_marks

_SUBJECT = 200


class MailLayout:
    """See ``Layout``; ``cost`` is in characters. A mail holds one notice."""

    limit = 1_000_000
    most_pages = 1

    def pages(self, document: Document, *, shrink: int = 0) -> tuple[Page, ...]:
        """Return the whole document as one page."""
        del shrink
        return (Page(lines=document.flatten()),)

    def cost(self, page: Page, mark: str | None) -> int:
        """Return the length of the text."""
        return sum(len(text_of(line)) + 1 for line in with_marks(page, mark))


def compose(pages: Sequence[tuple[Page, str | None]]) -> tuple[str, str]:
    """Return one mail as (subject, body)."""
    texts = [[text_of(line) for line in with_marks(page, mark)] for page, mark in pages]
    first, mark = pages[0]
    subject = text_of(first.lines[0]) if first.lines else ""
    body = "\n\n".join("\n".join(lines) for lines in texts)
    return (f"{mark}: {subject}" if mark else subject)[:_SUBJECT], body + "\n"
