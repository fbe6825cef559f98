"""How documents become a page of HTML: no script, nothing from another address, everything escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from notifier.messages.document import Document, Line, Section, Span
from notifier.messages.words import Language

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = (
    "body{font-family:sans-serif;max-width:50em;margin:1em auto;padding:0 1em;line-height:1.5;overflow-wrap:anywhere}"
    "h2{font-size:1.1em;margin:1.5em 0 0}p{margin:.2em 0}pre,code{background:#eee;white-space:pre-wrap}td,th{padding:.2em .6em}"
)
_TAGS = {"bold": "b", "italic": "i", "code": "code", "strike": "s"}


def page(title: str, body: str, *, language: Language) -> str:
    """Return a whole page; ``body`` is HTML already."""
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>"
    )


def html(documents: Sequence[Document]) -> str:
    """Return documents one below the other."""
    return "".join(
        f"<h2>{_line(document.title)}</h2>{''.join(map(_section, document.sections))}" for document in documents
    )


def _section(section: Section) -> str:
    heading = f"<p>{_line(section.heading)}</p>" if section.heading else ""
    if section.bullets:
        return f"{heading}<ul>{''.join(f'<li>{_line(line)}</li>' for line in section.lines)}</ul>"
    return heading + "".join(f"<p>{_line(line)}</p>" for line in section.lines)


def _line(line: Line) -> str:
    return "".join(map(_span, line))


def _span(span: Span) -> str:
    text = escape(span.text)
    if tag := _TAGS.get(span.style):
        text = f"<{tag}>{text}</{tag}>"
    return f'<a href="{escape(span.link)}">{text}</a>' if span.link else text
